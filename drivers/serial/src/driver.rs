//! The driver of serial ports.

use std::sync::Arc;

use jumpstarter::{Driver, Io, Open, Result, driver, log::Logger, sync::Mutex, task::spawn};
use jumpstarter_interfaces::Serial;

use crate::{
    address::Address,
    config::{SerialPortConfig, Wanted},
    holders,
    hub::Hub,
    pace::Pace,
    port::{self, Line},
};

/// A serial port: a device file, or a port that is reached over the network.
///
/// It is opened for the first connection and closed after the last one. Several connections at once all get what the
/// device says. Other programs are kept out meanwhile.
#[driver(
    type = "serial",
    provides(Serial),
    config = SerialPortConfig,
    aliases("jumpstarter_driver_pyserial.driver.PySerial")
)]
pub struct SerialPort {
    wanted: Wanted,
    link: Link,
    logger: Logger,
}

impl Driver for SerialPort {
    fn check(config: &SerialPortConfig) -> Vec<jumpstarter::Error> {
        config.understand().err().into_iter().collect()
    }

    async fn open(config: SerialPortConfig, cx: &mut Open) -> Result<Self> {
        let port = Self { wanted: config.understand()?, link: Link::default(), logger: cx.logger() };
        if config.check_present && !port.wanted.address.is_loop() {
            port::open(&port.wanted, &port.logger).await?.close().await;
            if let Address::Device(path) = &port.wanted.address {
                holders::warn(path.clone(), &port.logger).await;
            }
        }
        Ok(port)
    }

    async fn close(&self) -> Result<()> {
        self.link.close_and_wait().await;
        Ok(())
    }
}

impl SerialPort {
    async fn set(&self, line: Line, on: bool) -> Result<()> {
        if self.wanted.address.is_loop() {
            return Ok(());
        }
        self.link.set(line, on, async || port::open(&self.wanted, &self.logger).await).await
    }
}

impl Serial for SerialPort {
    async fn connect(&self) -> Result<Io> {
        if self.wanted.address.is_loop() {
            return Ok(echo(self.wanted.pace));
        }
        let (address, rate) = (&self.wanted.address, self.wanted.settings.baudrate);
        self.link
            .connect(async || {
                self.logger.info(format!("opening {address} at {rate} baud"));
                port::open(&self.wanted, &self.logger).await
            })
            .await
    }

    async fn close(&self) -> Result<()> {
        self.link.close().await;
        Ok(())
    }

    async fn set_dtr(&self, value: bool) -> Result<()> {
        self.set(Line::Dtr, value).await
    }

    async fn set_rts(&self, value: bool) -> Result<()> {
        self.set(Line::Rts, value).await
    }
}

/// The way to a port, open or not.
#[derive(Default)]
pub(crate) struct Link {
    hub: Mutex<Option<Arc<Hub>>>,
}

impl Link {
    /// Connects to the port; opens it when it is not open.
    pub(crate) async fn connect(&self, open: impl AsyncFnOnce() -> Result<port::Opened>) -> Result<Io> {
        let mut current = self.hub.lock().await;
        if let Some(hub) = &*current {
            if let Some(io) = hub.join() {
                return Ok(io);
            }
            // What is being closed cannot be opened yet.
            hub.given_back().await;
        }
        let hub = Hub::start(open().await?);
        let io = hub.join();
        *current = Some(hub);
        io.ok_or_else(|| jumpstarter::Error::disconnected("the port was gone at once"))
    }

    /// Sets a line of the open port, or opens it for that.
    pub(crate) async fn set(
        &self,
        line: Line,
        on: bool,
        open: impl AsyncFnOnce() -> Result<port::Opened>,
    ) -> Result<()> {
        let current = self.hub.lock().await;
        if let Some(hub) = &*current {
            if let Some(lines) = hub.lines().filter(|_| hub.is_open()) {
                return lines.set(line, on).await;
            }
            hub.given_back().await;
        }
        open().await?.set_and_close(line, on).await
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        if let Some(hub) = &*self.hub.lock().await {
            hub.close();
        }
    }

    /// Ends all connections, and waits until others can open the port.
    pub(crate) async fn close_and_wait(&self) {
        if let Some(hub) = self.hub.lock().await.take() {
            hub.close();
            hub.given_back().await;
        }
    }
}

/// What is sent comes back, piece by piece, to nobody else.
fn echo(pace: Option<Pace>) -> Io {
    let (near, mut far) = Io::pair();
    spawn(async move {
        let mut clock = pace.map(Pace::clock);
        // An error means that the caller is gone, and nobody is left to hear about it.
        while let Ok(Some(piece)) = far.recv().await {
            let sent = match &mut clock {
                None => far.send(piece).await,
                Some(clock) => {
                    let mut sent = Ok(());
                    for at in 0..piece.len() {
                        clock.tick().await;
                        sent = far.send(piece.slice(at..=at)).await;
                        if sent.is_err() {
                            break;
                        }
                    }
                    sent
                }
            };
            if sent.is_err() {
                return;
            }
        }
        let _ = far.finish().await;
    });
    near
}
