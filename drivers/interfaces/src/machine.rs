//! What runs on a board, as far as the board itself tells.

use std::fmt;

use jumpstarter::{Delay, Result, Sink, Stream, interface, message};

/// Tells what a board is doing.
#[interface(
    name = "machine",
    version = 1,
    package = "jumpstarter.x",
    python = "jumpstarter_driver_x.client.MachineClient"
)]
pub trait Machine {
    /// What the board is doing now.
    async fn state(&self) -> Result<MachineState>;

    /// Wait until the board is in a phase. Answers the state that it is in then.
    async fn wait_for(
        &self,
        /// What to wait for.
        phase: Phase,
        /// How long at most.
        #[default = "30s"]
        timeout: Delay,
    ) -> Result<MachineState>;

    /// What the board is doing, then each change of it. Whoever reads too slowly gets the latest state only.
    async fn watch(
        &self,
        /// How many states in all; 0 does not end.
        #[default = 0]
        count: u32,
    ) -> Result<Stream<MachineState>>;

    /// Save what the console printed since the supply was switched on.
    async fn save_log(
        &self,
        /// Where to.
        log: Sink,
    ) -> Result<()>;
}

/// What a board is doing.
#[message]
#[derive(PartialEq, Eq)]
pub struct MachineState {
    /// Part of its life.
    pub phase: Phase,
    /// How often it has started since the supply was switched on.
    pub starts: u32,
    /// The image on the medium that it started from.
    pub image: Option<ImageInfo>,
}

/// An image as it was found on a medium.
#[message]
#[derive(PartialEq, Eq)]
pub struct ImageInfo {
    /// Size.
    #[unit = "B"]
    pub size: u64,
    /// SHA-256 of the content, as hexadecimal digits.
    pub sha256: String,
}

/// Part of a board's life.
#[message]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Without supply.
    Off,
    /// The boot ROM looks for something to run.
    Boot,
    /// The recovery prompt of the boot ROM.
    Recovery,
    /// An image runs.
    Running,
    /// An image runs and waits for input at its prompt.
    Prompt,
    /// Nothing runs any more, or there was nothing to run.
    Halted,
    /// The image gave up.
    Panicked,
}

impl Phase {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Boot => "boot",
            Self::Recovery => "recovery",
            Self::Running => "running",
            Self::Prompt => "prompt",
            Self::Halted => "halted",
            Self::Panicked => "panicked",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
