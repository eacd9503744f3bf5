//! Channels to sessions: over unix sockets, TCP, TLS and tunnels.
//!
//! "Insecure" means two different things in configuration files and on command lines. Here they have different names:
//! [`Security::ClearText`] is no encryption at all, [`Security::Unverified`] is encryption with whoever answers.

use std::{error::Error as StdError, fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use http::Uri;
use hyper_util::rt::TokioIo;
use jumpstarter_core::{Error, ErrorKind, Result};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::Mutex,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport,
};
use tower::service_fn;

use crate::{
    server::{CONNECTION_WINDOW, FRAME, STREAM_WINDOW},
    status::innermost,
    tls,
};

/// Metadata key of a standalone exporter's passphrase.
pub const PASSPHRASE: &str = "x-jumpstarter-passphrase";

/// How often an idle TCP connection is checked. Peers tolerate 10 s and more.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// After which silence a checked connection is given up.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(180);

/// A connection to a session. Cheap to clone; belongs to the runtime it was made in.
pub type Channel = InterceptedService<transport::Channel, Credentials>;

/// Where a session is, as in the environment variable `JUMPSTARTER_HOST`: `host:port`, or the absolute path of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Path of a unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

impl Endpoint {
    /// Reads `host:port` or the absolute path of a socket.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Err(Error::usage(format!(
                "{text:?} is no endpoint: {why}; expected host:port or the absolute path of a socket"
            )))
        };
        if text.is_empty() {
            return wrong("it is empty");
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return wrong(&format!("leave out {scheme:?} and write {rest:?}"));
        }
        let port = text.rsplit_once(':').and_then(|(host, port)| Some((host, decimal(port)?)));
        let Some((host, port)) = port else {
            return match text.strip_prefix("unix:") {
                Some(rest) => wrong(&format!("leave out \"unix:\" and write {rest:?}")),
                None if text.starts_with('/') => Ok(Self::Unix(PathBuf::from(text))),
                None if text.contains('/') => wrong("the path is relative"),
                None => wrong("there is no port"),
            };
        };
        let Ok(port @ 1..) = u16::try_from(port) else {
            return wrong("ports are 1 to 65535");
        };
        if host.contains('/') {
            return wrong(
                "a socket's path must not end in a colon and digits, others would take them for a port",
            );
        }
        let host = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
            Some(Some(address)) => address,
            Some(None) => return wrong("a bracket is missing"),
            None if host.contains(':') => return wrong(&format!("write [{host}]:{port}")),
            None => host,
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return wrong("the host is missing");
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

/// A number in digits only; one that does not fit is the largest.
fn decimal(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().unwrap_or(u32::MAX))
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// How a TCP connection is protected. Unix sockets are protected by their directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Security {
    /// Encrypted, and the server proves its name with a certificate.
    #[default]
    Verified,
    /// Encrypted, and the server's certificate descends from one of these (PEM).
    VerifiedBy(Vec<u8>),
    /// Encrypted, with whoever answers: protects from listeners, not from impostors.
    Unverified,
    /// Not encrypted at all.
    ClearText,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// How a TCP connection is protected.
    pub security: Security,
    /// What to send along with every call.
    pub credentials: Credentials,
    /// How long connecting may take, TLS included.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            security: Security::default(),
            credentials: Credentials::none(),
            timeout: Duration::from_secs(20),
        }
    }
}

/// What is sent along with every call to be let in.
#[derive(Clone, Default)]
pub struct Credentials {
    passphrase: Option<MetadataValue<Ascii>>,
}

impl Credentials {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// The passphrase of a standalone exporter.
    ///
    /// # Errors
    /// When it cannot be sent as a header: only printable ASCII can.
    pub fn passphrase(text: &str) -> Result<Self> {
        let mut value = MetadataValue::try_from(text).map_err(|_| {
            Error::usage("the passphrase has characters that cannot be sent; use printable ASCII only")
        })?;
        value.set_sensitive(true);
        Ok(Self { passphrase: Some(value) })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("passphrase", &self.passphrase.as_ref().map(|_| "***")).finish()
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(passphrase) = &self.passphrase {
            request.metadata_mut().insert(PASSPHRASE, passphrase.clone());
        }
        Ok(request)
    }
}

