//! A driver that only other drivers make.

use jumpstarter::driver;

/// Part of a larger thing.
#[driver(type = "part", open = made("whole"))]
pub struct Part;
