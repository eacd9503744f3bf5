//! The supply of a device.

use jumpstarter::{Delay, Error, Result, Stream, commands, interface, message, time::sleep};

/// Switches the supply of a device and measures it.
#[interface(
    name = "power",
    version = 1,
    python = "jumpstarter_driver_power.client.PowerClient",
    also = ["jumpstarter.interfaces.power.v1.PowerInterface"]
)]
pub trait Power {
    /// Switch the supply on.
    async fn on(&self) -> Result<()>;

    /// Switch the supply off.
    async fn off(&self) -> Result<()>;

    /// Measure for as long as the caller listens.
    async fn read(&self) -> Result<Stream<PowerReading>> {
        Err(Error::unsupported_because("this supply cannot measure"))
    }

    /// Boot the device into its rescue system, where there is one.
    async fn rescue(&self) -> Result<()> {
        Err(Error::unsupported_because("this supply has no rescue mode"))
    }
}

/// Switches off and on by itself: for supplies that can do it without the caller, who may hang on the same supply.
#[interface(name = "power-cycle", version = 1, python = "jumpstarter_driver_ridesx.client.RideSXPowerClient")]
pub trait PowerCycle {
    /// Switch off, wait, switch on.
    async fn cycle(
        &self,
        /// How long the supply stays off.
        #[default = "2s"]
        wait: Delay,
    ) -> Result<()>;
}

/// One measurement.
#[message]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerReading {
    /// Volts.
    #[unit = "V"]
    pub voltage: f64,
    /// Amperes.
    #[unit = "A"]
    pub current: f64,
}

/// One measurement with what follows from it.
#[message]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerSample {
    /// Volts.
    #[unit = "V"]
    pub voltage: f64,
    /// Amperes.
    #[unit = "A"]
    pub current: f64,
    /// Volt-amperes: voltage times current.
    #[unit = "VA"]
    pub apparent_power: f64,
}

impl From<PowerReading> for PowerSample {
    fn from(PowerReading { voltage, current }: PowerReading) -> Self {
        Self { voltage, current, apparent_power: voltage * current }
    }
}

#[commands]
impl PowerClient {
    /// Switch off, wait, switch on.
    pub async fn cycle(
        &self,
        /// How long the supply stays off.
        #[arg(short, long, default_value = "2")]
        wait: Delay,
    ) -> Result<()> {
        self.off().await?;
        sleep(wait.get()).await;
        self.on().await
    }

    /// Measure the supply.
    #[export(replaces = "read")]
    pub async fn read_rounds(
        &self,
        /// How many rounds of readings; 0 means until interrupted.
        #[arg(short = 'n', long, default_value = "1")]
        count: u64,
        /// Time between two rounds.
        #[arg(short, long, default_value = "1.0")]
        interval: Delay,
    ) -> Result<Stream<PowerSample>> {
        // One round is one stream of the driver, read to its end; the next one starts after the interval.
        let rounds =
            Rounds { client: self.clone(), left: (count > 0).then_some(count), interval, current: None };
        Ok(Stream::unfold(rounds, async |mut rounds| Ok(rounds.next().await?.map(|sample| (sample, rounds)))))
    }
}

#[commands]
impl PowerCycleClient {
    /// Switch off, wait, switch on.
    #[export(name = "cycle", replaces = "cycle")]
    pub async fn cycle_there(
        &self,
        /// How long the supply stays off.
        #[arg(short, long, default_value = "2")]
        wait: Delay,
    ) -> Result<()> {
        self.cycle(wait).await
    }
}

struct Rounds {
    client: PowerClient,
    left: Option<u64>,
    interval: Delay,
    current: Option<Stream<PowerReading>>,
}

impl Rounds {
    async fn next(&mut self) -> Result<Option<PowerSample>> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(reading) = current.next().await {
                    return Ok(Some(reading?.into()));
                }
                self.current = None;
                if self.left == Some(0) {
                    return Ok(None);
                }
                sleep(self.interval.get()).await;
            }
            if let Some(left) = &mut self.left {
                *left -= 1;
            }
            self.current = Some(self.client.read().await?);
        }
    }
}
