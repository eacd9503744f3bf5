//! What the mocks of devices have in common.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use jumpstarter::{Stream, log::Logger};
use jumpstarter_interfaces::PowerReading;

/// A supply that exists in memory. What it measures follows from its state.
#[derive(Debug)]
pub(crate) struct Simulated {
    on: AtomicBool,
    logger: Logger,
}

impl Simulated {
    /// A supply that is off.
    pub(crate) fn new(logger: Logger) -> Self {
        Self { on: AtomicBool::new(false), logger }
    }

    /// Switches it.
    pub(crate) fn switch(&self, on: bool) {
        self.logger.info(if on { "power on" } else { "power off" });
        self.on.store(on, SeqCst);
    }

    /// One reading, as the devices give it.
    pub(crate) fn read(&self) -> Stream<PowerReading> {
        let (voltage, current) = if self.on.load(SeqCst) { (5.0, 2.0) } else { (0.0, 0.0) };
        Stream::from_values([PowerReading { voltage, current }])
    }
}
