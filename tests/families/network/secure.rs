//! WebSockets over TLS.

use std::sync::Arc;

use jumpstarter_interfaces::NetworkClient;
use jumpstarter_tests::{
    exporter::{Exporter, Program},
    programs,
};
use rustls::{ServerConfig, crypto::aws_lc_rs::default_provider, pki_types::PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async;

use super::{connect, entry, file, peers};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_if_its_authority_is() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, certified.cert.pem()).expect("a file");
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let peer = peers::tcp(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if let Ok(socket) = accept_async(stream).await {
                peers::converse(socket).await;
            }
        }
    })
    .await;
    let text = file(&[entry(
        "websocket",
        "WebsocketNetwork",
        &format!("url: 'wss://localhost:{}/'", peer.address.port()),
    )]);
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let stranger = folder.path().join("stranger.pem");
    std::fs::write(&stranger, other.cert.pem()).expect("a file");
    let program = Program::Ours(programs::jmp());
    for (file, trusted) in [(&authority, true), (&stranger, false)] {
        let environment = [("SSL_CERT_FILE", file.to_str().expect("text"))];
        let exporter = Exporter::local_with(&program, &text, &environment).await.expect("an exporter");
        let device = connect(&exporter.address).await;
        let network: NetworkClient = device.client("websocket").expect("a network");
        match network.connect().await {
            Ok(mut io) => {
                assert!(trusted, "a stranger was trusted");
                io.send("hello").await.expect("sent");
                assert_eq!(io.recv().await.expect("an answer").as_deref(), Some(&b"hello"[..]));
            }
            Err(error) => {
                assert!(!trusted, "{error}");
                assert_eq!(error.kind(), jumpstarter::ErrorKind::Unauthenticated, "{error}");
                let start =
                    format!("connecting to wss://localhost:{}/: TLS was refused: ", peer.address.port());
                assert!(error.message().starts_with(&start), "{error}");
            }
        }
        drop(device);
        exporter.stop().await.expect("an orderly end");
    }
}
