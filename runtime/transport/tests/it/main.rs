//! The transport from outside: real sockets, real HTTP/2, and bytes made by hand where libraries refuse to make them.

mod authority;
mod http2;
mod server;
mod socket;
mod streams;
mod tls;
mod tunnel;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use jumpstarter_protocol::v1::{
    StreamRequest, StreamResponse,
    router_service_client::RouterServiceClient,
    router_service_server::{RouterService, RouterServiceServer},
};
use jumpstarter_transport::{
    connect::{self, Channel, Credentials, Endpoint, Options},
    frames::{self, FrameReader, Role},
    server::{MAX_MESSAGE, Peer, Server},
    socket::{MAIN, RuntimeDirectory},
};
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status, Streaming, service::Routes};

/// Sends back what it gets, and remembers who called and how requests ended.
#[derive(Clone, Default)]
pub(crate) struct Echo {
    pub(crate) seen: Arc<Mutex<Seen>>,
    ended: Option<mpsc::Sender<Result<usize, Code>>>,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) peers: Vec<Peer>,
    pub(crate) passphrases: Vec<Option<String>>,
}

#[tonic::async_trait]
impl RouterService for Echo {
    type StreamStream = BoxStream<'static, Result<StreamResponse, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        {
            let mut seen = self.seen.lock().expect("not poisoned");
            seen.peers.extend(request.extensions().get::<Peer>());
            let passphrase = request.metadata().get(connect::PASSPHRASE);
            seen.passphrases.push(passphrase.map(|text| text.to_str().expect("text").to_owned()));
        }
        let mut reader = FrameReader::new(request.into_inner(), Role::Server);
        let (chunks, answers) = mpsc::channel(8);
        let ended = self.ended.clone();
        tokio::spawn(async move {
            let mut length = 0;
            let end = loop {
                match reader.chunk().await {
                    Ok(Some(chunk)) => {
                        length += chunk.len();
                        // Who cuts a request does not read answers either.
                        let _ = chunks.send(Ok(frames::data(chunk))).await;
                    }
                    Ok(None) => break Ok(length),
                    Err(lost) => break Err(lost.status().code()),
                }
            };
            let _ = chunks.send(Ok(frames::goaway())).await;
            if let Some(ended) = ended {
                ended.send(end).await.expect("somebody waits for the end");
            }
        });
        let answers =
            stream::unfold(answers, |mut answers| async move { Some((answers.recv().await?, answers)) });
        Ok(Response::new(answers.boxed()))
    }
}

impl Echo {
    /// An echo that tells how each request ended.
    pub(crate) fn watched() -> (Self, mpsc::Receiver<Result<usize, Code>>) {
        let (ended, ends) = mpsc::channel(1024);
        (Self { ended: Some(ended), ..Self::default() }, ends)
    }

    pub(crate) fn routes(&self) -> Routes {
        Routes::new(RouterServiceServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE)).prepare()
    }

    pub(crate) fn server(&self) -> Server<Routes> {
        Server::new(self.routes())
    }
}

/// An echo server on a unix socket, and a channel to it.
pub(crate) async fn local(echo: &Echo) -> (Server<Routes>, Channel, RuntimeDirectory) {
    let directory = RuntimeDirectory::create().expect("a directory");
    let (listener, path) = directory.listen(MAIN).expect("a socket");
    let server = echo.server();
    server.listen_unix(listener);
    let channel = connect::connect(&Endpoint::Unix(path), &Options::default()).await.expect("a channel");
    (server, channel, directory)
}

/// An echo server and a channel to it, in memory.
pub(crate) async fn in_memory(echo: &Echo) -> (Server<Routes>, Channel) {
    let server = echo.server();
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    server.connection(theirs, Peer::Tunnel);
    (server, connect::connect_stream(ours, Credentials::none()).await.expect("a channel"))
}

/// Sends one chunk and reads everything back.
pub(crate) async fn echo(channel: &Channel, text: Bytes) -> Result<Vec<u8>, Status> {
    let mut client = RouterServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE);
    let request = stream::iter([frames::data::<StreamRequest>(text), frames::goaway()]);
    let mut reader = FrameReader::new(client.stream(request).await?.into_inner(), Role::Client);
    let mut all = Vec::new();
    while let Some(chunk) = reader.chunk().await.map_err(|lost| lost.status().clone())? {
        all.extend_from_slice(&chunk);
    }
    reader.finish().await.map_err(|lost| lost.status().clone())?;
    Ok(all)
}
