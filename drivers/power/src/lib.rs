//! Drivers for supplies.
//!
//! | `type:` | Device |
//! |---|---|
//! | `mock-power` | [`MockPower`]: remembers its state, for tests |
//! | `sync-mock-power` | [`SyncMockPower`]: the same, under the name of upstream's second mock |

#![forbid(unsafe_code)]

mod mock;

use jumpstarter::DriverFactory;

pub use mock::{MockPower, SyncMockPower};

/// The drivers of this crate.
pub const DRIVERS: &[&dyn DriverFactory] = &[MockPower::DRIVER, SyncMockPower::DRIVER];
