//! Drivers that the recordings need and that are not shipped: upstream's mocks under upstream's names.
//!
//! | Module | Stands for |
//! |---|---|
//! | [`errors`] | the driver made for the recordings, `compatibility/errors_driver.json`: every way to fail |
//! | [`shapes`] | nothing of upstream's: every shape that generated Python clients have to know |

pub mod errors;
pub mod shapes;

use jumpstarter::DriverFactory;

/// All of them.
pub const DRIVERS: &[&dyn DriverFactory] = &[
    errors::ErrorsDriver::DRIVER,
    shapes::ShapesDriver::DRIVER,
    shapes::FamilyDriver::DRIVER,
    shapes::TypedFamilyDriver::DRIVER,
];
