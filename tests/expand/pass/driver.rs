//! A driver that is opened by a function.

use jumpstarter::{Result, config, driver, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Let it shine.
    async fn shine(&self) -> Result<bool>;
}

/// A lamp that only remembers.
#[driver(type = "mock-lamp", provides(Lamp), open = Default::default,
         aliases("example.driver.MockLamp"), labels("example.org/kind" = "mock"))]
#[derive(Default)]
pub struct MockLamp {
    on: bool,
}

impl Lamp for MockLamp {
    async fn shine(&self) -> Result<bool> {
        Ok(self.on)
    }
}

/// How bright.
#[config]
pub struct BrightConfig {
    /// Whether it shines.
    pub bright: bool,
}

/// A lamp that does as it is told.
#[driver(type = "bright-lamp", provides(Lamp), config = BrightConfig, open = BrightLamp::new)]
pub struct BrightLamp(BrightConfig);

impl BrightLamp {
    fn new(config: BrightConfig) -> Self {
        Self(config)
    }
}

impl Lamp for BrightLamp {
    async fn shine(&self) -> Result<bool> {
        Ok(self.0.bright)
    }
}
