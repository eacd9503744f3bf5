//! Connections and single HTTP/1.1 exchanges.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request as Message, Response, StatusCode, Uri};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::transfer::{Download, Upload};
use super::url::Url;
use super::{Error, Method, REDIRECTS, Request, SILENCE, TIME_LIMIT};

/// Most bytes of an answer that wait in memory for their reader; also the limit for an answer's head.
const BUFFER: usize = 64 * 1024;

/// Headers that a redirect to another origin must not carry along.
const CREDENTIALS: [&str; 6] =
    ["authorization", "cookie", "proxy-authorization", "x-amz-", "x-ms-", "x-goog-"];

/// Headers that belong to one connection; the connection is ours.
const OF_A_CONNECTION: [HeaderName; 5] =
    [header::CONNECTION, header::TE, header::TRAILER, header::TRANSFER_ENCODING, header::UPGRADE];

/// Makes presigned transfers. Cheap to clone; every transfer has a connection of its own.
#[derive(Clone)]
pub struct Http {
    time_limit: Duration,
    silence: Duration,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// With the usual [time limit](TIME_LIMIT) and the trust roots of this machine.
    pub fn new() -> Self {
        Self { time_limit: TIME_LIMIT, silence: SILENCE, tls: None }
    }

    /// With another limit for a whole transfer.
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// With another limit for a server of which nothing comes.
    pub fn with_silence(mut self, limit: Duration) -> Self {
        self.silence = limit;
        self
    }

    /// With other trust roots, for example those of a company. ALPN must be empty or offer `http/1.1`.
    pub fn with_tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Sends a `GET` and follows redirects until there is a body to read.
    ///
    /// Dropping the future or the [`Download`] closes the connection.
    pub async fn get(&self, request: &Request) -> Result<Download, Error> {
        if request.method != Method::Get {
            return Err(Error::Handle("the method is PUT, but the driver reads: use GET".to_owned()));
        }
        let limit = Limit::start(Method::Get, self.time_limit, &request.url);
        let silence = Silence { limit: self.silence, url: request.url.redacted() };
        limit.apply(self.follow(request, &limit, &silence)).await
    }

    async fn follow(&self, request: &Request, limit: &Limit, silence: &Silence) -> Result<Download, Error> {
        let mut url = request.url.clone();
        let mut headers = request.headers.clone();
        for _ in 0..=REDIRECTS {
            let message = message(Method::Get, &url, &headers, http_body_util::Empty::<Bytes>::new())?;
            let mut exchange = self.connect(Method::Get, &url).await?;
            let response = silence.apply(exchange.ask(message)).await?;
            if !is_redirect(response.status()) {
                limit.check(&response)?;
                let silence = Silence { url: url.redacted(), ..*silence };
                return Download::new(response, exchange.connection, limit.clone(), silence);
            }
            let refused = |reason: String| Error::Redirect { url: url.redacted(), reason };
            let location = response
                .headers()
                .get(header::LOCATION)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| refused("there is no Location header".to_owned()))?;
            let location = std::str::from_utf8(location.as_bytes())
                .map_err(|_| refused("its Location header is not text".to_owned()))?;
            let next = url.join(location).map_err(|reason| refused(format!("its Location: {reason}")))?;
            if !next.same_origin(&url) {
                drop_credentials(&mut headers);
            }
            url = next;
        }
        Err(Error::Redirect {
            url: request.url.redacted(),
            reason: format!("there are more than {REDIRECTS} redirects"),
        })
    }

    /// Opens a `PUT`; the bytes follow through the [`Upload`].
    ///
    /// They go out in chunks as they come, unless the handle has a Content-Length header. Redirects are
    /// errors. Must be called inside a Tokio runtime.
    pub async fn put(&self, request: &Request) -> Result<Upload, Error> {
        if request.method != Method::Put {
            return Err(Error::Handle("the method is GET, but the driver writes: use PUT".to_owned()));
        }
        let limit = Limit::start(Method::Put, self.time_limit, &request.url);
        let length =
            match request.headers.get(header::CONTENT_LENGTH) {
                None => None,
                Some(value) => {
                    Some(value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| {
                        Error::Handle("headers: `content-length` is not a number".to_owned())
                    })?)
                }
            };
        let (parts, body) = super::transfer::upload_body();
        let message = message(Method::Put, &request.url, &request.headers, body)?;
        let exchange = limit.apply(self.connect(Method::Put, &request.url)).await?;
        Ok(Upload::new(exchange, message, parts, length, limit))
    }

    async fn connect<B>(&self, method: Method, url: &Url) -> Result<Exchange<B>, Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let failed =
            |reason: String| Error::Connection { method: method.name(), url: url.redacted(), reason };
        let socket = TcpStream::connect((url.host.as_str(), url.port))
            .await
            .map_err(|error| failed(format!("connecting to {}:{}: {error}", url.host, url.port)))?;
        // Only latency is lost without it.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        if !url.secure {
            return Exchange::open(socket, method, url).await;
        }
        let config = match &self.tls {
            Some(config) => Arc::clone(config),
            None => native_roots().await.map_err(failed)?,
        };
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| failed(format!("`{}` cannot be the name in a certificate", url.host)))?;
        let secured = TlsConnector::from(config)
            .connect(name, socket)
            .await
            .map_err(|error| failed(format!("TLS with {}: {error}", url.host)))?;
        Exchange::open(secured, method, url).await
    }
}

