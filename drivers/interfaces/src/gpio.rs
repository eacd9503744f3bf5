//! Single lines: buttons to press, lamps to look at.

use jumpstarter::{Delay, Result, commands, interface, message, time::sleep};

/// A line that can be driven.
#[interface(
    name = "digital-output",
    version = 1,
    python = "jumpstarter_driver_gpiod.client.DigitalOutputClient"
)]
pub trait DigitalOutput {
    /// Make the line active.
    async fn on(&self) -> Result<()>;

    /// Make the line inactive.
    async fn off(&self) -> Result<()>;

    /// Whether the line is active: 1, or inactive: 0.
    async fn read_pin(&self) -> Result<u8>;
}

/// A line that can be read.
#[interface(
    name = "digital-input",
    version = 1,
    python = "jumpstarter_driver_gpiod.client.DigitalInputClient"
)]
pub trait DigitalInput {
    /// Whether the line is active: 1, or inactive: 0.
    async fn read_pin(&self) -> Result<u8>;

    /// Wait until the line is active; at most so many seconds, without a limit practically for ever.
    async fn wait_for_active(&self, timeout: Option<f64>) -> Result<()>;

    /// Wait until the line is inactive; at most so many seconds.
    async fn wait_for_inactive(&self, timeout: Option<f64>) -> Result<()>;

    /// Wait for the next edge; at most so many seconds.
    async fn wait_for_edge(&self, edge_type: Edge, timeout: Option<f64>) -> Result<()>;
}

/// A change of a line.
#[message]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// From inactive to active.
    Rising,
    /// From active to inactive.
    Falling,
}

fn words(level: u8) -> String {
    if level == 0 { "inactive" } else { "active" }.to_owned()
}

#[commands]
impl DigitalOutputClient {
    /// Inactive, wait, active.
    pub async fn cycle(
        &self,
        /// How long the line stays inactive.
        #[arg(short, long, default_value = "2")]
        wait: Delay,
    ) -> Result<()> {
        self.off().await?;
        sleep(wait.get()).await;
        self.on().await
    }

    /// Print whether the line is active.
    pub async fn read(&self) -> Result<String> {
        Ok(words(self.read_pin().await?))
    }
}

#[commands]
impl DigitalInputClient {
    /// Print whether the line is active.
    pub async fn read(&self) -> Result<String> {
        Ok(words(self.read_pin().await?))
    }

    /// Wait until the line is active.
    #[export(replaces = "wait_for_active")]
    pub async fn until_active(
        &self,
        /// How many seconds at most.
        #[arg(short, long, default_value = "3600")]
        timeout: f64,
    ) -> Result<()> {
        self.wait_for_active(Some(timeout)).await
    }

    /// Wait until the line is inactive.
    #[export(replaces = "wait_for_inactive")]
    pub async fn until_inactive(
        &self,
        /// How many seconds at most.
        #[arg(short, long, default_value = "3600")]
        timeout: f64,
    ) -> Result<()> {
        self.wait_for_inactive(Some(timeout)).await
    }

    /// Wait for the next edge.
    #[export(replaces = "wait_for_edge")]
    pub async fn until_edge(
        &self,
        /// Which one.
        edge_type: Edge,
        /// How many seconds at most.
        #[arg(short, long, default_value = "3600")]
        timeout: f64,
    ) -> Result<()> {
        self.wait_for_edge(edge_type, Some(timeout)).await
    }
}
