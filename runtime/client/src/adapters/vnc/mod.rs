//! A VNC server behind a device, in a browser.
//!
//! Browsers have WebSockets and no TCP, so a small server on this machine stands between: it speaks WebSocket to the page and
//! opens one of the device's streams for each connection. The page is noVNC: the copy on this machine if there is one, or
//! the one at novnc.com, which connects to this server as well.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `web` | HTTP: files of the page, and who may connect |
//! | `relay` | WebSocket messages to a stream, and back |

mod relay;
mod web;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jumpstarter_core::{Context as _, Error, Result};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::forward::{FAILURES, Failure};
use crate::Device;

/// Where Debian's package `novnc` puts the page.
const INSTALLED: &str = "/usr/share/novnc";

/// The page itself, in the folder of a copy.
const PAGE: &str = "vnc.html";

/// Where there always is a copy.
const ONLINE: &str = "https://novnc.com";

/// A local server with the page and the way to the device. Dropping it closes both.
#[derive(Debug)]
pub struct VncPage {
    address: SocketAddr,
    folder: Option<PathBuf>,
    failures: mpsc::Receiver<Failure>,
    _task: AbortOnDropHandle<()>,
}

impl VncPage {
    /// Listens on any free port of `127.0.0.1`, and opens the device's stream `method` for each WebSocket. `folder` has a copy
    /// of noVNC; without one, the installed one is used, if there is any ([`VncPage::installed`]).
    ///
    /// # Errors
    /// When there is no port to be had, or no page in `folder`.
    pub async fn start(device: &Device, method: &str, folder: Option<&Path>) -> Result<Self> {
        let folder = match folder {
            Some(folder) if folder.join(PAGE).is_file() => Some(folder.to_owned()),
            Some(folder) => {
                let text = format!("there is no {PAGE} in {}: this is no copy of noVNC", folder.display());
                return Err(Error::usage(text));
            }
            None => Self::installed(),
        };
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen for a browser's connections")?;
        let address = listener.local_addr()?;
        let (report, failures) = mpsc::channel(FAILURES);
        let server = Arc::new(web::Server {
            device: device.clone(),
            method: method.to_owned(),
            address,
            folder: folder.clone(),
            report,
        });
        let task = tokio::spawn(async move {
            tokio::select! {
                () = web::serve(&listener, &server) => {}
                () = server.device.connection().closed() => {}
            }
        });
        Ok(Self { address, folder, failures, _task: AbortOnDropHandle::new(task) })
    }

    /// The copy of noVNC that the system's packages brought.
    pub fn installed() -> Option<PathBuf> {
        Some(PathBuf::from(INSTALLED)).filter(|folder| folder.join(PAGE).is_file())
    }

    /// Where it listens, for browsers and other clients of WebSockets.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the page comes from this machine.
    pub fn is_local(&self) -> bool {
        self.folder.is_some()
    }

    /// What to open in a browser. `encrypt` makes the page ask for `wss://`, for a proxy with TLS in front of the address.
    pub fn url(&self, encrypt: bool) -> String {
        page(self.address, self.is_local(), encrypt)
    }

    /// The next connection that failed, see [`TcpForward::failure`](super::TcpForward::failure).
    pub async fn failure(&mut self) -> Option<Failure> {
        self.failures.recv().await
    }
}

/// The page with what it has to know.
fn page(address: SocketAddr, local: bool, encrypt: bool) -> String {
    let (host, port) = (address.ip(), address.port());
    let base = if local { format!("http://{address}/{PAGE}") } else { format!("{ONLINE}/noVNC/{PAGE}") };
    let encrypt = u8::from(encrypt);
    format!("{base}?encrypt={encrypt}&autoconnect=1&reconnect=1&host={host}&port={port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_addressed_as_existing_clients_do() {
        let address = ([127, 0, 0, 1], 4711).into();
        let wanted =
            "https://novnc.com/noVNC/vnc.html?encrypt=1&autoconnect=1&reconnect=1&host=127.0.0.1&port=4711";
        assert_eq!(page(address, false, true), wanted);
        let wanted =
            "http://127.0.0.1:4711/vnc.html?encrypt=0&autoconnect=1&reconnect=1&host=127.0.0.1&port=4711";
        assert_eq!(page(address, true, false), wanted);
    }
}
