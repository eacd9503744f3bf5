//! Which drivers there are, whether this program has them or not.
//!
//! A file may name a driver that was left out of this program, or one of the existing implementation that nobody has
//! written here yet. Whoever reads the message about it should learn which of the two it is. A driver that is written
//! moves from the second half of [`KNOWN`] to the first; tests compare that half with what the crates list.

use jumpstarter_exporter::Known;

/// Every driver of this project by the feature that brings it in, and those of the existing implementation (0.9.0)
/// that come later.
pub(crate) const KNOWN: &[Known] = &[
    here("simulated-board", &[], &[], "board"),
    here("composite", &["jumpstarter_driver_composite.driver.Composite"], &[], "composite"),
    here(
        "tcp-network",
        &["jumpstarter_driver_network.driver.TcpNetwork"],
        &["network", "network-address"],
        "network",
    ),
    here("echo-network", &["jumpstarter_driver_network.driver.EchoNetwork"], &["network"], "network"),
    here("mock-power", &["jumpstarter_driver_power.driver.MockPower"], &["power"], "power"),
    here("sync-mock-power", &["jumpstarter_driver_power.driver.SyncMockPower"], &["power"], "power"),
    here(
        "udp-network",
        &["jumpstarter_driver_network.driver.UdpNetwork"],
        &["network", "network-address"],
        "network",
    ),
    here("unix-network", &["jumpstarter_driver_network.driver.UnixNetwork"], &["network"], "network"),
    here("vsock-network", &["jumpstarter_driver_network.driver.VsockNetwork"], &["network"], "network"),
    here("dbus-network", &["jumpstarter_driver_network.driver.DbusNetwork"], &["network"], "network"),
    here(
        "websocket-network",
        &["jumpstarter_driver_network.driver.WebsocketNetwork"],
        &["network", "network-address"],
        "network",
    ),
    here("vnc", &["jumpstarter_driver_vnc.driver.Vnc"], &["vnc-screen"], "network"),
    here("command-power", &[], &["power-cycle", "power"], "power"),
    here("mock-command-power", &[], &["power-cycle", "power"], "power"),
    here("http-power", &["jumpstarter_driver_http_power.driver.HttpPower"], &["power"], "power"),
    here("mock-http-power", &[], &["power"], "power"),
    here("snmp-power", &["jumpstarter_driver_snmp.driver.SNMPServer"], &["power"], "power"),
    here("mock-snmp-power", &[], &["power"], "power"),
    here("tasmota-power", &["jumpstarter_driver_tasmota.driver.TasmotaPower"], &["power"], "power"),
    here("mock-tasmota-power", &[], &["power"], "power"),
    here("energenie-power", &["jumpstarter_driver_energenie.driver.EnerGenie"], &["power"], "power"),
    here("mock-energenie-power", &[], &["power"], "power"),
    here("serial", &["jumpstarter_driver_pyserial.driver.PySerial"], &["serial"], "serial"),
    here(
        "nvdemux-serial",
        &["jumpstarter_driver_pyserial.nvdemux.driver.NVDemuxSerial"],
        &["serial"],
        "serial",
    ),
    here("shell", &["jumpstarter_driver_shell.driver.Shell"], &["shell"], "shell"),
    here("opendal", &["jumpstarter_driver_opendal.driver.Opendal"], &["storage"], "storage"),
    here("mock-flasher", &["jumpstarter_driver_opendal.driver.MockFlasher"], &["flasher"], "storage"),
    here(
        "mock-storage-mux",
        &["jumpstarter_driver_opendal.driver.MockStorageMux"],
        &["storage-mux"],
        "storage",
    ),
    here(
        "mock-storage-mux-flasher",
        &["jumpstarter_driver_opendal.driver.MockStorageMuxFlasher"],
        &["storage-mux-flasher"],
        "storage",
    ),
    // Not written yet.
    later("adb-server", &["jumpstarter_driver_adb.driver.AdbServer"], &["network"]),
    later("android-emulator", &["jumpstarter_driver_androidemulator.driver.AndroidEmulator"], &[]),
    later("ble-write-notify-stream", &["jumpstarter_driver_ble.driver.BleWriteNotifyStream"], &[]),
    later("bt-peer", &["jumpstarter_driver_bt_peer.driver.BtPeer"], &[]),
    later("can", &["jumpstarter_driver_can.driver.Can"], &[]),
    later(
        "iso-tp",
        &["jumpstarter_driver_can.driver.IsoTpPython", "jumpstarter_driver_can.driver.IsoTpSocket"],
        &[],
    ),
    later("corellium", &["jumpstarter_driver_corellium.driver.Corellium"], &[]),
    later("cuttlefish", &["jumpstarter_driver_cuttlefish.driver.Cuttlefish"], &[]),
    later("doip", &["jumpstarter_driver_doip.driver.DoIP"], &[]),
    later("dut-network", &["jumpstarter_driver_dut_network.driver.DutNetwork"], &[]),
    later("dutlink", &["jumpstarter_driver_dutlink.driver.Dutlink"], &[]),
    later("dutlink-power", &["jumpstarter_driver_dutlink.driver.DutlinkPower"], &["power"]),
    later(
        "dutlink-storage-mux",
        &["jumpstarter_driver_dutlink.driver.DutlinkStorageMux"],
        &["storage-mux-flasher"],
    ),
    later("esp32", &["jumpstarter_driver_esp32.driver.Esp32Flasher"], &[]),
    later("base-flasher", &["jumpstarter_driver_flashers.driver.BaseFlasher"], &[]),
    later("ti-j784s4-flasher", &["jumpstarter_driver_flashers.driver.TIJ784S4Flasher"], &[]),
    later("rcar-s4-flasher", &["jumpstarter_driver_flashers.driver.RCarS4Flasher"], &[]),
    later("gpiod-digital-output", &["jumpstarter_driver_gpiod.driver.DigitalOutput"], &["digital-output"]),
    later("gpiod-digital-input", &["jumpstarter_driver_gpiod.driver.DigitalInput"], &["digital-input"]),
    later("gpiod-power-switch", &["jumpstarter_driver_gpiod.driver.PowerSwitch"], &["power"]),
    later("http-server", &["jumpstarter_driver_http.driver.HttpServer"], &[]),
    later("iscsi", &["jumpstarter_driver_iscsi.driver.ISCSI"], &[]),
    later("mitmproxy", &["jumpstarter_driver_mitmproxy.driver.MitmproxyDriver"], &[]),
    later("noyito-power-serial", &["jumpstarter_driver_noyito_relay.driver.NoyitoPowerSerial"], &["power"]),
    later("noyito-power-hid", &["jumpstarter_driver_noyito_relay.driver.NoyitoPowerHID"], &["power"]),
    later("obd", &["jumpstarter_driver_obd.driver.OBD"], &[]),
    later("pi-pico", &["jumpstarter_driver_pi_pico.driver.PiPicoFlasher"], &[]),
    later("probe-rs", &["jumpstarter_driver_probe_rs.driver.ProbeRs"], &[]),
    later("qemu", &["jumpstarter_driver_qemu.driver.Qemu"], &[]),
    later("renode", &["jumpstarter_driver_renode.driver.Renode"], &[]),
    later("ridesx", &["jumpstarter_driver_ridesx.driver.RideSXDriver"], &[]),
    later("ridesx-power", &["jumpstarter_driver_ridesx.driver.RideSXPowerDriver"], &["power"]),
    later("sdwire", &["jumpstarter_driver_sdwire.driver.SDWire"], &["storage-mux-flasher"]),
    later("someip", &["jumpstarter_driver_someip.driver.SomeIp"], &[]),
    later("ssh", &["jumpstarter_driver_ssh.driver.SSHWrapper"], &[]),
    later("ssh-mitm", &["jumpstarter_driver_ssh_mitm.driver.SSHMITM"], &["network"]),
    later("ssh-mount", &["jumpstarter_driver_ssh_mount.driver.SSHMount"], &[]),
    later("stlink-msd", &["jumpstarter_driver_stlink_msd.driver.StlinkMsdFlasher"], &[]),
    later("tftp", &["jumpstarter_driver_tftp.driver.Tftp"], &[]),
    later("tmt", &["jumpstarter_driver_tmt.driver.TMT"], &[]),
    later("uboot", &["jumpstarter_driver_uboot.driver.UbootConsole"], &[]),
    later("uds-can", &["jumpstarter_driver_uds_can.driver.UdsCan"], &[]),
    later("uds-doip", &["jumpstarter_driver_uds_doip.driver.UdsDoip"], &[]),
    later("ustreamer", &["jumpstarter_driver_ustreamer.driver.UStreamer"], &[]),
    later("video", &["jumpstarter_driver_video.driver.HttpVideo"], &[]),
    later("xcp", &["jumpstarter_driver_xcp.driver.Xcp"], &[]),
    later("ykush", &["jumpstarter_driver_yepkit.driver.Ykush"], &["power"]),
];

