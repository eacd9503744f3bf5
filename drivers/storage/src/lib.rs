//! Drivers for storage.
//!
//! | `type:` | Device |
//! |---|---|
//! | `opendal` | [`Opendal`]: files in a directory, in memory, in a bucket, on a web server |
//! | `mock-flasher` | [`MockFlasher`]: keeps an image for each partition |
//! | `mock-storage-mux` | [`MockStorageMux`]: a medium that only seems to be switched |
//! | `mock-storage-mux-flasher` | [`MockStorageMuxFlasher`]: the same, for clients that flash |
//!
//! | Module | Responsibility |
//! |---|---|
//! | `driver` | the driver `opendal`: one method after the other |
//! | `scheme` | which services there are, what they are set up with, and how they are opened |
//! | `place` | the data of files: those of this machine beside all others |
//! | `handles` | files that clients have open |
//! | `created` | what was made, and removing it again |
//! | `error` | what storage reports |
//! | [`operator`] | files of an `Operator` of one's own, as sources and sinks of a client |
//! | `mock` | the three mocks |

#![forbid(unsafe_code)]

mod created;
mod driver;
mod error;
mod handles;
mod mock;
pub mod operator;
mod place;
mod scheme;

use jumpstarter::DriverFactory;

pub use driver::{Opendal, OpendalConfig};
pub use mock::{MockFlasher, MockStorageMux, MockStorageMuxFlasher};
pub use scheme::Scheme;

/// The drivers of this crate.
pub const DRIVERS: &[&dyn DriverFactory] =
    &[Opendal::DRIVER, MockFlasher::DRIVER, MockStorageMux::DRIVER, MockStorageMuxFlasher::DRIVER];
