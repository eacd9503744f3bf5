//! A configuration that is none.

use jumpstarter::{Driver, Open, Result, driver, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

/// How it is set up.
pub struct MockConfig {
    /// How bright.
    pub level: u32,
}

/// A lamp.
#[driver(type = "mock-lamp", provides(Lamp), config = MockConfig)]
pub struct Mock(MockConfig);

impl Driver for Mock {
    async fn open(config: MockConfig, _: &mut Open) -> Result<Self> {
        Ok(Self(config))
    }
}

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let _ = |mock: Mock| mock.0.level;
}