const fn here(
    name: &'static str,
    aliases: &'static [&'static str],
    provides: &'static [&'static str],
    feature: &'static str,
) -> Known {
    Known { name, aliases, provides, feature: Some(feature) }
}

const fn later(
    name: &'static str,
    aliases: &'static [&'static str],
    provides: &'static [&'static str],
) -> Known {
    Known { name, aliases, provides, feature: None }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jumpstarter_core::driver::DriverFactory;
    use jumpstarter_exporter::{Registry, check};

    use super::*;

    /// What each feature brings in.
    const FAMILIES: &[(&str, &[&dyn DriverFactory])] = &[
        #[cfg(feature = "board")]
        ("board", jumpstarter_driver_board::DRIVERS),
        #[cfg(feature = "composite")]
        ("composite", jumpstarter_driver_composite::DRIVERS),
        #[cfg(feature = "network")]
        ("network", jumpstarter_driver_network::DRIVERS),
        #[cfg(feature = "power")]
        ("power", jumpstarter_driver_power::DRIVERS),
        #[cfg(feature = "serial")]
        ("serial", jumpstarter_driver_serial::DRIVERS),
        #[cfg(feature = "shell")]
        ("shell", jumpstarter_driver_shell::DRIVERS),
        #[cfg(feature = "storage")]
        ("storage", jumpstarter_driver_storage::DRIVERS),
    ];

    #[test]
    fn the_table_says_of_every_driver_what_the_driver_says_itself() {
        for (feature, drivers) in FAMILIES {
            for driver in *drivers {
                let spec = driver.spec();
                let known = KNOWN.iter().find(|known| known.name == spec.type_name);
                let known = known.unwrap_or_else(|| panic!("`{}` is not in the table", spec.type_name));
                assert_eq!(known.feature, Some(*feature), "{}", known.name);
                assert_eq!(known.aliases, spec.aliases, "{}", known.name);
                let provides: Vec<_> = spec.provides.iter().map(|interface| interface.name).collect();
                assert_eq!(known.provides, provides, "{}", known.name);
            }
            let listed = KNOWN.iter().filter(|known| known.feature == Some(feature)).count();
            assert_eq!(listed, drivers.len(), "the table has drivers of `{feature}` that do not exist");
        }
    }

    #[test]
    fn every_name_stands_for_one_driver_and_every_feature_exists() {
        let mut seen = HashSet::new();
        let manifest = include_str!("../Cargo.toml");
        for known in KNOWN {
            for name in std::iter::once(&known.name).chain(known.aliases) {
                assert!(seen.insert(*name), "{name} occurs twice");
            }
            if let Some(feature) = known.feature {
                assert!(
                    manifest.lines().any(|line| line.starts_with(&format!("{feature} = ["))),
                    "{feature}"
                );
            }
        }
    }

    /// The help for a type, in a program that has only two drivers.
    fn help(wanted: &str) -> String {
        let two: &[&dyn DriverFactory] =
            &[jumpstarter_driver_power::MockPower::DRIVER, jumpstarter_driver_power::SyncMockPower::DRIVER];
        let registry = Registry::new(&[two]).knowing(KNOWN);
        let file = format!("export: {{it: {{type: {wanted}}}}}\n");
        let Err(problems) = check("rig.yaml", &file, &registry, |_| None) else {
            panic!("{wanted} is known")
        };
        problems.iter().next().and_then(|problem| problem.help_text()).unwrap_or_default().to_owned()
    }

    #[test]
    fn a_driver_that_was_left_out_or_is_not_written_yet_is_told_apart_from_a_mistyped_one() {
        for (wanted, told) in [
            ("tcp-network", "this program was built without feature `network`"),
            (
                "jumpstarter_driver_network.driver.TcpNetwork",
                "this program was built without feature `network`",
            ),
            ("tcp-netwrok", "did you mean `tcp-network`? this program was built without feature `network`"),
            (
                "jumpstarter_driver_yepkit.driver.Ykush",
                "this version does not have that driver yet\ndrivers that provide power: mock-power, sync-mock-power",
            ),
            (
                "jumpstarter_driver_yepkit.driver.Yukush",
                "did you mean `jumpstarter_driver_yepkit.driver.Ykush`? this version does not have that driver yet\n\
                 drivers that provide power: mock-power, sync-mock-power",
            ),
            (
                "qemu",
                "this version does not have that driver yet\nthis program has: mock-power, sync-mock-power",
            ),
            ("mock_power", "did you mean `mock-power`?"),
            ("MockPower", "did you mean `mock-power`?"),
            ("jumpstarter_driver_power.MockPower", "did you mean `mock-power`?"),
            ("power", "drivers that provide power: mock-power, sync-mock-power"),
            ("lamp", "this program has: mock-power, sync-mock-power"),
            (
                "acme.driver.Lamp",
                "this version does not run drivers that are written in Python\n\
                 this program has: mock-power, sync-mock-power",
            ),
            (
                "jumpstarter_driver_composite.driver.Proxy",
                "write `ref: NAME` without `type` to give a device another name",
            ),
        ] {
            assert_eq!(help(wanted), told, "{wanted}");
        }
    }
}
