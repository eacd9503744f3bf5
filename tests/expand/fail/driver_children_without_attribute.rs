//! Children that are none.

use jumpstarter::{Driver, NoConfig, Open, Result, driver, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

/// What it is made of.
pub struct Parts;

/// A lamp.
#[driver(type = "mock-lamp", provides(Lamp), children = Parts)]
pub struct Mock;

impl Driver for Mock {
    async fn open(_: NoConfig, _: &mut Open<Parts>) -> Result<Self> {
        Ok(Self)
    }
}

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let _ = Mock;
}
