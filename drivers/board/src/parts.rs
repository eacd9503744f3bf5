//! The children of the board.

use std::{sync::Arc, time::Duration};

use jumpstarter::{Call, Delay, Error, Io, Result, Sink, Source, Stream, driver, time::timeout};
use jumpstarter_interfaces::{
    DigitalInput, DigitalOutput, Edge, Machine, MachineState, Phase, Power, PowerReading, Serial,
    StorageMuxFlasher,
};

use crate::{board::Shared, medium::Side};

/// Supply voltage while on.
const VOLTS: f64 = 5.0;
/// Current while an image runs, and while nothing does.
const AMPERES: (f64, f64) = (0.4, 0.1);

macro_rules! part {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        pub(crate) struct $name(Arc<Shared>);

        impl $name {
            pub(crate) fn new(board: Arc<Shared>) -> Self {
                Self(board)
            }
        }
    };
}

part! {
    /// The supply of the simulated board.
    #[driver(type = "simulated-board-power", provides(Power), open = made)]
    BoardPower
}

impl Power for BoardPower {
    async fn on(&self) -> Result<()> {
        self.0.power_on();
        Ok(())
    }

    async fn off(&self) -> Result<()> {
        self.0.power_off();
        Ok(())
    }

    async fn read(&self) -> Result<Stream<PowerReading>> {
        let lit = *self.0.led.borrow();
        let reading = if self.0.is_on() {
            PowerReading { voltage: VOLTS, current: if lit { AMPERES.0 } else { AMPERES.1 } }
        } else {
            PowerReading { voltage: 0.0, current: 0.0 }
        };
        Ok(Stream::from_values([reading]))
    }
}

part! {
    /// The console of the simulated board.
    #[driver(type = "simulated-board-console", provides(Serial), open = made)]
    BoardConsole
}

impl Serial for BoardConsole {
    async fn connect(&self) -> Result<Io> {
        Ok(self.0.console.connect())
    }
}

part! {
    /// The storage medium of the simulated board.
    #[driver(type = "simulated-board-storage", provides(StorageMuxFlasher), open = made)]
    BoardStorage
}

impl StorageMuxFlasher for BoardStorage {
    async fn host(&self) -> Result<()> {
        self.0.medium.connect(Side::Host).await;
        Ok(())
    }

    async fn dut(&self) -> Result<()> {
        self.0.medium.connect(Side::Dut).await;
        Ok(())
    }

    async fn off(&self) -> Result<()> {
        self.0.medium.connect(Side::Nobody).await;
        Ok(())
    }

    async fn write(&self, src: Source, call: Call) -> Result<()> {
        let mut progress = call.progress("writing", src.len());
        self.0.medium.write(src, |bytes| progress.advance(bytes)).await?;
        Ok(())
    }

    async fn read(&self, dst: Sink) -> Result<()> {
        self.0.medium.read(dst).await?;
        Ok(())
    }
}

part! {
    /// The button of the simulated board.
    #[driver(type = "simulated-board-button", provides(DigitalOutput), open = made)]
    BoardButton
}

impl DigitalOutput for BoardButton {
    async fn on(&self) -> Result<()> {
        self.0.press(true);
        Ok(())
    }

    async fn off(&self) -> Result<()> {
        self.0.press(false);
        Ok(())
    }

    async fn read_pin(&self) -> Result<u8> {
        Ok(u8::from(self.0.button()))
    }
}

part! {
    /// The lamp of the simulated board.
    #[driver(type = "simulated-board-led", provides(DigitalInput), open = made)]
    BoardLed
}

impl BoardLed {
    async fn wait_for(&self, lit: bool, limit: Option<f64>) -> Result<()> {
        let mut led = self.0.led.subscribe();
        let reached = async { led.wait_for(|now| *now == lit).await.map(|_| ()).map_err(|_| gone()) };
        within(limit, if lit { "waiting for the lamp" } else { "waiting for the lamp to go out" }, reached)
            .await
    }
}

fn gone() -> Error {
    Error::disconnected("the board is gone")
}

async fn within(limit: Option<f64>, what: &str, future: impl Future<Output = Result<()>>) -> Result<()> {
    let Some(seconds) = limit else { return future.await };
    let limit = Duration::try_from_secs_f64(seconds).map_err(|_| {
        Error::invalid_argument(format!("argument `timeout`: {seconds} seconds is no length of time"))
    })?;
    match timeout(limit, future).await {
        Ok(result) => result,
        Err(_) => Err(Error::timeout(format!("{what} took longer than {seconds} s"))),
    }
}

impl DigitalInput for BoardLed {
    async fn read_pin(&self) -> Result<u8> {
        Ok(u8::from(*self.0.led.borrow()))
    }

    async fn wait_for_active(&self, timeout: Option<f64>) -> Result<()> {
        self.wait_for(true, timeout).await
    }

    async fn wait_for_inactive(&self, timeout: Option<f64>) -> Result<()> {
        self.wait_for(false, timeout).await
    }

    async fn wait_for_edge(&self, edge_type: Edge, timeout: Option<f64>) -> Result<()> {
        let mut led = self.0.led.subscribe();
        let wanted = edge_type == Edge::Rising;
        let edge = async {
            let mut before = *led.borrow_and_update();
            loop {
                led.changed().await.map_err(|_| gone())?;
                let now = *led.borrow_and_update();
                if before != now && now == wanted {
                    return Ok(());
                }
                before = now;
            }
        };
        within(timeout, "waiting for an edge of the lamp", edge).await
    }
}

part! {
    /// What the simulated board says about itself.
    #[driver(type = "simulated-board-machine", provides(Machine), open = made)]
    BoardMachine
}

impl Machine for BoardMachine {
    async fn state(&self) -> Result<MachineState> {
        Ok(self.0.state.borrow().clone())
    }

    async fn wait_for(&self, phase: Phase, limit: Delay) -> Result<MachineState> {
        let mut states = self.0.state.subscribe();
        let reached =
            async { states.wait_for(|state| state.phase == phase).await.map(|state| state.clone()) };
        if let Ok(reached) = timeout(limit.get(), reached).await {
            return reached.map_err(|_| gone());
        }
        let now = self.0.state.borrow().phase;
        Err(Error::timeout(format!(
            "the board is not in phase {phase} after {:?}, but in {now}",
            limit.get()
        )))
    }

    async fn watch(&self, count: u32) -> Result<Stream<MachineState>> {
        let mut states = self.0.state.subscribe();
        states.mark_changed();
        let left = if count == 0 { None } else { Some(count) };
        Ok(Stream::unfold((states, left), async |(mut states, left)| {
            if left == Some(0) {
                return Ok(None);
            }
            states.changed().await.map_err(|_| gone())?;
            let state = states.borrow_and_update().clone();
            Ok(Some((state, (states, left.map(|left| left - 1)))))
        }))
    }

    async fn save_log(&self, mut log: Sink) -> Result<()> {
        log.write(self.0.console.printed()).await?;
        log.finish().await
    }
}
