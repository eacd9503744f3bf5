//! Drivers that the recordings need and that are not shipped: upstream's mocks under upstream's names.
//!
//! | Module | Stands for |
//! |---|---|
//! | [`errors`] | the driver made for the recordings, `compatibility/errors_driver.json`: every way to fail |
//! | [`images`] | the mocks of the storage drivers: a flasher, a storage mux, and one that flashes |

pub mod errors;
pub mod images;

use jumpstarter::DriverFactory;

/// All of them.
pub const DRIVERS: &[&dyn DriverFactory] = &[
    errors::ErrorsDriver::DRIVER,
    images::MockFlasher::DRIVER,
    images::MockStorageMux::DRIVER,
    images::MockStorageMuxFlasher::DRIVER,
];
