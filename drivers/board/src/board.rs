//! The driver, its configuration, and what its parts share.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use jumpstarter::{Context as _, Delay, Driver, Open, Result, children, config, driver};
use jumpstarter_interfaces::{MachineState, Phase};
use tokio::{sync::watch, task::JoinHandle};

use crate::{console::Console, machine, medium::Medium, parts};

/// How the simulated board is made up.
#[config]
#[derive(Clone, Debug)]
pub struct SimulatedBoardConfig {
    /// What the board calls itself on its console.
    #[default = "simulated board"]
    pub name: String,
    /// File that keeps the image, so that it outlives the exporter. Without it the image is gone with the session.
    #[schemars(extend("examples" = ["board.img"]))]
    pub image: Option<PathBuf>,
    /// How long the boot ROM takes.
    #[default = "50ms"]
    pub boot_delay: Delay,
}

/// What a board makes itself.
#[children]
pub struct Parts {
    /// Supply; its readings follow the board's state.
    #[child(made)]
    pub power: jumpstarter_interfaces::PowerClient,
    /// Console: boot log and prompt.
    #[child(made)]
    pub console: jumpstarter_interfaces::SerialClient,
    /// Storage medium that the board boots from.
    #[child(made)]
    pub storage: jumpstarter_interfaces::StorageMuxFlasherClient,
    /// A button; held at power-on it asks for the recovery prompt.
    #[child(made)]
    pub button: jumpstarter_interfaces::DigitalOutputClient,
    /// A lamp that is lit while an image runs.
    #[child(made)]
    pub led: jumpstarter_interfaces::DigitalInputClient,
    /// Tells what the board is doing.
    #[child(made)]
    pub machine: jumpstarter_interfaces::MachineClient,
}

/// Without supply.
const OFF: MachineState = MachineState { phase: Phase::Off, starts: 0, image: None };

/// A board that exists in memory, with supply, console, storage, button and lamp.
#[driver(type = "simulated-board", provides(), config = SimulatedBoardConfig, children = Parts)]
pub struct SimulatedBoard {
    shared: Arc<Shared>,
}

/// What the parts share.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) boot_delay: Duration,
    pub(crate) console: Arc<Console>,
    pub(crate) medium: Medium,
    pub(crate) led: watch::Sender<bool>,
    pub(crate) state: watch::Sender<MachineState>,
    button: AtomicBool,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Shared {
    /// Whether the supply is on.
    pub(crate) fn is_on(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn power_on(self: &Arc<Self>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            let input = self.console.power_on();
            *running = Some(jumpstarter::task::spawn(machine::run(self.clone(), input)));
            self.state.send_modify(|state| state.phase = Phase::Boot);
        }
    }

    pub(crate) fn power_off(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(machine) = running.take() {
            machine.abort();
            self.console.power_off();
            self.led.send_replace(false);
            self.state.send_replace(OFF);
        }
    }

    /// The board does something else now.
    pub(crate) fn enter(&self, phase: Phase) {
        self.change(|state| state.phase = phase);
    }

    /// The board's state changes, unless it has been switched off meanwhile.
    pub(crate) fn change(&self, change: impl FnOnce(&mut MachineState)) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            self.state.send_modify(change);
        }
    }

    /// Whether the button is held.
    pub(crate) fn button(&self) -> bool {
        self.button.load(SeqCst)
    }

    pub(crate) fn press(&self, held: bool) {
        self.button.store(held, SeqCst);
    }
}

impl Driver for SimulatedBoard {
    async fn open(config: SimulatedBoardConfig, cx: &mut Open<Parts>) -> Result<Self> {
        let medium = Medium::open(config.image.as_deref()).context("preparing the storage medium")?;
        let shared = Arc::new(Shared {
            name: config.name,
            boot_delay: config.boot_delay.get(),
            console: Arc::default(),
            medium,
            led: watch::Sender::new(false),
            state: watch::Sender::new(OFF),
            button: AtomicBool::new(false),
            running: Mutex::new(None),
        });
        cx.make("power", parts::BoardPower::new(shared.clone()));
        cx.make("console", parts::BoardConsole::new(shared.clone()));
        cx.make("storage", parts::BoardStorage::new(shared.clone()));
        cx.make("button", parts::BoardButton::new(shared.clone()));
        cx.make("led", parts::BoardLed::new(shared.clone()));
        cx.make("machine", parts::BoardMachine::new(shared.clone()));
        Ok(Self { shared })
    }

    async fn reset(&self) -> Result<()> {
        self.shared.power_off();
        self.shared.press(false);
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.shared.power_off();
        Ok(())
    }
}
