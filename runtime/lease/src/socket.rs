//! The devices of a lease for other programs: a private socket whose connections go through tunnels, one for each.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jumpstarter_core::{Error, Result};
use jumpstarter_transport::{
    refusal::refuse,
    server::Peer,
    socket::{MAIN, RuntimeDirectory},
};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{Tunnels, background};

/// How many programs can be connected at a time; the next one waits.
const CONNECTIONS: usize = 256;

/// How many bytes are passed on at once, in each direction.
const PIECE: usize = 64 * 1024;

/// How long looking at the lease may take before a program is told that it cannot connect.
const GLANCE: Duration = Duration::from_secs(1);

/// After how long an exporter that has not said anything yet is worth a word.
const SILENCE: Duration = Duration::from_secs(30);

/// Listens until it is dropped; then all connections end, and the socket is gone.
#[derive(Debug)]
pub struct Socket {
    directory: RuntimeDirectory,
    _task: AbortOnDropHandle<()>,
}

impl Socket {
    /// Starts to listen.
    ///
    /// # Errors
    /// When there is no place for a socket.
    pub async fn open(tunnels: Tunnels) -> Result<Self> {
        background::run(async move {
            let directory = RuntimeDirectory::create()?;
            let (listener, _) = directory.listen(MAIN)?;
            let task = background::spawn(serve(listener, tunnels))?;
            Ok(Self { directory, _task: AbortOnDropHandle::new(task) })
        })
        .await
    }

    /// Where it listens: what `JUMPSTARTER_HOST` says.
    pub fn path(&self) -> PathBuf {
        Path::join(self.directory.path(), MAIN)
    }
}

async fn serve(listener: UnixListener, tunnels: Tunnels) {
    // Dropping the set ends the connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((near, _)) => {
                    connections.spawn(pass_on(near, tunnels.clone()));
                }
                Err(error) => {
                    tracing::warn!("programs cannot connect to the exporter any more: {error}");
                    return;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(mut near: UnixStream, tunnels: Tunnels) {
    let mut far = match tunnels.open_here().await {
        Ok(far) => far,
        Err(error) => {
            // The end of the lease may be the reason, and nobody has looked yet.
            tunnels.lease().look(GLANCE).await;
            let over = tunnels.lease().why_over();
            let why = over.map_or(error, |over| Error::disconnected(over.words(tunnels.lease().name())));
            tracing::debug!("a connection to the exporter does not come about: {why}");
            // It says so to its user, at the place where that matters.
            return refuse(near, Peer::Unix { pid: None, uid: None }, why).await;
        }
    };
    let (talk, router) = (far.talk(), far.router().to_owned());
    let silence = async {
        sleep(SILENCE).await;
        if talk.is_unanswered() {
            tracing::warn!("the exporter has not answered for {} s; still waiting", SILENCE.as_secs());
        }
        std::future::pending::<()>().await;
    };
    // Half a close is passed on as half a close. When either side breaks, both end: a client that is left with an open
    // connection would wait for ever.
    let ended = tokio::select! {
        ended = copy_bidirectional_with_sizes(&mut near, &mut far, PIECE, PIECE) => ended,
        () = silence => return,
    };
    // How a conversation ends is for those who have it; that the way there is gone, they cannot know.
    if let Err(error) = ended {
        if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            if tunnels.is_news(&router) {
                tracing::warn!("{ours}");
            }
        } else {
            tracing::debug!("a connection to the exporter ended: {error}");
        }
    }
}
