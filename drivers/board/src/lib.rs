//! A board that exists in memory: for demonstrations, for tests, and for everybody who has no board at hand.
//!
//! `type: simulated-board` needs nothing installed. Its children are ordinary interfaces, so whatever works with it works
//! with a real one:
//!
//! | Child | Interface | Behaviour |
//! |---|---|---|
//! | `power` | Power | readings follow the board's state |
//! | `console` | Serial | a boot log and a small prompt once powered; input is lost while off |
//! | `storage` | StorageMuxFlasher | holds the image; the board boots only what is switched to the device |
//! | `button` | DigitalOutput | held while the board starts, it asks for the recovery prompt |
//! | `led` | DigitalInput | lit while an image runs |
//! | `machine` | Machine | tells what the board is doing |
//!
//! | Module | Responsibility |
//! |---|---|
//! | `board` | the driver, its configuration, the shared state |
//! | `parts` | the six children |
//! | `console` | output for many listeners, input for one machine |
//! | `medium` | the storage medium and its mark of incompleteness |
//! | `image` | what an image may say |
//! | `machine` | boot ROM, image, prompt |

#![forbid(unsafe_code)]

mod board;
mod console;
mod image;
mod machine;
mod medium;
mod parts;

use jumpstarter::DriverFactory;

pub use board::{SimulatedBoard, SimulatedBoardConfig};
pub use image::{Image, Step};

/// The drivers of this crate.
pub const DRIVERS: &[&dyn DriverFactory] = &[SimulatedBoard::DRIVER];