/// How long a server may say nothing, and where it is, redacted.
pub(super) struct Silence {
    pub(super) limit: Duration,
    pub(super) url: String,
}

impl Silence {
    pub(super) fn error(&self) -> Error {
        Error::Silent { seconds: self.limit.as_secs_f64().to_string(), url: self.url.clone() }
    }

    async fn apply<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(self.limit, work).await.unwrap_or_else(|_| Err(self.error()))
    }
}

/// The time limit of a transfer, and what its messages are about.
#[derive(Clone)]
pub(super) struct Limit {
    pub(super) method: Method,
    pub(super) at: Instant,
    seconds: f64,
    /// The handle's URL, redacted.
    pub(super) url: String,
}

impl Limit {
    fn start(method: Method, limit: Duration, url: &Url) -> Self {
        let now = Instant::now();
        // A limit beyond the clock's range is as good as a year.
        let at = now.checked_add(limit).unwrap_or(now + Duration::from_hours(24 * 365));
        Self { method, at, seconds: limit.as_secs_f64(), url: url.redacted() }
    }

    pub(super) fn error(&self) -> Error {
        let (method, seconds) = (self.method.name(), self.seconds.to_string());
        Error::TimedOut { method, seconds, url: self.url.clone() }
    }

    pub(super) async fn apply<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout_at(self.at, work).await.unwrap_or_else(|_| Err(self.error()))
    }

    /// Anything but 2xx is an error.
    pub(super) fn check<B>(&self, response: &Response<B>) -> Result<(), Error> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let reason = match response.extensions().get::<hyper::ext::ReasonPhrase>() {
            Some(reason) => String::from_utf8_lossy(reason.as_bytes()).chars().take(200).collect(),
            None => status.canonical_reason().unwrap_or_default().to_owned(),
        };
        let (method, status) = (self.method.name(), status.as_u16());
        Err(Error::Status { method, status, reason, url: self.url.clone() })
    }
}

type Connection = std::pin::Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// One connection, for one request.
pub(super) struct Exchange<B> {
    sender: http1::SendRequest<B>,
    /// Does the reading and writing; to be polled beside whatever waits for the answer or its body.
    pub(super) connection: Connection,
    method: Method,
    url: String,
}

