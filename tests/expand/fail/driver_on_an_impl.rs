//! The attribute on the implementation.

use jumpstarter::{Result, driver, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

/// A lamp.
pub struct Mock;

#[driver(type = "mock-lamp", provides(Lamp))]
impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let _ = LampClient::local(Mock);
}
