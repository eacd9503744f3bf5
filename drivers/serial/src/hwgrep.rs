//! Finding a port by what the kernel says about its hardware.
//!
//! The texts are those that pyserial's `list_ports` shows: the device file, a description, and for devices at USB
//! `USB VID:PID=0403:6001 SER=… LOCATION=…`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jumpstarter::{Error, ErrorKind, Result};
use serial2::{KeepSettings, SerialPort};

use crate::{address::Search, holders};

/// How device files of serial ports are named.
const NAMES: [&str; 7] = ["ttyS*", "ttyUSB*", "ttyXRUSB*", "ttyACM*", "ttyAMA*", "rfcomm*", "ttyAP*"];

/// What is known about a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    device: PathBuf,
    description: String,
    hardware: String,
}

/// The device file that a search means.
pub(crate) async fn find(search: &Search) -> Result<PathBuf> {
    let search = search.clone();
    let found = tokio::task::spawn_blocking(move || {
        let ports = list(Path::new("/dev"), Path::new("/sys"));
        choose(&search, &ports, usable)
    });
    found.await.map_err(|error| Error::internal(error.to_string()))?
}

/// Whether a port can be opened and nobody has it.
fn usable(path: &Path) -> bool {
    holders::of(path).is_empty() && SerialPort::open(path, KeepSettings).is_ok()
}

fn choose(search: &Search, ports: &[Found], usable: impl Fn(&Path) -> bool) -> Result<PathBuf> {
    let matches = |port: &&Found| {
        let device = port.device.to_string_lossy();
        [&*device, &port.description, &port.hardware].iter().any(|text| search.pattern.is_match(text))
    };
    let mut fitting = ports.iter().filter(matches).filter(|port| !search.skip_busy || usable(&port.device));
    if let Some(port) = fitting.nth(search.index) {
        return Ok(port.device.clone());
    }
    let there: Vec<_> = ports
        .iter()
        .map(|port| format!("{} ({}, {})", port.device.display(), port.description, port.hardware))
        .collect();
    let there = if there.is_empty() { "none".to_owned() } else { there.join("; ") };
    let free = if search.skip_busy { "free " } else { "" };
    let which = if search.index > 0 { format!(" number {}", search.index + 1) } else { String::new() };
    let text = format!("no {free}port{which} matches {search}; there are: {there}");
    Err(Error::new(ErrorKind::Absent, text))
}

/// The ports of this machine, in the order of their names; numbers in them count as numbers.
fn list(dev: &Path, sys: &Path) -> Vec<Found> {
    let mut ports = Vec::new();
    for name in NAMES {
        let pattern = dev.join(name);
        let Some(paths) = pattern.to_str().and_then(|pattern| glob::glob(pattern).ok()) else { continue };
        ports.extend(paths.flatten().filter_map(|device| describe(device, sys)));
    }
    ports.sort_by_cached_key(|port| sort_key(&port.device.to_string_lossy()));
    ports
}

