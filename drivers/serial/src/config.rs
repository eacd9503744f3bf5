//! What an exporter file says about a port.

use jumpstarter::{Error, Result, config};

use crate::{
    address::{Address, FORMS},
    pace::Pace,
};

/// What [`Address::parse`] takes, as far as a pattern can tell: a path, or one of the schemes in letters of any size.
const FORM: &str = concat!(
    "^(?![\\s\\S]*://)|^(?:[Ll][Oo][Oo][Pp]|[Ss][Oo][Cc][Kk][Ee][Tt]|[Rr][Ff][Cc]2217|[Ss][Pp][Yy]",
    "|[Hh][Ww][Gg][Rr][Ee][Pp]|[Aa][Ll][Tt])://",
);

/// A serial port.
#[config]
#[derive(Clone, Debug)]
pub struct SerialPortConfig {
    /// The port: a device file, or one of `loop://`, `socket://HOST:PORT`, `rfc2217://HOST:PORT`, `spy://PORT`,
    /// `hwgrep://REGEX`, `alt://PORT`.
    #[schemars(length(min = 1), extend("pattern" = FORM, "title" = FORMS, "examples" = ["/dev/ttyUSB0"]))]
    pub url: String,
    /// Symbols per second.
    #[default = 115_200]
    #[unit = "Bd"]
    #[schemars(range(min = 1))]
    pub baudrate: u32,
    /// Open the port once at the start, so that a missing one is found then.
    #[default = true]
    pub check_present: bool,
    /// Send at most this many characters per second, for devices that lose input that comes faster.
    #[unit = "characters/s"]
    #[schemars(extend("exclusiveMinimum" = 0, "examples" = [200]))]
    pub cps: Option<f64>,
    /// Leave the line DTR as it is when the port is closed. Boards that reset when it drops go on running.
    #[default = false]
    pub disable_hupcl: bool,
    /// Bits per character, 5 to 8.
    #[default = 8]
    #[unit = "bit"]
    #[schemars(range(min = 5, max = 8))]
    pub bytesize: u8,
    /// Parity.
    #[default = Parity::None]
    pub parity: Parity,
    /// Stop bits, 1 or 2.
    #[default = 1]
    #[unit = "bit"]
    #[schemars(range(min = 1, max = 2))]
    pub stopbits: u8,
    /// Flow control by the characters XON and XOFF.
    #[default = false]
    pub xonxoff: bool,
    /// Flow control by the lines RTS and CTS.
    #[default = false]
    pub rtscts: bool,
}

/// The bit that checks a character.
#[config]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// There is none.
    None,
    /// It makes the number of ones even.
    Even,
    /// It makes the number of ones odd.
    Odd,
}

/// How bits travel on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) baudrate: u32,
    pub(crate) bytesize: u8,
    pub(crate) parity: Parity,
    pub(crate) stopbits: u8,
    pub(crate) flow: Flow,
}

/// Who says when to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    None,
    Characters,
    Lines,
}

impl Settings {
    /// Eight bits, no parity, one stop bit, no flow control.
    pub(crate) fn plain(baudrate: u32) -> Self {
        Self { baudrate, bytesize: 8, parity: Parity::None, stopbits: 1, flow: Flow::None }
    }
}

/// What the file says, understood.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) address: Address,
    pub(crate) settings: Settings,
    pub(crate) pace: Option<Pace>,
    pub(crate) disable_hupcl: bool,
}

fn wrong(key: &str, text: impl std::fmt::Display) -> Error {
    Error::configuration(format!("`{key}`: {text}"))
}

impl SerialPortConfig {
    pub(crate) fn understand(&self) -> Result<Wanted> {
        let address = Address::parse(&self.url).map_err(|text| wrong("url", text))?;
        if self.baudrate == 0 {
            return Err(wrong("baudrate", "expected a number above 0"));
        }
        if !(5..=8).contains(&self.bytesize) {
            return Err(wrong("bytesize", format!("expected 5 to 8, found {}", self.bytesize)));
        }
        if !(1..=2).contains(&self.stopbits) {
            return Err(wrong("stopbits", format!("expected 1 or 2, found {}", self.stopbits)));
        }
        let flow = match (self.xonxoff, self.rtscts) {
            (false, false) => Flow::None,
            (true, false) => Flow::Characters,
            (false, true) => Flow::Lines,
            (true, true) => return Err(wrong("xonxoff", "excludes `rtscts`: use one of them")),
        };
        let settings = Settings {
            baudrate: self.baudrate,
            bytesize: self.bytesize,
            parity: self.parity,
            stopbits: self.stopbits,
            flow,
        };
        let pace = pace(self.cps)?;
        Ok(Wanted { address, settings, pace, disable_hupcl: self.disable_hupcl })
    }
}

/// The pace that `cps` asks for.
pub(crate) fn pace(cps: Option<f64>) -> Result<Option<Pace>> {
    Pace::new(cps).map_err(|text| wrong("cps", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl FnOnce(&mut SerialPortConfig)) -> Result<Wanted> {
        let mut config = SerialPortConfig {
            url: "/dev/ttyS0".into(),
            baudrate: 115_200,
            check_present: true,
            cps: None,
            disable_hupcl: false,
            bytesize: 8,
            parity: Parity::None,
            stopbits: 1,
            xonxoff: false,
            rtscts: false,
        };
        change(&mut config);
        config.understand()
    }

    #[test]
    fn values_that_no_port_can_have_are_refused_with_their_key() {
        let told = |change: fn(&mut SerialPortConfig)| config(change).unwrap_err().message().to_owned();
        assert_eq!(told(|c| c.baudrate = 0), "`baudrate`: expected a number above 0");
        assert_eq!(told(|c| c.bytesize = 9), "`bytesize`: expected 5 to 8, found 9");
        assert_eq!(told(|c| c.stopbits = 3), "`stopbits`: expected 1 or 2, found 3");
        assert_eq!(
            told(|c| c.cps = Some(-1.0)),
            "`cps`: expected a number of characters per second, found -1"
        );
        assert_eq!(
            told(|c| (c.xonxoff, c.rtscts) = (true, true)),
            "`xonxoff`: excludes `rtscts`: use one of them"
        );
        assert!(told(|c| c.url = "sokcet://x:1".into()).starts_with("`url`: "));
    }

    #[test]
    fn the_defaults_are_those_of_a_console() {
        let wanted = config(|_| ()).unwrap();
        assert_eq!(wanted.settings, Settings::plain(115_200));
        assert!(wanted.pace.is_none());
    }
}
