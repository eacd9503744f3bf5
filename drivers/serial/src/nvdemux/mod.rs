//! One of the consoles that share an NVIDIA Tegra's debug port.
//!
//! A Tegra sends several consoles through one serial port. NVIDIA's demultiplexer (`nv_tcu_demuxer`) takes them apart and
//! offers each as a pseudo-terminal. It can run only once for a device, so all consoles of an exporter share one.

mod demuxer;
mod program;

use std::path::PathBuf;

use jumpstarter::{Delay, Driver, Io, Open, Result, config, driver, log::Logger};
use jumpstarter_interfaces::Serial;

use crate::{
    address::Address,
    config::{Settings, Wanted, pace},
    driver::Link,
    pace::Pace,
    port,
};
use demuxer::{Place, Setup};

/// A console behind NVIDIA's demultiplexer.
#[config]
#[derive(Clone, Debug)]
pub struct NvDemuxSerialConfig {
    /// The demultiplexer, `nv_tcu_demuxer`: its path, or its name if it is where programs are looked for (`PATH`).
    #[schemars(extend("minLength" = 1, "examples" = ["/opt/nvidia/nv_tcu_demuxer"]))]
    pub demuxer_path: PathBuf,
    /// The device file of the debug port, or a pattern for it; of several that match, the first by name is taken.
    #[default = "/dev/serial/by-id/usb-NVIDIA_Tegra_On-Platform_Operator_*-if01"]
    pub device: String,
    /// Which console.
    #[default = "CCPLEX: 0"]
    pub target: String,
    /// Which chip: `T234` for Orin, `T264` for Thor.
    #[default = "T264"]
    pub chip: String,
    /// Symbols per second.
    #[default = 115_200]
    #[unit = "Bd"]
    #[schemars(range(min = 1))]
    pub baudrate: u32,
    /// Send at most this many characters per second, for devices that lose input that comes faster.
    #[unit = "characters/s"]
    #[schemars(extend("exclusiveMinimum" = 0, "examples" = [200]))]
    pub cps: Option<f64>,
    /// How long a connection waits for the demultiplexer to offer the console.
    #[default = "10s"]
    pub timeout: Delay,
    /// How long to wait until the device is looked for again, or the demultiplexer is started again.
    #[default = "1s"]
    pub poll_interval: Delay,
}

/// A console of an NVIDIA Tegra.
///
/// All devices of this type in an exporter share one demultiplexer: they have the same `demuxer_path`, `device` and
/// `chip`, and different `target`s.
#[driver(
    type = "nvdemux-serial",
    provides(Serial),
    config = NvDemuxSerialConfig,
    aliases("jumpstarter_driver_pyserial.nvdemux.driver.NVDemuxSerial")
)]
pub struct NvDemuxSerial {
    place: Place,
    settings: Settings,
    pace: Option<Pace>,
    timeout: Delay,
    link: Link,
    logger: Logger,
}

impl Driver for NvDemuxSerial {
    async fn open(config: NvDemuxSerialConfig, cx: &mut Open) -> Result<Self> {
        let pace = pace(config.cps)?;
        program::check(&config.demuxer_path)?;
        let setup = Setup {
            program: config.demuxer_path,
            device: config.device,
            chip: config.chip,
            interval: config.poll_interval.get(),
        };
        let logger = cx.logger();
        Ok(Self {
            place: Place::take(setup, config.target, &logger)?,
            settings: Settings::plain(config.baudrate),
            pace,
            timeout: config.timeout,
            link: Link::default(),
            logger,
        })
    }

    async fn close(&self) -> Result<()> {
        self.link.close_and_wait().await;
        self.place.leave().await;
        Ok(())
    }
}

impl Serial for NvDemuxSerial {
    async fn connect(&self) -> Result<Io> {
        let path = self.place.console(self.timeout.get()).await?;
        self.link
            .connect(async || {
                self.logger.info(format!("opening {} for {}", path.display(), self.place.target()));
                let wanted = Wanted {
                    address: Address::Device(path),
                    settings: self.settings,
                    pace: self.pace,
                    disable_hupcl: false,
                };
                port::open(&wanted, &self.logger).await
            })
            .await
    }

    async fn close(&self) -> Result<()> {
        self.link.close().await;
        Ok(())
    }
}
