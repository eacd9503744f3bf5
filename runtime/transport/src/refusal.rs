//! A connection on which nothing can be had, and whoever calls is told why.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::Request;
use jumpstarter_core::{Error, ErrorKind};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::timeout,
};
use tonic::body::Body;
use tower::service_fn;

use crate::{
    server::{Peer, Server},
    status,
};

/// How long somebody who has connected may take to call.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the answer may take to leave.
const LAST: Duration = Duration::from_secs(1);

/// Answers the first call with `UNAVAILABLE` and these words, whichever call it is, and ends the connection: the next call makes
/// another one, which may lead somewhere.
pub async fn refuse<I>(io: I, peer: Peer, why: Error)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let status = status::native(&why.with_kind(ErrorKind::Disconnected));
    let called = Arc::new(Notify::new());
    let tell = called.clone();
    let server = Server::new(service_fn(move |_: Request<Body>| {
        tell.notify_one();
        let answer = status.clone().into_http();
        async move { Ok::<_, Infallible>(answer) }
    }));
    server.connection(io, peer);
    let _ = timeout(PATIENCE, called.notified()).await;
    server.shutdown(LAST).await;
}
