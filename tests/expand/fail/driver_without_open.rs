//! Nobody says how it is opened.

use jumpstarter::{Result, driver, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

/// A lamp.
#[driver(type = "mock-lamp", provides(Lamp))]
pub struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let _ = LampClient::local(Mock);
}
