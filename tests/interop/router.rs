//! Python's two ends of a tunnel, and our router between them, over TLS.

use jumpstarter_router::{Key, Limits, Router, Tokens, serve, token::now};
use jumpstarter_tests::python::{python, scripts};
use jumpstarter_transport::server::Identity;
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_ends_of_a_tunnel_meet_at_our_router() {
    let Some(python) = python() else { return };
    // As every program does first; another test of this binary may have been quicker.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tokens = Tokens::new(Key::Fixed(b"shared with the controller".to_vec()));
    let router = Router::new(tokens.clone(), Limits::default());
    let server = serve::server(router.clone()).expect("a server").0;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("made");
    let identity =
        Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())
            .expect("usable");
    server.listen_tcp(listener, Some(identity));

    let mut command = python.process("python");
    command.arg(scripts().join("router_peers.py")).arg(address.to_string());
    command.arg(tokens.issue("a stream", now()).expect("a token"));
    command.arg(Tokens::new(Key::Fixed(b"another key".to_vec())).issue("a stream", now()).expect("a token"));
    let output = command.output().await.expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert_eq!(
        said,
        "exporter heard 300000 bytes\nclient heard 300000 bytes\nexporter heard the end\nclient heard the end\n\
         a foreign token: StatusCode.UNAUTHENTICATED invalid jwt token\n"
    );
    server.shutdown(std::time::Duration::from_secs(1)).await;
    assert_eq!(router.load().calls, 0);
}
