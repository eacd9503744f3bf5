//! Two interfaces with a method of the same name.

use jumpstarter::{Result, driver, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

/// Something polished.
#[interface(name = "shoe", version = 1, package = "example")]
pub trait Shoe {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

/// A lamp in a shoe.
#[driver(type = "mock-lamp", provides(Lamp, Shoe), open = Default::default)]
#[derive(Default)]
pub struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
}

impl Shoe for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let _ = Mock::DRIVER;
}