/// What the kernel says about a device; `None` for places where a port could be and is not.
fn describe(device: PathBuf, sys: &Path) -> Option<Found> {
    let name = device.file_name()?.to_str()?.to_owned();
    let place = fs::canonicalize(sys.join("class/tty").join(&name).join("device")).ok();
    let subsystem = place.as_ref().and_then(|place| fs::canonicalize(place.join("subsystem")).ok());
    let subsystem = subsystem.as_ref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
    let (description, hardware) = match (subsystem, place) {
        (Some("platform"), _) => return None,
        (Some("usb-serial"), Some(place)) => usb(place.parent()?, &name),
        (Some("usb"), Some(place)) => usb(&place, &name),
        (Some("pnp"), Some(place)) => (name, line(&place, "id").unwrap_or_default()),
        (Some("amba"), Some(place)) => {
            (name, place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
        }
        _ => ("n/a".to_owned(), "n/a".to_owned()),
    };
    Some(Found { device, description, hardware })
}

/// Description and hardware of a USB interface.
fn usb(interface: &Path, name: &str) -> (String, String) {
    let Some(device) = interface.parent() else { return (name.to_owned(), String::new()) };
    let number = |file| line(device, file).and_then(|text| u16::from_str_radix(&text, 16).ok()).unwrap_or(0);
    let product = line(device, "product");
    let description = match (line(interface, "interface"), product) {
        (Some(interface), Some(product)) => format!("{product} - {interface}"),
        (None, Some(product)) => product,
        _ => name.to_owned(),
    };
    let several = line(device, "bNumInterfaces").and_then(|text| text.parse::<u32>().ok()).unwrap_or(1) > 1;
    let location = if several { interface } else { device };
    let location = location.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let serial = line(device, "serial").map(|serial| format!(" SER={serial}")).unwrap_or_default();
    let (vendor, id) = (number("idVendor"), number("idProduct"));
    (description, format!("USB VID:PID={vendor:04X}:{id:04X}{serial} LOCATION={location}"))
}

/// The first line of a file.
fn line(folder: &Path, file: &str) -> Option<String> {
    let text = fs::read_to_string(folder.join(file)).ok()?;
    Some(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Text and numbers in turns.
fn sort_key(text: &str) -> Vec<(String, u64)> {
    let mut key = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, number) = rest.split_at(digits);
        let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        key.push((word.to_owned(), number[..end].parse().unwrap_or(0)));
        rest = &number[end..];
    }
    key
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::address::Address;

    fn search(text: &str) -> Search {
        match Address::parse(&format!("hwgrep://{text}")) {
            Ok(Address::Search(search)) => search,
            other => panic!("{other:?}"),
        }
    }

    /// A machine with two adapters at USB, a modem, a built-in port, and one that is only a place for a port.
    fn machine() -> (tempfile::TempDir, Vec<Found>) {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let link = |path: &str, to: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(folder.path().join(to), path).unwrap();
        };
        for bus in ["usb-serial", "usb", "pnp", "platform"] {
            fs::create_dir_all(folder.path().join("sys/bus").join(bus)).unwrap();
        }
        for (number, usb, serial) in [(2, "1-2", "A1"), (10, "1-3", "B2")] {
            let port = format!("sys/devices/{usb}/{usb}:1.0/ttyUSB{number}");
            write(&format!("sys/devices/{usb}/idVendor"), "0403\n");
            write(&format!("sys/devices/{usb}/idProduct"), "6001\n");
            write(&format!("sys/devices/{usb}/product"), "FT232R USB UART\n");
            write(&format!("sys/devices/{usb}/serial"), &format!("{serial}\n"));
            write(&format!("sys/devices/{usb}/bNumInterfaces"), " 1\n");
            link(&format!("{port}/subsystem"), "sys/bus/usb-serial");
            link(&format!("sys/class/tty/ttyUSB{number}/device"), &port);
            write(&format!("dev/ttyUSB{number}"), "");
        }
        write("sys/devices/2-1/idVendor", "1d6b");
        write("sys/devices/2-1/idProduct", "0104");
        write("sys/devices/2-1/product", "Gadget");
        write("sys/devices/2-1/bNumInterfaces", "3");
        write("sys/devices/2-1/2-1:1.2/interface", "Console");
        link("sys/devices/2-1/2-1:1.2/subsystem", "sys/bus/usb");
        link("sys/class/tty/ttyACM0/device", "sys/devices/2-1/2-1:1.2");
        write("dev/ttyACM0", "");
        write("sys/devices/pnp0/id", "PNP0501");
        link("sys/devices/pnp0/subsystem", "sys/bus/pnp");
        link("sys/class/tty/ttyS0/device", "sys/devices/pnp0");
        write("dev/ttyS0", "");
        fs::create_dir_all(folder.path().join("sys/devices/serial8250")).unwrap();
        link("sys/devices/serial8250/subsystem", "sys/bus/platform");
        link("sys/class/tty/ttyS1/device", "sys/devices/serial8250");
        write("dev/ttyS1", "");
        let ports = list(&folder.path().join("dev"), &folder.path().join("sys"));
        (folder, ports)
    }

    #[test]
    fn ports_are_described_as_pyserial_does() {
        let (folder, ports) = machine();
        let shown: Vec<_> = ports
            .iter()
            .map(|port| {
                let device = port.device.strip_prefix(folder.path()).unwrap().display().to_string();
                [device, port.description.clone(), port.hardware.clone()].join(" | ")
            })
            .collect();
        let wanted = [
            "dev/ttyACM0 | Gadget - Console | USB VID:PID=1D6B:0104 LOCATION=2-1:1.2",
            "dev/ttyS0 | ttyS0 | PNP0501",
            "dev/ttyUSB2 | FT232R USB UART | USB VID:PID=0403:6001 SER=A1 LOCATION=1-2",
            "dev/ttyUSB10 | FT232R USB UART | USB VID:PID=0403:6001 SER=B2 LOCATION=1-3",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_port_is_chosen_by_name_description_hardware_and_number() {
        let (_folder, ports) = machine();
        let chosen = |text: &str| {
            let path = choose(&search(text), &ports, |path| !path.ends_with("ttyUSB2")).unwrap();
            path.file_name().unwrap().to_string_lossy().into_owned()
        };
        assert_eq!(chosen("ttyusb"), "ttyUSB2");
        assert_eq!(chosen("0403:6001&n=2"), "ttyUSB10");
        assert_eq!(chosen("ser=b2"), "ttyUSB10");
        assert_eq!(chosen("console"), "ttyACM0");
        assert_eq!(chosen("ft232&skip_busy"), "ttyUSB10");
    }

    #[test]
    fn a_search_without_a_result_says_what_there_is() {
        let (_folder, ports) = machine();
        let error = choose(&search("cp2102"), &ports[1..2], |_| true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Absent);
        assert!(error.message().starts_with("no port matches hwgrep://cp2102; there are: "), "{error}");
        assert!(error.message().ends_with("/dev/ttyS0 (ttyS0, PNP0501)"), "{error}");
        let error = choose(&search("x&n=3&skip_busy"), &[], |_| true).unwrap_err();
        assert_eq!(error.message(), "no free port number 3 matches hwgrep://x; there are: none");
    }
}
