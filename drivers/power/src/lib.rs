//! Drivers for supplies.
//!
//! | `type:` | Device | Feature |
//! |---|---|---|
//! | `mock-power` | [`MockPower`]: remembers its state, for tests | |
//! | `sync-mock-power` | [`SyncMockPower`]: the same, under the name of upstream's second mock | |
//! | `command-power` | `CommandPower`: commands of the exporter's host | `command` |
//! | `http-power` | `HttpPower`: anything that is switched by HTTP requests: Shelly, Tasmota and others | `http` |
//! | `snmp-power` | `SnmpPower`: an outlet of a power distribution unit, over SNMPv3 | `snmp` |
//! | `tasmota-power` | `TasmotaPower`: a Tasmota device, over MQTT | `tasmota` |
//! | `energenie-power` | `EnerGeniePower`: a socket of an EnerGenie EG-PMS2-LAN | `energenie` |
//!
//! Each device has a mock, `mock-` and its name. It takes the same configuration, so that an exporter file can be tried
//! before the hardware is there: only `type` changes. A mock refuses the configurations that the device refuses, remembers
//! whether it is on, and measures 5 V and 2 A when it is, and nothing otherwise, if the device can measure.
//!
//! A device that does not answer, or answers that it failed, is an error of the call, whichever device it is.

#![forbid(unsafe_code)]

#[cfg(feature = "command")]
mod command;
#[cfg(feature = "energenie")]
mod energenie;
#[cfg(feature = "http")]
mod http;
mod mock;
#[cfg(any(
    feature = "command",
    feature = "energenie",
    feature = "http",
    feature = "snmp",
    feature = "tasmota"
))]
mod simulated;
#[cfg(feature = "snmp")]
mod snmp;
#[cfg(feature = "tasmota")]
mod tasmota;
#[cfg(any(feature = "energenie", feature = "http", feature = "tasmota"))]
mod tls;
#[cfg(any(feature = "energenie", feature = "http"))]
mod web;

use jumpstarter::DriverFactory;

#[cfg(feature = "command")]
pub use command::{CommandPower, CommandPowerConfig, MockCommandPower};
#[cfg(feature = "energenie")]
pub use energenie::{EnerGeniePower, EnerGeniePowerConfig, MockEnerGeniePower};
#[cfg(feature = "http")]
pub use http::{Auth, BasicAuth, Endpoint, HttpPower, HttpPowerConfig, MockHttpPower};
pub use mock::{MockPower, SyncMockPower};
#[cfg(feature = "snmp")]
pub use snmp::{AuthProtocol, MockSnmpPower, PrivProtocol, SnmpPower, SnmpPowerConfig};
#[cfg(feature = "tasmota")]
pub use tasmota::{MockTasmotaPower, TasmotaPower, TasmotaPowerConfig, Transport};

/// The drivers of this crate.
pub const DRIVERS: &[&dyn DriverFactory] = &[
    MockPower::DRIVER,
    SyncMockPower::DRIVER,
    #[cfg(feature = "command")]
    CommandPower::DRIVER,
    #[cfg(feature = "command")]
    MockCommandPower::DRIVER,
    #[cfg(feature = "http")]
    HttpPower::DRIVER,
    #[cfg(feature = "http")]
    MockHttpPower::DRIVER,
    #[cfg(feature = "snmp")]
    SnmpPower::DRIVER,
    #[cfg(feature = "snmp")]
    MockSnmpPower::DRIVER,
    #[cfg(feature = "tasmota")]
    TasmotaPower::DRIVER,
    #[cfg(feature = "tasmota")]
    MockTasmotaPower::DRIVER,
    #[cfg(feature = "energenie")]
    EnerGeniePower::DRIVER,
    #[cfg(feature = "energenie")]
    MockEnerGeniePower::DRIVER,
];
