//! An oven, as it was in the last release.

use jumpstarter::{describe::Interface, prelude::*};

/// Heats whatever is in it.
#[interface(
    name = "heater",
    version = 1,
    package = "org.example",
    python = "jumpstarter.client.DriverClient"
)]
pub trait Heater {
    /// Begin to heat.
    async fn start(&self) -> Result<()>;

    /// Heat to a temperature.
    async fn aim(
        &self,
        zone: String,
        #[default = 20.0] celsius: f64,
        #[tag = 3] ramp: Option<u32>,
    ) -> Result<bool> {
        Err(Error::unsupported())
    }

    /// Mix two flows of air.
    async fn mix(&self, left: f64, right: f64) -> Result<()> {
        Err(Error::unsupported())
    }

    /// Become cooler.
    async fn cool(&self, by: Option<f64>) -> Result<()> {
        Err(Error::unsupported())
    }

    /// Measure, so many times.
    async fn watch(&self, count: u32) -> Result<Stream<Reading>> {
        Err(Error::unsupported())
    }

    /// Follow a program.
    async fn follow(&self, program: Program) -> Result<u16> {
        Err(Error::unsupported())
    }

    /// Talk to the controller.
    async fn console(&self) -> Result<Io> {
        Err(Error::unsupported())
    }

    /// End.
    #[renamed_from = "stop"]
    async fn halt(&self) -> Result<()> {
        Err(Error::unsupported())
    }
}

/// What was measured.
#[message]
pub struct Reading {
    /// Degrees.
    #[unit = "°C"]
    pub celsius: f64,
    /// Relative.
    pub humidity: Option<f64>,
    /// Where.
    #[default = 0]
    pub place: u32,
}

/// What to do.
#[message]
#[reserved(4, "speed")]
pub struct Program {
    /// Its name.
    pub title: String,
    /// How.
    pub pace: Pace,
    /// How often.
    #[default = 1]
    pub rounds: u32,
}

/// How to do it.
#[message]
pub enum Pace {
    /// In no time.
    Fast,
    /// With care.
    Slow,
    /// With little energy.
    Eco,
}

/// Moves air.
#[interface(name = "fan", version = 1, package = "org.example", python = "jumpstarter.client.DriverClient")]
pub trait Fan {
    /// Blow.
    async fn blow(&self) -> Result<()> {
        Err(Error::unsupported())
    }
}

/// How the oven is set up.
#[config]
pub struct OvenConfig {
    /// Where it is.
    pub port: String,
    /// Bits per second.
    #[default = 9600]
    pub baudrate: u32,
    /// How it heats.
    #[default = Heating::Gentle]
    pub heating: Heating,
    /// Not above.
    pub limit: Option<f64>,
    /// Names of the zones.
    #[default = Vec::new()]
    pub zones: Vec<String>,
    /// How it lets air out.
    pub vent: Option<Vent>,
    /// Is not looked at any more.
    #[deprecated]
    pub colour: Option<String>,
}

/// How an oven lets air out.
#[config]
pub struct Vent {
    /// Which valve.
    pub valve: String,
    /// How far it opens, in percent.
    #[default = 50]
    pub opening: u8,
    /// For how long, in seconds.
    #[alias("length")]
    pub time: Option<f64>,
    /// Where the air goes.
    pub outlet: Option<String>,
    /// Was for another valve.
    #[deprecated]
    pub flap: Option<u8>,
}

/// How an oven heats.
#[config]
pub enum Heating {
    /// Slowly.
    Gentle,
    /// At once.
    Full,
}

/// What belongs to an oven.
#[children]
pub struct OvenParts {
    /// Moves the air.
    pub fan: FanClient,
    /// Moves more air.
    #[child(also("second"))]
    pub spare: Option<FanClient>,
}

/// An oven.
#[driver(
    type = "oven",
    provides(Heater, Fan),
    config = OvenConfig,
    children = OvenParts,
    aliases("org.example.Oven")
)]
pub struct Oven {
    parts: OvenParts,
}

impl Driver for Oven {
    async fn open(_: OvenConfig, cx: &mut Open<OvenParts>) -> Result<Self> {
        Ok(Self { parts: cx.children()? })
    }
}

impl Heater for Oven {
    async fn start(&self) -> Result<()> {
        self.parts.fan.blow().await
    }
}

impl Fan for Oven {}

/// A fan.
#[driver(type = "ventilator", provides(Fan), open = Default::default)]
#[derive(Default)]
pub struct Ventilator {}

impl Fan for Ventilator {}

/// What somebody may use who has none of the drivers.
pub const INTERFACES: &[&Interface] = &[&HEATER, &FAN];

/// What stands behind `type:`.
pub const DRIVERS: &[&dyn DriverFactory] = &[Oven::DRIVER, Ventilator::DRIVER];