/// Connects to a session, and again whenever the connection was lost and there is another call.
///
/// # Errors
/// When the first connection cannot be made: refused, absent, not trusted, or not in time.
pub async fn connect(endpoint: &Endpoint, options: &Options) -> Result<Channel> {
    let attempt = async {
        match endpoint {
            Endpoint::Unix(path) => connect_unix(path.clone()).await,
            Endpoint::Tcp { host, port } => connect_tcp(host.clone(), *port, &options.security).await,
        }
    };
    let channel = match timeout(options.timeout, attempt).await {
        Ok(channel) => {
            channel.map_err(|error| error.context(format_args!("cannot connect to {endpoint}")))?
        }
        Err(_) => {
            let limit = options.timeout.as_secs_f64();
            return Err(Error::timeout(format!("cannot connect to {endpoint}: no answer within {limit} s")));
        }
    };
    Ok(InterceptedService::new(channel, options.credentials.clone()))
}

/// Speaks to a session over a connection that exists already, such as a tunnel. Once it is lost, calls fail.
///
/// # Errors
/// When the connection is lost at once.
pub async fn connect_stream<I>(io: I, credentials: Credentials) -> Result<Channel>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let once = Arc::new(Mutex::new(Some(io)));
    let connector = service_fn(move |_: Uri| {
        let once = Arc::clone(&once);
        async move {
            let io = once.lock().await.take();
            io.map(TokioIo::new).ok_or_else(|| Error::disconnected("the connection was lost"))
        }
    });
    // No pings: a Python session at the far end would disconnect us for them.
    let channel = open(plain()?, connector).await?;
    Ok(InterceptedService::new(channel, credentials))
}

async fn connect_unix(path: PathBuf) -> Result<transport::Channel> {
    let connector = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { Ok::<_, Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    });
    // No pings here either.
    open(plain()?, connector).await
}

async fn connect_tcp(host: String, port: u16, security: &Security) -> Result<transport::Channel> {
    let name = Endpoint::Tcp { host: host.clone(), port }.to_string();
    let keepalive = |endpoint: transport::Endpoint| {
        endpoint
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
    };
    let Some(config) = client_config(security)? else {
        let endpoint = keepalive(endpoint(&format!("http://{name}"))?);
        let connector = service_fn(move |_: Uri| {
            let host = host.clone();
            async move { Ok::<_, Error>(TokioIo::new(tcp(&host, port).await?)) }
        });
        return open(endpoint, connector).await;
    };
    let server = ServerName::try_from(host.clone())
        .map_err(|_| Error::usage(format!("{host:?} is neither a host name nor an address")))?;
    let origin = Uri::try_from(format!("https://{name}"))
        .map_err(|error| Error::usage(format!("{name:?} is no address: {error}")))?;
    // tonic wants to do TLS itself for `https`; what the server sees is the origin.
    let endpoint = keepalive(endpoint(&format!("http://{name}"))?).origin(origin);
    let tls = TlsConnector::from(config);
    let connector = service_fn(move |_: Uri| {
        let (host, server, tls) = (host.clone(), server.clone(), tls.clone());
        async move { Ok::<_, Error>(TokioIo::new(handshake(&tls, server, tcp(&host, port).await?).await?)) }
    });
    open(endpoint, connector).await
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn handshake(
    tls: &TlsConnector,
    server: ServerName<'static>,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>> {
    tls.connect(server, stream).await.map_err(|error| {
        let untrusted = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match untrusted {
            Some(rustls::Error::InvalidCertificate(why)) => Error::new(
                ErrorKind::Unauthenticated,
                format!("the server's certificate is not trusted ({why:?}); give its CA, or connect without verification"),
            ),
            Some(rustls::Error::InvalidMessage(_)) => {
                Error::disconnected("the server does not speak TLS; it may be listening in clear text")
            }
            _ => Error::disconnected(format!("the TLS handshake failed: {error}")),
        }
        .caused_by(error)
    })
}

/// An endpoint without a name of its own.
fn plain() -> Result<transport::Endpoint> {
    endpoint("http://localhost")
}

fn endpoint(uri: &str) -> Result<transport::Endpoint> {
    let endpoint = transport::Endpoint::from_shared(uri.to_owned())
        .map_err(|error| Error::usage(format!("{uri} is no address: {}", innermost(&error))))?;
    Ok(endpoint
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .http2_max_header_list_size(64 * 1024))
}

async fn open<C, I>(endpoint: transport::Endpoint, connector: C) -> Result<transport::Channel>
where
    C: tower::Service<Uri, Response = TokioIo<I>, Error = Error, Future: Send> + Send + 'static,
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    endpoint.connect_with_connector(connector).await.map_err(|error| {
        // Ours is somewhere in tonic's chain; everything around it only says "transport error".
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(this) = cause {
            if let Some(ours) = this.downcast_ref::<Error>() {
                return ours.clone();
            }
            cause = this.source();
        }
        Error::disconnected(innermost(&error)).caused_by(error)
    })
}