impl<B> Exchange<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn open<I>(io: I, method: Method, url: &Url) -> Result<Self, Error>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let url = url.redacted();
        let opened = http1::Builder::new().max_buf_size(BUFFER).handshake::<_, B>(TokioIo::new(io)).await;
        match opened {
            Ok((sender, connection)) => Ok(Self { sender, connection: Box::pin(connection), method, url }),
            Err(error) => Err(Error::Connection { method: method.name(), url, reason: with_causes(&error) }),
        }
    }

    /// Sends the request and waits for the head of the answer.
    pub(super) async fn ask(&mut self, message: Message<B>) -> Result<Response<Incoming>, Error> {
        let answer = self.sender.send_request(message);
        tokio::pin!(answer);
        let answer = tokio::select! {
            // An answer that is complete with the connection's end must be seen first.
            biased;
            answer = &mut answer => answer,
            ended = &mut self.connection => {
                if let Err(error) = &ended {
                    tracing::debug!(reason = %with_causes(error), "the connection ended before the answer");
                }
                // It is over and must not be polled again.
                self.connection = Box::pin(std::future::pending());
                answer.await
            }
        };
        answer.map_err(|error| Error::Connection {
            method: self.method.name(),
            url: self.url.clone(),
            reason: with_causes(&error),
        })
    }
}

/// An error with all that it was caused by, because the libraries keep the interesting part there.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Leaves what the next origin may see. The Host header, too, was meant for the first one only.
fn drop_credentials(headers: &mut HeaderMap) {
    let dropped: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            **name == header::HOST || CREDENTIALS.iter().any(|prefix| name.as_str().starts_with(prefix))
        })
        .cloned()
        .collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// The request as it is sent: the handle's headers, and defaults for what they leave open.
fn message<B>(method: Method, url: &Url, headers: &HeaderMap, body: B) -> Result<Message<B>, Error> {
    let wrong = |reason: String| Error::Handle(format!("url: {reason}"));
    let mut headers = headers.clone();
    for name in &OF_A_CONNECTION {
        headers.remove(name);
    }
    let mut default = |name: HeaderName, value: HeaderValue| {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    };
    default(header::HOST, url.host_header().map_err(wrong)?);
    default(header::ACCEPT, HeaderValue::from_static("*/*"));
    default(header::USER_AGENT, HeaderValue::from_static(concat!("jumpstarter/", env!("CARGO_PKG_VERSION"))));
    if let Some(value) = url.authorization() {
        default(header::AUTHORIZATION, value);
    }
    match method {
        Method::Get => {
            // Part of an encoded answer cannot be unpacked.
            let accepted = if headers.contains_key(header::RANGE) { "identity" } else { "gzip, deflate" };
            if !headers.contains_key(header::ACCEPT_ENCODING) {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            }
            headers.remove(header::CONTENT_LENGTH);
        }
        Method::Put => {
            default(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        }
    }
    let uri: Uri = url.target().map_err(wrong)?.into();
    let mut message = Message::new(body);
    *message.method_mut() = match method {
        Method::Get => http::Method::GET,
        Method::Put => http::Method::PUT,
    };
    *message.uri_mut() = uri;
    *message.headers_mut() = headers;
    Ok(message)
}

/// TLS settings with the trust roots of this machine, read once.
async fn native_roots() -> Result<Arc<rustls::ClientConfig>, String> {
    static CONFIG: OnceCell<Arc<rustls::ClientConfig>> = OnceCell::const_new();
    CONFIG
        .get_or_try_init(|| async {
            // It reads a few hundred files.
            let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
                .await
                .map_err(|error| format!("reading the trust roots of this machine: {error}"))?;
            let mut roots = rustls::RootCertStore::empty();
            let (usable, _) = roots.add_parsable_certificates(found.certs);
            if usable == 0 {
                let causes: Vec<String> = found.errors.iter().take(3).map(ToString::to_string).collect();
                return Err(format!(
                    "this machine has no trust roots ({}): install its CA certificates or set SSL_CERT_FILE",
                    causes.join("; ")
                ));
            }
            tls_config(roots).map(Arc::new)
        })
        .await
        .map(Arc::clone)
}

/// TLS settings with these roots, without relying on a provider chosen for the whole process.
pub(super) fn tls_config(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
