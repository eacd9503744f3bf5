//! A WebSocket server that the exporter can reach.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use jumpstarter::{Driver, Error, ErrorKind, Io, Open, Result, config, driver};
use jumpstarter_interfaces::{Network, NetworkAddress};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        handshake::client::Request,
        http::header::{AUTHORIZATION, HeaderValue, LOCATION},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use url::Url;

use crate::place::{PATIENCE, Place, Wire, hidden};

/// Largest message. Clients take 4 MiB with everything around it, and messages are never cut.
const LARGEST: usize = 4 * 1024 * 1024 - 1024;

/// How long the server may take to answer an end. After that the connection is simply gone.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where the server is.
#[config]
#[derive(Clone, Debug)]
pub struct WebSocketNetworkConfig {
    /// Address: `ws://host:port/path`, or `wss://` for TLS. A name and a password in it are sent as basic authentication.
    #[schemars(extend("pattern" = r"^\s*[Ww][Ss][Ss]?:", "title" = "a URL that begins with ws:// or wss://", "examples" = ["ws://192.0.2.7/console"]))]
    pub url: String,
    /// Tell clients the address, for those that can reach it directly.
    #[default = true]
    pub enable_address: bool,
}

/// A WebSocket connection for each caller (RFC 6455).
///
/// One message is one message, in both directions; what callers send is sent as binary, text arrives as its bytes (UTF-8).
/// WebSockets have no half close: a caller that has sent everything goes on receiving. When the server closes with 1000 or
/// 1001, that is an end; any other code, and a connection that is gone without one, is an error. Certificates are checked
/// against the system's; `SSL_CERT_FILE` of the exporter names others.
#[driver(
    type = "websocket-network",
    provides(Network, NetworkAddress),
    config = WebSocketNetworkConfig,
    aliases("jumpstarter_driver_network.driver.WebsocketNetwork")
)]
pub struct WebSocketNetwork {
    url: String,
    enable_address: bool,
    place: Place,
    /// The URL as messages show it.
    shown: String,
    request: Request,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

fn wrong(text: &str, why: &str) -> Error {
    Error::configuration(format!("`url`: {text:?} is no address of a WebSocket: {why}"))
}

/// What a URL says.
struct Understood {
    place: Place,
    /// As messages show it.
    shown: String,
    request: Request,
    secure: bool,
}

impl Understood {
    fn new(text: &str) -> Result<Self> {
        let wrong = |why: &str| wrong(text, why);
        let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let (secure, usual) = match url.scheme() {
            "ws" => (false, 80),
            "wss" => (true, 443),
            _ => return Err(wrong("it has to begin with ws:// or wss://")),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let place = Place { port: url.port().unwrap_or(usual), host };
        let authorization = authorization(&url).map_err(wrong)?;
        // Nobody else gets to see who we are.
        let failed = url.set_username("").is_err() || url.set_password(None).is_err();
        url.set_fragment(None);
        if failed {
            return Err(wrong("the name or the password cannot be read"));
        }
        let shown = url.to_string();
        let mut request = shown.as_str().into_client_request().map_err(|error| wrong(&error.to_string()))?;
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        Ok(Self { place, shown, request, secure })
    }
}

impl Driver for WebSocketNetwork {
    fn check(config: &WebSocketNetworkConfig) -> Vec<Error> {
        Understood::new(&config.url).err().into_iter().collect()
    }

