//! Which of the existing implementation's client classes take the calls of which others.
//!
//! An exporter of that implementation says of a driver only which Python class its client has. Most of our interfaces
//! are named after one of these classes; the table holds the others whose drivers answer the same calls.

const POWER: &str = "jumpstarter_driver_power.client.PowerClient";
const FLASHER: &str = "jumpstarter_driver_opendal.client.FlasherClient";
const CORE_FLASHER: &str = "jumpstarter.client.flasher.FlasherClient";

/// Class, and a class whose calls its drivers answer as well.
const ANSWERS_ALSO: &[(&str, &str)] = &[
    ("jumpstarter_driver_cuttlefish.client.CvdPowerClient", POWER),
    ("jumpstarter_driver_noyito_relay.client.NoyitoPowerClient", POWER),
    ("jumpstarter_driver_power.client.VirtualPowerClient", POWER),
    ("jumpstarter_driver_ridesx.client.RideSXPowerClient", POWER),
    ("jumpstarter_driver_snmp.client.SNMPServerClient", POWER),
    (
        "jumpstarter_driver_network.client.DbusNetworkClient",
        "jumpstarter_driver_network.client.NetworkClient",
    ),
    (
        "jumpstarter_driver_opendal.client.StorageMuxFlasherClient",
        "jumpstarter_driver_opendal.client.StorageMuxClient",
    ),
    (CORE_FLASHER, FLASHER),
    (FLASHER, CORE_FLASHER),
    ("jumpstarter_driver_esp32.client.Esp32FlasherClient", FLASHER),
    ("jumpstarter_driver_pi_pico.client.PiPicoClient", FLASHER),
    ("jumpstarter_driver_qemu.client.QemuFlasherClient", FLASHER),
    ("jumpstarter_driver_stlink_msd.client.StlinkMsdFlasherClient", FLASHER),
];

/// Whether a driver whose client is `class` answers the calls of `wanted`.
pub(crate) fn answers(class: &str, wanted: &str) -> bool {
    let also = |class: &str, wanted: &str| {
        ANSWERS_ALSO.iter().any(|(known, other)| *known == class && *other == wanted)
    };
    // Two steps: flashers of all kinds know both names of their interface.
    class == wanted
        || also(class, wanted)
        || ANSWERS_ALSO.iter().any(|(known, other)| *known == class && also(other, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_answers_for_itself_and_for_the_classes_it_extends() {
        assert!(answers("my.Client", "my.Client"));
        assert!(answers("jumpstarter_driver_power.client.VirtualPowerClient", POWER));
        assert!(answers("jumpstarter_driver_esp32.client.Esp32FlasherClient", CORE_FLASHER));
        assert!(!answers(POWER, "jumpstarter_driver_power.client.VirtualPowerClient"));
        assert!(!answers(POWER, FLASHER));
    }

    #[test]
    fn a_mux_flasher_is_a_mux_and_no_flasher() {
        // Its `flash` is put together by the client from the calls of a mux.
        let class = "jumpstarter_driver_opendal.client.StorageMuxFlasherClient";
        assert!(answers(class, "jumpstarter_driver_opendal.client.StorageMuxClient"));
        assert!(!answers(class, FLASHER));
    }
}
