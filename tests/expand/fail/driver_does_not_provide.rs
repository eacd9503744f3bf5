//! An interface that the driver does not implement.

use jumpstarter::{Result, driver, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

/// A lamp.
#[driver(type = "mock-lamp", provides(Lamp), open = Default::default)]
#[derive(Default)]
pub struct Mock;

fn main() {
    let _ = Mock::DRIVER;
}
