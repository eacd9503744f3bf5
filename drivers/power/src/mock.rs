//! Supplies that exist in memory only.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use jumpstarter::{Driver, NoConfig, Open, Result, Stream, driver, log::Logger};
use jumpstarter_interfaces::{Power, PowerReading};

/// What both mocks measure, whatever their state: clients' tests rely on these two values.
const READINGS: [PowerReading; 2] =
    [PowerReading { voltage: 0.0, current: 0.0 }, PowerReading { voltage: 5.0, current: 2.0 }];

/// A supply that only remembers its state. For trying things out and for tests.
#[driver(type = "mock-power", provides(Power), aliases("jumpstarter_driver_power.driver.MockPower"))]
#[derive(Debug, Default)]
pub struct MockPower {
    on: AtomicBool,
    logger: Logger,
}

impl Driver for MockPower {
    async fn open(_: NoConfig, cx: &mut Open) -> Result<Self> {
        Ok(Self { on: AtomicBool::new(false), logger: cx.logger() })
    }
}

impl MockPower {
    /// Whether it was switched on.
    pub fn is_on(&self) -> bool {
        self.on.load(SeqCst)
    }
}

impl Power for MockPower {
    async fn on(&self) -> Result<()> {
        self.logger.info("power on");
        self.on.store(true, SeqCst);
        Ok(())
    }

    async fn off(&self) -> Result<()> {
        self.logger.info("power off");
        self.on.store(false, SeqCst);
        Ok(())
    }

    async fn read(&self) -> Result<Stream<PowerReading>> {
        Ok(Stream::from_values(READINGS))
    }
}

/// A supply that only remembers its state, under the name of upstream's mock with blocking methods.
#[driver(type = "sync-mock-power", provides(Power), aliases("jumpstarter_driver_power.driver.SyncMockPower"))]
#[derive(Debug, Default)]
pub struct SyncMockPower {
    inner: MockPower,
}

impl Driver for SyncMockPower {
    async fn open(config: NoConfig, cx: &mut Open) -> Result<Self> {
        Ok(Self { inner: MockPower::open(config, cx).await? })
    }
}

impl Power for SyncMockPower {
    async fn on(&self) -> Result<()> {
        self.inner.on().await
    }

    async fn off(&self) -> Result<()> {
        self.inner.off().await
    }

    async fn read(&self) -> Result<Stream<PowerReading>> {
        self.inner.read().await
    }
}
