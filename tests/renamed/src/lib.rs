//! An interface and a driver in a crate that calls `jumpstarter` something else and depends on nothing but it.

#![forbid(unsafe_code)]

use harness::{Delay, Result, Stream, children, commands, config, driver, interface, message, time::sleep};

/// Something with a switch.
#[interface(name = "switch", version = 1, package = "example", crate = "harness")]
pub trait Switch {
    /// Switch it on.
    async fn on(&self, #[default = "0s"] after: Delay) -> Result<State>;
    /// Watch it.
    async fn watch(&self, #[rest] ways: Vec<Way>) -> Result<Stream<State>>;
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
    /// Upwards.
    Up,
    /// Downwards.
    Down,
}

#[commands(crate = "harness")]
impl SwitchClient {
    /// Twice.
    pub async fn twice(&self, #[arg(long, default_value = "0s")] wait: Delay) -> Result<u32> {
        Ok(self.on(wait).await?.level + self.on(wait).await?.level)
    }
}

/// How it is set up.
#[config(crate = "harness")]
pub struct SwitchConfig {
    /// Level.
    #[default = 1]
    #[alias("old")]
    pub level: u32,
    /// What it does first.
    #[default = First::Wait]
    pub first: First,
}

/// What it does first.
#[config(crate = "harness")]
pub enum First {
    /// It waits.
    Wait,
    /// It acts.
    Act,
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
    /// A switch that is set up like this.
    pub fn new(config: SwitchConfig) -> Self {
        Self(config)
    }
}

impl Switch for Relay {
    async fn on(&self, after: Delay) -> Result<State> {
        if self.0.first == First::Wait {
            sleep(after.get()).await;
        }
        Ok(State { level: self.0.level })
    }

    async fn watch(&self, ways: Vec<Way>) -> Result<Stream<State>> {
        Ok(Stream::from_values(ways.into_iter().map(|way| State { level: u32::from(way == Way::Up) })))
    }
}

/// What a program with this driver lists.
pub const DRIVERS: &[&dyn harness::DriverFactory] = &[Relay::DRIVER];

#[cfg(test)]
mod tests {
    use super::{First, Relay, SwitchClient, SwitchConfig, Way};

    #[harness::test(crate = "harness")]
    async fn a_renamed_dependency_works() {
        let relay = Relay::new(SwitchConfig { level: 3, first: First::Wait });
        let switch = SwitchClient::local(relay);
        assert_eq!(switch.twice("0s".parse().unwrap()).await.unwrap(), 6);
        let states = switch.watch(vec![Way::Up, Way::Down]).await.unwrap().collect().await.unwrap();
        assert_eq!(states.iter().map(|state| state.level).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(super::DRIVERS[0].spec().type_name, "switch");
    }
}
