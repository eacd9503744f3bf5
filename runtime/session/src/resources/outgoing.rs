//! From a driver to the client, or to a URL: pieces, the packer's tail, an explicit end.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use jumpstarter_core::{
    Error, Result,
    resource::{SinkBody, hex},
};
use jumpstarter_transport::{
    codec::{self, Encoding},
    presigned::{Http, Request, Upload},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::{Frames, gone};

/// One thing that a driver does with a sink.
pub(super) enum Piece {
    Data(Bytes),
    /// The data is complete. Answered when the client has been told.
    End(oneshot::Sender<Result<()>>),
}

/// A driver's end of a transfer to the client.
pub(super) struct ClientSink {
    pub(super) pieces: mpsc::Sender<Piece>,
    pub(super) reason: Arc<OnceLock<Error>>,
}

impl SinkBody for ClientSink {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.pieces.send(Piece::Data(piece)).await.map_err(|_| gone()) })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let (told, answer) = oneshot::channel();
            self.pieces.send(Piece::End(told)).await.map_err(|_| gone())?;
            answer.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    fn abort(self: Box<Self>, reason: Error) {
        // The closed channel is what the body notices; the reason is there before.
        let _ = self.reason.set(reason);
    }
}

/// The body's end of a transfer to the client.
pub(super) struct Outgoing {
    pub(super) packed: BoxStream<'static, Result<Bytes>>,
    tally: Option<Tally>,
    told: Arc<Mutex<Option<oneshot::Sender<Result<()>>>>>,
    pub(super) frames: Option<Frames>,
}

impl Outgoing {
    pub(super) fn new(
        pieces: mpsc::Receiver<Piece>,
        reason: Arc<OnceLock<Error>>,
        encoding: Option<Encoding>,
        frames: Option<Frames>,
        noted: bool,
    ) -> Self {
        let told = Arc::new(Mutex::new(None));
        let state = (pieces, reason, told.clone());
        let plain = futures::stream::try_unfold(state, async |(mut pieces, reason, told)| {
            match pieces.recv().await {
                Some(Piece::Data(piece)) => Ok(Some((piece, (pieces, reason, told)))),
                Some(Piece::End(answer)) => {
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                    Ok(None)
                }
                None => Err(reason
                    .get()
                    .cloned()
                    .unwrap_or_else(|| Error::truncated("the driver did not finish its data"))),
            }
        });
        // A driver that finishes an empty file in a format is asked for a file in that format.
        let packed = codec::pack(encoding, plain).even_if_empty().boxed();
        Self { packed, tally: noted.then(Tally::default), told, frames }
    }

    /// Counts what goes over the wire.
    pub(super) fn count(&mut self, piece: &[u8]) {
        if let Some(tally) = &mut self.tally {
            tally.length += piece.len() as u64;
            tally.hasher.update(piece);
        }
    }

    /// What is said with the end of the data: to clients of ours, what they must have got; to others, nothing.
    pub(super) fn farewell(&mut self) -> Bytes {
        let Some(Tally { length, hasher }) = self.tally.take() else { return Bytes::new() };
        json!({"length": length, "sha256": hex(&hasher.finalize())}).to_string().into()
    }

    pub(super) fn tell(&self, result: Result<()>) {
        if let Some(told) = self.told.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = told.send(result);
        }
    }
}

/// Length and digest of what went over the wire.
#[derive(Default)]
struct Tally {
    length: u64,
    hasher: Sha256,
}

/// A transfer to a URL; the connection is made with the first byte.
pub(super) struct UrlSink {
    pub(super) http: Http,
    pub(super) request: Request,
    pub(super) upload: Option<Upload>,
}

impl SinkBody for UrlSink {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if self.upload.is_none() {
                self.upload = Some(self.http.put(&self.request).await?);
            }
            match &mut self.upload {
                Some(upload) => Ok(upload.send(piece).await?),
                None => Err(gone()),
            }
        })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let upload = match self.upload.take() {
                Some(upload) => upload,
                None => self.http.put(&self.request).await?,
            };
            Ok(upload.finish().await?)
        })
    }

    // Dropping the upload cuts the request, which no server takes for a whole one.
    fn abort(self: Box<Self>, _: Error) {}
}
