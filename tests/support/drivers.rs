//! Drivers that the recordings need and that are not shipped: upstream's mocks under upstream's names.
//!
//! | Module | Stands for |
//! |---|---|
//! | [`errors`] | the driver made for the recordings, `compatibility/errors_driver.json`: every way to fail |
//! | [`shapes`] | nothing of upstream's: every shape that generated Python clients have to know |
//! | [`images`] | the mocks of the storage drivers: a flasher, a storage mux, and one that flashes |
//! | [`serial`] | a serial port on a `loop://` address |

pub mod errors;
pub mod images;
pub mod serial;
pub mod shapes;

use jumpstarter::DriverFactory;

/// All of them.
pub const DRIVERS: &[&dyn DriverFactory] = &[
    errors::ErrorsDriver::DRIVER,
    images::MockFlasher::DRIVER,
    images::MockStorageMux::DRIVER,
    images::MockStorageMuxFlasher::DRIVER,
    serial::LoopSerial::DRIVER,
    shapes::ShapesDriver::DRIVER,
    shapes::FamilyDriver::DRIVER,
    shapes::TypedFamilyDriver::DRIVER,
];
