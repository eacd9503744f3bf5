//! HTTP: files of the page, and who may connect.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        CONNECTION, CONTENT_TYPE, LOCATION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, UPGRADE,
    },
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use jumpstarter_core::{Io, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{ONLINE, page, relay};
use crate::{
    Device,
    adapters::forward::{ACCEPT_PAUSE, CONNECTIONS, Failure, told},
};

/// What the page of noVNC names as the protocol of its messages.
const PROTOCOL: &str = "binary";

/// What every connection needs.
pub(super) struct Server {
    pub(super) device: Device,
    pub(super) method: String,
    pub(super) address: SocketAddr,
    pub(super) folder: Option<PathBuf>,
    pub(super) report: mpsc::Sender<Failure>,
}

type Answer = Response<Full<Bytes>>;

/// A connection that becomes one of WebSockets, with the stream that was opened for it.
type Promoted = Mutex<Option<(OnUpgrade, Io)>>;

pub(super) async fn serve(listener: &TcpListener, server: &Arc<Server>) {
    // Dropping the set ends the connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    let server = server.clone();
                    connections.spawn(async move {
                        if let Err(error) = connection(&server, stream).await {
                            told(&server.device, &server.report, Failure { peer: peer.to_string(), error });
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a browser's connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(server: &Arc<Server>, stream: TcpStream) -> Result<()> {
    let _ = stream.set_nodelay(true);
    let promoted = Promoted::default();
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(server, &promoted, request).await));
    if let Err(error) =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await
    {
        // Browsers open connections in advance and drop them.
        tracing::debug!(%error, "a browser's connection has ended");
    }
    let promoted = promoted.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((upgrade, stream)) = promoted else { return Ok(()) };
    match upgrade.await {
        Ok(upgraded) => relay::relay(TokioIo::new(upgraded), stream).await,
        Err(error) => Err(jumpstarter_core::Error::disconnected(error.to_string())),
    }
}

async fn answer(server: &Server, promoted: &Promoted, mut request: Request<Incoming>) -> Answer {
    if wants(request.headers(), UPGRADE.as_str(), "websocket") {
        return websocket(server, promoted, &mut request).await;
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
    }
    let path = request.uri().path();
    match &server.folder {
        Some(_) if path == "/" => {
            let mut answer = text(StatusCode::FOUND, "");
            if let Ok(place) = HeaderValue::try_from(page(server.address, true, false)) {
                answer.headers_mut().insert(LOCATION, place);
            }
            answer
        }
        Some(folder) => file(folder, path).await,
        None if path == "/" => {
            let mut answer = text(StatusCode::OK, &hint(server.address));
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            answer
        }
        None => text(StatusCode::NOT_FOUND, "there is no copy of noVNC on this machine\n"),
    }
}

fn wants(headers: &HeaderMap, name: &str, wanted: &str) -> bool {
    let words = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    words.split(',').any(|word| word.trim().eq_ignore_ascii_case(wanted))
}

async fn websocket(server: &Server, promoted: &Promoted, request: &mut Request<Incoming>) -> Answer {
    if !may_connect(request.headers().get(ORIGIN), server.address) {
        return text(StatusCode::FORBIDDEN, "pages of other servers cannot use this device\n");
    }
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()))
    else {
        return text(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing\n");
    };
    // Before the promise is made, so that it can be kept.
    let stream = match server.device.open_stream(&server.method).await {
        Ok(stream) => stream,
        Err(error) => {
            let said = text(StatusCode::BAD_GATEWAY, &format!("{error}\n"));
            let _ = server.report.try_send(Failure { peer: "browser".to_owned(), error });
            return said;
        }
    };
    let mut answer = text(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = answer.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    if wants(request.headers(), SEC_WEBSOCKET_PROTOCOL.as_str(), PROTOCOL) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    *promoted.lock().unwrap_or_else(PoisonError::into_inner) = Some((hyper::upgrade::on(request), stream));
    answer
}

/// A browser lets any page connect to this machine and says which page it is. Programs say nothing.
fn may_connect(origin: Option<&HeaderValue>, address: SocketAddr) -> bool {
    let Some(origin) = origin else { return true };
    let port = address.port();
    origin == ONLINE
        || ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| *origin == format!("http://{host}:{port}"))
}

/// What there is to see without a copy of noVNC.
fn hint(address: SocketAddr) -> String {
    let link = page(address, false, false).replace('&', "&amp;");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<title>Screen</title>\n\
         <p>There is no copy of noVNC on this machine. <a href=\"{link}\">Use the one at novnc.com</a>, which talks to this \
         machine only; or install one (on Debian: <code>apt install novnc</code>) and open the session again.</p>\n</html>\n"
    )
}

/// A file of the page, by the path of its URL.
fn place(folder: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    // Names of noVNC's files need no escapes.
    let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
    (inside && !path.contains(['%', '\\'])).then(|| folder.join(relative))
}

async fn file(folder: &Path, path: &str) -> Answer {
    let missing = || text(StatusCode::NOT_FOUND, "there is no such file\n");
    let Some(place) = place(folder, path) else { return missing() };
    let Ok(content) = tokio::fs::read(&place).await else { return missing() };
    let kind = match place.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript",
        "css" => "text/css",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "mp3" => "audio/mpeg",
        "oga" => "audio/ogg",
        "woff" => "font/woff",
        "ttf" => "font/ttf",
        _ => "application/octet-stream",
    };
    let mut answer = Response::new(Full::new(content.into()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn text(status: StatusCode, body: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_servers_may_not_connect() {
        let address = ([127, 0, 0, 1], 6080).into();
        let may = |origin: &'static str| may_connect(Some(&HeaderValue::from_static(origin)), address);
        assert!(may_connect(None, address), "programs have no origin");
        assert!(may("http://127.0.0.1:6080") && may("http://localhost:6080") && may("https://novnc.com"));
        for other in ["http://127.0.0.1:6081", "https://example.com", "http://novnc.com", "null", ""] {
            assert!(!may(other), "{other}");
        }
    }

    #[test]
    fn files_come_from_the_folder_and_from_nowhere_else() {
        let folder = Path::new("/usr/share/novnc");
        let found = |path| place(folder, path);
        assert_eq!(found("/vnc.html"), Some("/usr/share/novnc/vnc.html".into()));
        assert_eq!(found("/app/ui.js"), Some("/usr/share/novnc/app/ui.js".into()));
        for outside in ["/../etc/passwd", "/app/../../x", "/%2e%2e/etc/passwd", "/app\\..\\x"] {
            assert_eq!(found(outside), None, "{outside}");
        }
        // The slashes of a path are those of the URL.
        assert_eq!(found("//etc/passwd"), Some("/usr/share/novnc/etc/passwd".into()));
    }
}