    async fn open(config: WebSocketNetworkConfig, _: &mut Open) -> Result<Self> {
        let WebSocketNetworkConfig { url: text, enable_address } = config;
        let Understood { place, shown, request, secure } = Understood::new(&text)?;
        let wrong = |why: &str| wrong(&text, why);
        let tls = if secure {
            let name = ServerName::try_from(place.host.clone()).map_err(|error| wrong(&error.to_string()))?;
            Some((connector().await?, name))
        } else {
            None
        };
        Ok(Self { url: text, enable_address, place, shown, request, tls })
    }
}

/// Basic authentication (RFC 7617), where the URL has a name or a password.
fn authorization(url: &Url) -> Result<Option<HeaderValue>, &'static str> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let plain = |text: &str| percent_decoded(text);
    let pair = [plain(url.username()), vec![b':'], plain(url.password().unwrap_or_default())].concat();
    let value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair)));
    let mut value = value.map_err(|_| "the name or the password cannot be sent")?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn percent_decoded(text: &str) -> Vec<u8> {
    // The same decoding as in forms, apart from the plus sign.
    let text = text.replace('+', "%2B");
    let form = format!("x={text}");
    url::form_urlencoded::parse(form.as_bytes())
        .next()
        .map_or_else(Vec::new, |(_, value)| value.into_owned().into_bytes())
}

/// TLS with the certificates of the system.
async fn connector() -> Result<TlsConnector> {
    let found = jumpstarter::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let found = found.await.map_err(|error| Error::internal(error.to_string()))?;
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        let text = format!(
            "no certificates of authorities were found for wss://{why}; install ca-certificates or set SSL_CERT_FILE"
        );
        return Err(Error::configuration(text));
    }
    // Named here, because another crate in the program may bring a second one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl WebSocketNetwork {
    async fn handshake<S>(&self, stream: S) -> Result<Io>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let limits = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
        let shaken = client_async_with_config(self.request.clone(), stream, Some(limits)).await;
        let (socket, _) = shaken.map_err(|error| self.refused(error))?;
        Ok(Io::messages(Messages {
            socket: Some(socket),
            shown: self.shown.clone(),
            finished: false,
            over: false,
        }))
    }

    /// Why the server did not become one of WebSockets.
    fn refused(&self, error: tungstenite::Error) -> Error {
        let shown = &self.shown;
        match error {
            tungstenite::Error::Http(response) => {
                let hint = match response.headers().get(LOCATION).map(HeaderValue::to_str) {
                    Some(Ok(location)) => format!("; it refers to {location}"),
                    _ => String::new(),
                };
                let status = response.status();
                Error::device(format!("connecting to {shown}: the server answered {status}{hint}"))
            }
            tungstenite::Error::Io(error) => {
                Error::from(error).context(format_args!("connecting to {shown}"))
            }
            error => {
                let text = format!("connecting to {shown}: this is no WebSocket server: {error}");
                Error::device(text).caused_by(error)
            }
        }
    }
}

impl Network for WebSocketNetwork {
    async fn connect(&self) -> Result<Io> {
        let opening = async {
            let stream = Wire::new(self.place.connect().await?, &self.place);
            match &self.tls {
                None => self.handshake(stream).await,
                Some((connector, name)) => {
                    let stream = connector.connect(name.clone(), stream).await.map_err(|error| {
                        let kind = match error.get_ref() {
                            Some(inner) if inner.is::<rustls::Error>() => ErrorKind::Unauthenticated,
                            _ => Error::from(io::Error::from(error.kind())).kind(),
                        };
                        let text = format!("connecting to {}: TLS was refused: {error}", self.shown);
                        Error::new(kind, text).caused_by(error)
                    })?;
                    self.handshake(stream).await
                }
            }
        };
        match timeout(PATIENCE, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Error::timeout(format!(
                "connecting to {}: the server did not answer within {} seconds",
                self.shown,
                PATIENCE.as_secs()
            ))),
        }
    }
}

impl NetworkAddress for WebSocketNetwork {
    async fn address(&self) -> Result<String> {
        if self.enable_address { Ok(self.url.clone()) } else { Err(hidden()) }
    }
}

