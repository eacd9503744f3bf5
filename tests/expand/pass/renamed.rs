//! A crate that calls `jumpstarter` something else.

use harness::{Delay, Result, children, commands, config, driver, interface, message};

/// Something with a switch.
#[interface(name = "switch", version = 1, package = "example", crate = "harness")]
pub trait Switch {
    /// Switch it on.
    async fn on(&self, #[default = "1s"] after: Delay) -> Result<State>;
}

/// What it is now.
#[message(crate = "harness")]
pub struct State {
    /// How much.
    #[default = 1]
    pub level: u32,
}

/// Which way.
#[message(crate = "harness")]
pub enum Way {
    /// This one.
    This,
}

#[commands(crate = "harness")]
impl SwitchClient {
    /// Twice.
    pub async fn twice(&self, #[arg(long, default_value = "1s")] wait: Delay) -> Result<()> {
        self.on(wait).await?;
        self.on(wait).await?;
        Ok(())
    }
}

/// How it is set up.
#[config(crate = "harness")]
pub struct SwitchConfig {
    /// Level.
    #[default = 1]
    #[alias("old")]
    pub level: u32,
    /// Wait.
    #[default = "1s"]
    pub wait: Delay,
}

/// What it needs.
#[children(crate = "harness")]
pub struct Parts {
    /// Another switch.
    pub other: Option<SwitchClient>,
}

/// A switch.
#[driver(type = "switch", provides(Switch), config = SwitchConfig, children = Parts, open = Relay::new, crate = "harness")]
pub struct Relay(SwitchConfig);

impl Relay {
    fn new(config: SwitchConfig) -> Self {
        Self(config)
    }
}

impl Switch for Relay {
    async fn on(&self, _: Delay) -> Result<State> {
        Ok(State { level: self.0.level })
    }
}
