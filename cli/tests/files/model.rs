//! The model of what is said about a file: several mistakes of different kinds, told at once, each with what to write.

use jumpstarter::{Driver, DriverFactory, Open, Result, children, config, driver};
use jumpstarter_cli::Program;
use jumpstarter_exporter::check;
use jumpstarter_interfaces::{PowerClient, SerialClient};

/// A board that hangs on other devices.
#[driver(type = "carrier", config = CarrierConfig, children = Parts)]
struct Carrier {
    _shelf: Option<u8>,
    _parts: Parts,
}

/// What a carrier needs.
#[children]
#[expect(dead_code, reason = "only what a file says about them is of interest")]
struct Parts {
    /// Its console.
    console: SerialClient,
    /// Its supply.
    power: PowerClient,
}

/// How a carrier is set up.
#[config]
struct CarrierConfig {
    /// Its number on the shelf.
    shelf: Option<u8>,
}

impl Driver for Carrier {
    async fn open(config: CarrierConfig, open: &mut Open<Parts>) -> Result<Self> {
        Ok(Self { _shelf: config.shelf, _parts: open.children()? })
    }
}

const FILE: &str = "\
apiVersion: jumpstarter.dev/v1alpha1
kind: ExporterConfig
metadata:
  name: rig3
  namespace: lab
description: >
  The rig on shelf 3.
export:
  board:
    type: carrier
    children:
      console:
        type: serial
        config: {url: /dev/ttyUSB0,
          baud: 9600}
      power:
        type: tcp-network
        config: {host: 192.0.2.7, port: 22}
  hub:
    type: jumpstarter_driver_yepkit.driver.Ykush
  images:
    type: jumpstarter_driver_opendal.driver.Opendal
    config: {scheme: fs}
";

const TOLD: &str = "\
exporter.yaml: 4 problems

error: unknown key `baud` in the configuration of driver `serial`
   ┌ exporter.yaml:15:11
14 │         config: {url: /dev/ttyUSB0,
15 │           baud: 9600}
   │           ^^^^ export.board.children.console
   help: did you mean `baudrate`? known keys: url, baudrate, check_present, cps, disable_hupcl, bytesize, parity, stopbits, xonxoff, rtscts

error: child `power` of driver `carrier` must provide power, but `tcp-network` provides network, network-address
   ┌ exporter.yaml:17:15
17 │         type: tcp-network
   │               ^^^^^^^^^^^ export.board.children.power: provides network, network-address
   help: drivers that provide power: command-power, energenie-power, http-power, mock-command-power, mock-energenie-power, \
         mock-http-power, mock-power, mock-snmp-power, mock-tasmota-power, snmp-power, sync-mock-power, tasmota-power

error: unknown driver type `jumpstarter_driver_yepkit.driver.Ykush`
   ┌ exporter.yaml:20:11
20 │     type: jumpstarter_driver_yepkit.driver.Ykush
   │           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ export.hub
   help: this version does not have that driver yet
         drivers that provide power: command-power, energenie-power, http-power, mock-command-power, mock-energenie-power, \
         mock-http-power, mock-power, mock-snmp-power, mock-tasmota-power, snmp-power, sync-mock-power, tasmota-power

error: unknown driver type `jumpstarter_driver_opendal.driver.Opendal`
   ┌ exporter.yaml:22:11
22 │     type: jumpstarter_driver_opendal.driver.Opendal
   │           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ export.images
   help: this program was built without feature `storage`";

#[test]
fn several_mistakes_of_different_kinds_are_told_at_once() {
    let drivers: &[&[&dyn DriverFactory]] = &[
        &[Carrier::DRIVER],
        jumpstarter_driver_network::DRIVERS,
        jumpstarter_driver_power::DRIVERS,
        jumpstarter_driver_serial::DRIVERS,
    ];
    let problems =
        check("exporter.yaml", FILE, &Program::new(drivers).registry(), |_| None).err().expect("problems");
    assert_eq!(problems.render(), TOLD);
}
