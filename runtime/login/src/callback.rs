//! Where a browser comes back to after somebody has signed in: a port of this machine, for one answer.

use std::{collections::HashMap, convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jumpstarter_core::{Error, ErrorKind, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

/// How long the page that says "done" may take to its reader.
const LAST_PAGE: Duration = Duration::from_secs(2);

/// Waits for a browser.
#[derive(Debug)]
pub struct Callback {
    four: TcpListener,
    six: Option<TcpListener>,
    port: u16,
}

impl Callback {
    /// Listens on a port of this machine, 0 for any.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn listen(port: u16) -> Result<Self> {
        let taken = |error: std::io::Error| {
            Error::from(error)
                .context(format!("listening on port {port} for the browser"))
                .with_kind(ErrorKind::Usage)
        };
        let four = TcpListener::bind(("127.0.0.1", port)).await.map_err(taken)?;
        let port = four.local_addr().map_err(taken)?.port();
        // What browsers take `localhost` for differs.
        let six = TcpListener::bind(SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port))).await.ok();
        Ok(Self { four, six, port })
    }

    /// The address that a provider sends the browser to.
    pub fn address(&self) -> String {
        format!("http://localhost:{}/callback", self.port)
    }

    /// Waits for the code. Whoever comes without the right `state` was not sent by the provider, and is not listened to.
    ///
    /// # Errors
    /// When the provider sends the browser back with a refusal.
    pub async fn code(self, state: &str) -> Result<String> {
        let (tell, mut told) = mpsc::channel(1);
        let mut connections = JoinSet::new();
        let answer = loop {
            let six = async {
                match &self.six {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            let accepted = tokio::select! {
                Some(answer) = told.recv() => break answer,
                accepted = self.four.accept() => accepted,
                accepted = six => accepted,
            };
            if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, state.to_owned(), tell.clone()));
            }
            while connections.try_join_next().is_some() {}
        };
        // Whoever was answered reads it; others that only keep a connection are not waited for.
        let _ = tokio::time::timeout(LAST_PAGE, connections.join_next()).await;
        answer
    }
}

async fn serve(stream: TcpStream, state: String, tell: mpsc::Sender<Result<String>>) {
    let service = service_fn(|request: Request<Incoming>| {
        let (status, text) = match answer(request.uri(), &state) {
            Some(Ok(code)) => {
                let _ = tell.try_send(Ok(code));
                (StatusCode::OK, "Login successful, you can close this page")
            }
            Some(Err(error)) => {
                let _ = tell.try_send(Err(error));
                (StatusCode::OK, "Login failed: the terminal says why. You can close this page")
            }
            None => (StatusCode::NOT_FOUND, "There is nothing here"),
        };
        let mut page = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *page.status_mut() = status;
        async move { Ok::<_, Infallible>(page) }
    });
    // A browser that goes away has no further questions.
    let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
}

/// What a request brings, if it is the one that is waited for.
fn answer(uri: &hyper::Uri, state: &str) -> Option<Result<String>> {
    if uri.path() != "/callback" {
        return None;
    }
    let fields: HashMap<_, _> = url::form_urlencoded::parse(uri.query()?.as_bytes()).collect();
    if fields.get("state")? != state {
        return None;
    }
    if let Some(error) = fields.get("error") {
        let more = fields.get("error_description").map(|text| format!(": {text}")).unwrap_or_default();
        return Some(Err(Error::new(
            ErrorKind::Unauthenticated,
            format!("the provider refuses: {error}{more}"),
        )));
    }
    fields.get("code").map(|code| Ok(code.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_provider_of_this_login_is_listened_to() {
        let of = |text: &str| answer(&text.parse().expect(text), "right");
        for other in
            ["/", "/callback", "/callback?code=1", "/callback?code=1&state=wrong", "/x?code=1&state=right"]
        {
            assert!(of(other).is_none(), "{other}");
        }
        assert_eq!(of("/callback?state=right&code=a%2Fb").expect("it").expect("a code"), "a/b");
        let refused =
            of("/callback?state=right&error=access_denied&error_description=no+thanks").expect("it");
        assert_eq!(refused.unwrap_err().message(), "the provider refuses: access_denied: no thanks");
    }
}
