//! Drivers for serial ports.
//!
//! | `type:` | What it is |
//! |---|---|
//! | `serial` | [`SerialPort`]: a port by its device file or address |
//! | `nvdemux-serial` | [`NvDemuxSerial`]: one of the consoles that share an NVIDIA Tegra's debug port |
//!
//! | Module | Responsibility |
//! |---|---|
//! | `address` | what stands behind `url:` |
//! | `config` | the exporter file's keys |
//! | `driver` | the driver of ports |
//! | `hub` | one open port and everybody who is connected to it |
//! | `port` | what an open port is: input, output, control lines |
//! | `device`, `socket`, `rfc2217` | the kinds of ports |
//! | `hwgrep`, `holders` | finding a port, and who holds it |
//! | `spy`, `pace` | what can be put around a port: a log, a limit of speed |
//! | `nvdemux` | the demultiplexer's process and its consoles |

#![deny(unsafe_code)]

mod address;
mod config;
mod device;
mod driver;
mod holders;
mod hub;
mod hwgrep;
mod nvdemux;
mod pace;
mod port;
mod rfc2217;
mod socket;
mod spy;

use jumpstarter::DriverFactory;

pub use config::{Parity, SerialPortConfig};
pub use driver::SerialPort;
pub use nvdemux::{NvDemuxSerial, NvDemuxSerialConfig};

/// The drivers of this crate.
pub const DRIVERS: &[&dyn DriverFactory] = &[SerialPort::DRIVER, NvDemuxSerial::DRIVER];
