//! Encrypted listeners, and the two meanings of "insecure".

use std::{convert::Infallible, sync::Once, time::Duration};

use jumpstarter_core::{Error, ErrorKind};
use jumpstarter_transport::{
    connect::{self, Channel, Endpoint, Options, Security},
    server::{Identity, Server},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::{Echo, echo};

fn provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .expect("the first one in this process");
    });
}

/// A certificate for `localhost` and its key, PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

struct Listening {
    _server: Server<tonic::service::Routes>,
    port: u16,
    certificate: String,
}

async fn listen(encrypted: bool) -> Listening {
    provider();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("bound").port();
    let (certificate, key) = certificate();
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("an identity");
    let server = Echo::default().server();
    server.listen_tcp(listener, encrypted.then_some(identity));
    Listening { _server: server, port, certificate }
}

async fn connect(host: &str, port: u16, security: Security) -> Result<Channel, Error> {
    let endpoint = Endpoint::Tcp { host: host.to_owned(), port };
    connect::connect(&endpoint, &Options { security, ..Options::default() }).await
}

#[tokio::test]
async fn a_certificate_that_is_trusted_lets_calls_through() {
    let listening = listen(true).await;
    let channel =
        connect("localhost", listening.port, Security::VerifiedBy(listening.certificate.into_bytes()))
            .await
            .expect("a channel");
    assert_eq!(echo(&channel, "hello".into()).await.expect("an echo"), b"hello");
}

#[tokio::test]
async fn certificates_of_strangers_and_other_names_are_refused() {
    let listening = listen(true).await;
    let own = Security::VerifiedBy(listening.certificate.clone().into_bytes());
    let stranger = Security::VerifiedBy(certificate().0.into_bytes());
    for (host, security) in [("127.0.0.1", own), ("localhost", stranger)] {
        let error = connect(host, listening.port, security).await.expect_err("not to be trusted");
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(error.message().contains("certificate is not trusted"), "{error}");
    }
}

#[tokio::test]
async fn pitfall_t9_unverified_is_still_encrypted() {
    let encrypted = listen(true).await;
    for host in ["localhost", "127.0.0.1"] {
        let channel = connect(host, encrypted.port, Security::Unverified).await.expect("a channel");
        assert_eq!(echo(&channel, "hello".into()).await.expect("an echo"), b"hello");
    }
    let clear = listen(false).await;
    let error = connect("localhost", clear.port, Security::Unverified).await.expect_err("not in clear text");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
}

#[tokio::test]
async fn pitfall_t9_clear_text_is_never_encrypted() {
    let clear = listen(false).await;
    let channel = connect("localhost", clear.port, Security::ClearText).await.expect("a channel");
    assert_eq!(echo(&channel, "hello".into()).await.expect("an echo"), b"hello");
    let encrypted = listen(true).await;
    // Connecting sends only; the first call finds out.
    if let Ok(channel) = connect("localhost", encrypted.port, Security::ClearText).await {
        echo(&channel, "hello".into()).await.expect_err("the listener expects TLS");
    }
}

#[tokio::test]
async fn pitfall_t9_a_connection_that_only_looks_at_the_certificate_is_tolerated() {
    let listening = listen(true).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = listening.certificate.as_bytes();
    roots.add(rustls_pki_types::pem::PemObject::from_pem_slice(pem).expect("PEM")).expect("a root");
    // Without ALPN, as existing clients do it.
    let probe = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", listening.port)).await.expect("connected");
    let name = "localhost".try_into().expect("a name");
    let probed =
        TlsConnector::from(std::sync::Arc::new(probe)).connect(name, stream).await.expect("a handshake");
    assert_eq!(probed.get_ref().1.peer_certificates().map(<[_]>::len), Some(1));
    drop(probed);
    let channel = connect("localhost", listening.port, Security::Unverified).await.expect("a channel");
    assert_eq!(echo(&channel, "hello".into()).await.expect("an echo"), b"hello");
}

#[tokio::test]
async fn pitfall_t8_the_server_sees_https_and_the_name_that_was_asked_for() {
    provider();
    let (seen, mut uris) = tokio::sync::mpsc::channel(1);
    let service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let seen = seen.clone();
        async move {
            seen.send(request.uri().clone()).await.expect("the test waits");
            Ok::<_, Infallible>(tonic::Status::unimplemented("").into_http())
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("bound").port();
    let (certificate, key) = certificate();
    let server = Server::new(service);
    server.listen_tcp(
        listener,
        Some(Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("an identity")),
    );
    let channel = connect("localhost", port, Security::Unverified).await.expect("a channel");
    echo(&channel, "hello".into()).await.expect_err("not implemented");
    let uri = uris.recv().await.expect("a call");
    assert_eq!(uri.scheme_str(), Some("https"));
    assert_eq!(uri.authority().map(ToString::to_string), Some(format!("localhost:{port}")));
}

#[tokio::test]
async fn a_listener_that_never_answers_is_given_up() {
    provider();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("bound").port();
    let endpoint = Endpoint::Tcp { host: "127.0.0.1".to_owned(), port };
    let options =
        Options { security: Security::Unverified, timeout: Duration::from_millis(50), ..Options::default() };
    let error = connect::connect(&endpoint, &options).await.expect_err("no handshake");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(error.message().contains("no answer within 0.05 s"), "{error}");
}

#[test]
fn files_that_are_no_certificates_are_named() {
    provider();
    let (certificate, key) = certificate();
    for (chain, key, what) in [
        ("", &*key, "no certificate in its file"),
        (&*certificate, "", "no private key in its file"),
        (&*certificate, &*self::certificate().1, "the private key is not that of the certificate"),
    ] {
        let error = Identity::from_pem(chain.as_bytes(), key.as_bytes()).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains(what), "{error}");
    }
}
