//! An exporter inside a test.
//!
//! ```no_run
//! # async fn test() -> jumpstarter_core::Result<()> {
//! # use jumpstarter_core::driver::DriverFactory;
//! # const DRIVERS: &[&dyn DriverFactory] = &[];
//! let bench = jumpstarter_testing::serve("examples/board.yaml", &[DRIVERS]).await?;
//! let console = bench.device().find("board.console")?;
//! # let _ = console;
//! bench.stop().await;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use jumpstarter_client::Device;
use jumpstarter_core::{Context as _, Error, ErrorKind, Result, client::Client, driver::DriverFactory};
use jumpstarter_exporter::{Registry, check, local::Local};
use jumpstarter_transport::connect::Endpoint;

/// A served exporter file together with a client of it.
pub struct Bench {
    local: Local,
    device: Device,
}

/// Serves an exporter file on a private socket and connects to it.
///
/// # Errors
/// Everything that is wrong with the file, or why a driver cannot be opened.
pub async fn serve(file: impl AsRef<Path>, drivers: &[&[&'static dyn DriverFactory]]) -> Result<Bench> {
    let file = file.as_ref();
    let name = file.display().to_string();
    let text = tokio::fs::read_to_string(file).await.context(format_args!("reading {name}"))?;
    serve_text(&name, &text, drivers).await
}

/// Serves the text of an exporter file; `name` stands in messages.
///
/// # Errors
/// As [`serve`].
pub async fn serve_text(name: &str, text: &str, drivers: &[&[&'static dyn DriverFactory]]) -> Result<Bench> {
    let plan = check(name, text, &Registry::new(drivers), |_| None)
        .map_err(|problems| Error::new(ErrorKind::Configuration, problems.render()))?;
    let local = Local::start(plan).await?;
    let endpoint = Endpoint::parse(&local.socket().to_string_lossy())?;
    let device = Device::connect(&endpoint, &jumpstarter_client::Options::default()).await?;
    Ok(Bench { local, device })
}

impl Bench {
    /// The connected device tree.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A typed client of the device with this name, for example `board.power`.
    ///
    /// # Errors
    /// When there is no such device, or it does not provide the interface.
    pub fn client<T: Client>(&self, name: &str) -> Result<T> {
        self.device.client(name)
    }

    /// The socket, for further clients: what `JUMPSTARTER_HOST` says.
    pub fn socket(&self) -> PathBuf {
        self.local.socket().to_owned()
    }

    /// The exporter's side.
    pub fn exporter(&self) -> &Local {
        &self.local
    }

    /// Ends the session and closes the drivers. Answers what could not be closed.
    pub async fn stop(self) -> Vec<(String, Error)> {
        drop(self.device);
        self.local.stop().await
    }
}
