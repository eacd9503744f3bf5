//! From the client to a driver: frames up to an end that was announced and kept its promises.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use jumpstarter_core::{
    Error, Result,
    resource::{Sha256Digest, hex, parse_sha256},
};
use jumpstarter_protocol::v1::{FrameType, StreamRequest};
use jumpstarter_transport::frames::{FrameReader, Role};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tonic::Streaming;

use super::{Announced, Frames};

/// What a client of ours says with the end of its data, as JSON in the last frame: what it has sent, as it was on the
/// wire.
#[derive(Debug, Deserialize)]
struct Farewell {
    #[serde(default)]
    length: Option<u64>,
    #[serde(default)]
    sha256: Option<String>,
}

/// The client's data as it arrives, up to an end that was announced and kept its promises.
pub(super) struct Wire {
    pub(super) frames: Option<Frames>,
    farewell: Arc<OnceLock<Bytes>>,
    pub(super) announced: Option<u64>,
    /// Whether length and digest of what goes back travel with its end.
    pub(super) noted: bool,
    seen: u64,
    hasher: Option<Sha256>,
    pub(super) done: Option<oneshot::Sender<Frames>>,
}

impl Wire {
    pub(super) fn new(frames: Streaming<StreamRequest>, announced: Announced, hashed: bool) -> Self {
        let farewell = Arc::new(OnceLock::new());
        let heard = farewell.clone();
        // What a last frame carries is no data, so the frame reader drops it; it is picked up here.
        let frames = frames.inspect_ok(move |frame| {
            if frame.frame_type == i32::from(FrameType::Goaway) && !frame.payload.is_empty() {
                let _ = heard.set(frame.payload.clone());
            }
        });
        Self {
            frames: Some(FrameReader::new(frames.boxed(), Role::Server)),
            farewell,
            announced: announced.length,
            noted: announced.notes,
            seen: 0,
            hasher: hashed.then(Sha256::new),
            done: None,
        }
    }

    /// Gives the frames back to the body, which tells the client that nobody reads any more.
    fn release(&mut self) {
        if let (Some(frames), Some(done)) = (self.frames.take(), self.done.take()) {
            let _ = done.send(frames);
        }
    }

    fn verify(&mut self) -> Result<()> {
        let farewell = match self.farewell.get() {
            Some(text) => serde_json::from_slice::<Farewell>(text).map_err(|error| {
                Error::truncated(format!("the client's end of data cannot be read: {error}"))
            })?,
            None => Farewell { length: None, sha256: None },
        };
        for announced in [self.announced, farewell.length].into_iter().flatten() {
            if announced != self.seen {
                return Err(Error::truncated(format!(
                    "{} of the announced {announced} bytes arrived",
                    self.seen
                )));
            }
        }
        if let (Some(announced), Some(hasher)) = (farewell.sha256, self.hasher.take()) {
            let digest: Sha256Digest = hasher.finalize().into();
            if parse_sha256(&announced) != Some(digest) {
                let text = format!(
                    "the data was damaged on its way: sha256 {} instead of {announced}",
                    hex(&digest)
                );
                return Err(Error::truncated(text));
            }
        }
        Ok(())
    }
}

impl Stream for Wire {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = &mut *self;
        let Some(frames) = &mut this.frames else { return Poll::Ready(None) };
        Poll::Ready(match std::task::ready!(frames.poll_next_unpin(cx)) {
            Some(Ok(piece)) => {
                this.seen += piece.len() as u64;
                if let Some(hasher) = &mut this.hasher {
                    hasher.update(&piece);
                }
                match this.announced.filter(|announced| this.seen > *announced) {
                    Some(announced) => {
                        this.release();
                        Some(Err(Error::truncated(format!("more data than the announced {announced} bytes"))))
                    }
                    None => Some(Ok(piece)),
                }
            }
            Some(Err(lost)) => {
                this.release();
                Some(Err(lost.into()))
            }
            None => {
                let end = this.verify();
                this.release();
                end.err().map(Err)
            }
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.release();
    }
}