/// TLS as demanded; `None` for clear text.
fn client_config(security: &Security) -> Result<Option<Arc<ClientConfig>>> {
    if *security == Security::ClearText {
        return Ok(None);
    }
    let provider = tls::provider()?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::configuration(format!("the TLS provider is not usable: {error}")))?;
    let mut config = match security {
        Security::Unverified => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth(),
        Security::VerifiedBy(pem) => builder.with_root_certificates(roots(pem)?).with_no_client_auth(),
        Security::Verified | Security::ClearText => {
            builder.with_root_certificates(system_roots()?).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn roots(pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| Error::configuration(format!("the CA is not PEM: {error}")))?;
        roots
            .add(certificate)
            .map_err(|error| Error::configuration(format!("the CA cannot be used: {error}")))?;
    }
    if roots.is_empty() {
        return Err(Error::configuration(
            "there is no certificate in the CA; expected PEM with -----BEGIN CERTIFICATE-----",
        ));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        let reasons: Vec<_> = loaded.errors.iter().map(ToString::to_string).collect();
        return Err(Error::configuration(format!(
            "this system has no certificates to trust ({}); install its CA package or give a CA",
            if reasons.is_empty() { "none found".to_owned() } else { reasons.join("; ") }
        )));
    }
    Ok(roots)
}

/// Trusts everybody's name, but still checks that the server holds the key of the certificate it shows.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_the_existing_client_reads_them() {
        let tcp = |host: &str, port| Endpoint::Tcp { host: host.to_owned(), port };
        for (text, endpoint) in [
            (
                "/run/user/1000/jumpstarter-x/socket",
                Endpoint::Unix("/run/user/1000/jumpstarter-x/socket".into()),
            ),
            ("/tmp/a:b", Endpoint::Unix("/tmp/a:b".into())),
            ("localhost:8082", tcp("localhost", 8082)),
            ("127.0.0.1:1", tcp("127.0.0.1", 1)),
            ("[::1]:65535", tcp("::1", 65535)),
        ] {
            let parsed = Endpoint::parse(text).expect(text);
            assert_eq!(parsed, endpoint);
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn wrong_endpoints_say_what_to_write_instead() {
        for (text, remedy) in [
            ("", "it is empty"),
            ("unix:///tmp/s", r#"write "/tmp/s""#),
            ("unix:/tmp/s", r#"write "/tmp/s""#),
            ("https://host:1", r#"write "host:1""#),
            ("run/socket", "the path is relative"),
            ("localhost", "there is no port"),
            ("localhost:0", "ports are 1 to 65535"),
            ("localhost:65536", "ports are 1 to 65535"),
            ("localhost:99999999999999", "ports are 1 to 65535"),
            ("/tmp/socket:5", "must not end in a colon and digits"),
            ("::1:80", "write [::1]:80"),
            ("[::1:80", "a bracket is missing"),
            (":80", "the host is missing"),
        ] {
            let error = Endpoint::parse(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().contains(remedy), "{text}: {error}");
        }
    }

    #[test]
    fn a_passphrase_is_never_printed() {
        let credentials = Credentials::passphrase("open sesame").expect("plain text");
        assert!(!format!("{credentials:?}").contains("sesame"));
        let options = Options { credentials, ..Options::default() };
        assert!(!format!("{options:?}").contains("sesame"));
        assert!(Credentials::passphrase("new\nline").is_err());
    }
}
