//! No name for the exporter file.

use jumpstarter::{Result, driver, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

/// A lamp.
#[driver(provides(Lamp), open = Default::default)]
#[derive(Default)]
pub struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let _ = Mock::DRIVER;
}
