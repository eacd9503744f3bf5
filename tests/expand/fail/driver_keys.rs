//! Values of the wrong sort, and a key that nobody knows.

use jumpstarter::{Driver, NoConfig, Open, Result, driver, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

/// A lamp.
#[driver(type = mock, provides("Lamp"), open = 5, labels("a"), alias("b"))]
pub struct Mock;

impl Driver for Mock {
    async fn open(_: NoConfig, _: &mut Open) -> Result<Self> {
        Ok(Self)
    }
}

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let _ = Mock::DRIVER;
}