/// A WebSocket as messages.
struct Messages<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    /// Taken when it is dropped.
    socket: Option<WebSocketStream<S>>,
    shown: String,
    /// Whether the caller has sent everything.
    finished: bool,
    /// Whether the server has ended the connection, or it has broken.
    over: bool,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Messages<S> {
    fn socket(&mut self) -> io::Result<Pin<&mut WebSocketStream<S>>> {
        self.socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn worded(&mut self, error: tungstenite::Error) -> io::Error {
        self.over = true;
        let shown = &self.shown;
        match error {
            // It says already where it leads.
            tungstenite::Error::Io(error)
                if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>) =>
            {
                error
            }
            tungstenite::Error::Io(error) => {
                Error::from(error).context(format_args!("the connection to {shown} has failed")).into()
            }
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
                Error::disconnected(format!("{shown} has closed the connection")).into()
            }
            tungstenite::Error::Capacity(error) => {
                let text = format!("{shown} has sent more than {LARGEST} bytes in one message: {error}");
                Error::device(text).into()
            }
            tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
                Error::disconnected(format!("{shown} has gone without closing the connection")).into()
            }
            error => Error::device(format!("{shown} does not keep to the protocol: {error}")).into(),
        }
    }

    /// What the server's last words mean.
    fn closed(&mut self, frame: Option<CloseFrame>) -> Option<io::Result<Bytes>> {
        self.over = true;
        match frame {
            None => None,
            Some(frame) if matches!(frame.code, CloseCode::Normal | CloseCode::Away | CloseCode::Status) => {
                None
            }
            Some(frame) => {
                let reason =
                    if frame.reason.is_empty() { String::new() } else { format!(": {}", frame.reason) };
                let code = u16::from(frame.code);
                let text = format!("{} has closed the connection with code {code}{reason}", self.shown);
                Some(Err(Error::device(text).into()))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for Messages<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            let message = ready!(self.socket()?.poll_next(cx));
            return Poll::Ready(match message {
                Some(Ok(Message::Binary(message))) => Some(Ok(message)),
                Some(Ok(Message::Text(text))) => Some(Ok(text.into())),
                Some(Ok(Message::Close(frame))) => self.closed(frame),
                // Answered by the library, and nobody's data (S5).
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(error)) => Some(Err(self.worded(error))),
                None => {
                    self.over = true;
                    None
                }
            });
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Sink<Bytes> for Messages<S> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            let text = "this direction of the connection is finished";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, text)));
        }
        let ready = ready!(self.socket()?.poll_ready(cx));
        Poll::Ready(ready.map_err(|error| self.worded(error)))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Bytes) -> io::Result<()> {
        let sent = self.socket()?.start_send(Message::Binary(message));
        sent.map_err(|error| self.worded(error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.socket()?.poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| self.worded(error)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.over {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        self.finished = true;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Drop for Messages<S> {
    fn drop(&mut self) {
        // A caller that was cut off has not come to an end, and the server must not think so: it sees a lost connection.
        let Some(mut socket) = self.socket.take().filter(|_| self.finished && !self.over) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(timeout(FAREWELL, async move {
            let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            if socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = socket.next().await {}
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opened(url: &str) -> Result<(), String> {
        let text = format!(
            "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nexport:\n  ws:\n    type: websocket-network\n    config: {{url: {url:?}}}\n"
        );
        let bench = jumpstarter_testing::serve_text("test.yaml", &text, &[crate::DRIVERS]).await;
        match bench {
            Ok(bench) => {
                bench.stop().await;
                Ok(())
            }
            Err(error) => Err(error.message().to_owned()),
        }
    }

    #[jumpstarter::test]
    async fn what_is_no_address_is_refused_at_the_start() {
        // What does not even begin like one is refused when the file is read.
        let said = opened("ws://").await.unwrap_err();
        assert!(said.contains("\"ws://\" is no address of a WebSocket: empty host"), "{said}");
        assert_eq!(opened("ws://localhost:9000/console?x=1").await, Ok(()));
    }

    #[test]
    fn a_name_and_a_password_are_sent_as_basic_authentication() {
        let value = |url: &str| authorization(&Url::parse(url).unwrap()).unwrap();
        assert_eq!(value("ws://localhost/"), None);
        // The example of RFC 7617, section 2.
        let aladdin = value("ws://Aladdin:open%20sesame@localhost/").unwrap();
        assert_eq!(aladdin, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(
            value("ws://a+b:c@localhost/").unwrap(),
            format!("Basic {}", BASE64_STANDARD.encode("a+b:c"))
        );
    }
}
