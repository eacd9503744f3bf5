//! What stands behind `url:`: a device file, or one of the addresses that pyserial knows.

use std::{fmt, path::PathBuf, time::Duration};

use url::form_urlencoded;

/// The forms, for messages.
pub(crate) const FORMS: &str = "a device file, loop://, socket://HOST:PORT, rfc2217://HOST:PORT, spy://PORT, hwgrep://REGEX or alt://PORT";

/// Classes of pyserial that open the same device file and only read it in different ways.
const CLASSES: [&str; 4] = ["Serial", "PosixSerial", "PosixPollSerial", "VTIMESerial"];

/// Where a port is.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// A device file.
    Device(PathBuf),
    /// Nowhere: what is sent comes back.
    Loop,
    /// A TCP port that carries the bytes as they are.
    Socket(Place),
    /// A port of another machine, with its settings.
    Rfc2217(Remote),
    /// A port whose traffic is logged.
    Spy(SpyOptions, Box<Address>),
    /// The device file that a search finds.
    Search(Search),
    /// A device file that pyserial opens with another of its classes.
    Alternative(PathBuf),
}

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A port behind RFC 2217.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Remote {
    pub(crate) place: Place,
    /// How long each answer of the server may take.
    pub(crate) timeout: Duration,
    /// The server does not answer settings of control lines and flow control.
    pub(crate) ignores_control: bool,
    /// What the conversation with the server is logged as; not at all without.
    pub(crate) logging: Option<Level>,
}

/// How loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

/// How traffic is logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpyOptions {
    /// Where to; standard error without.
    pub(crate) file: Option<PathBuf>,
    /// With the colours of a terminal.
    pub(crate) color: bool,
    /// The bytes as they are, instead of a dump.
    pub(crate) raw: bool,
    /// Also reads that brought nothing.
    pub(crate) all: bool,
}

/// Which port is meant.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) pattern: regex::Regex,
    /// Which of those that match, from 0.
    pub(crate) index: usize,
    /// Pass over those that cannot be opened.
    pub(crate) skip_busy: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hwgrep://{}", self.pattern.as_str())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) | Self::Alternative(path) => path.display().fmt(f),
            Self::Loop => f.write_str("loop://"),
            Self::Socket(place) => write!(f, "socket://{place}"),
            Self::Rfc2217(remote) => write!(f, "rfc2217://{}", remote.place),
            Self::Spy(_, inner) => inner.fmt(f),
            Self::Search(search) => search.fmt(f),
        }
    }
}

impl Address {
    /// Whether each connection is one of its own, with nothing that has to be opened.
    pub(crate) fn is_loop(&self) -> bool {
        matches!(self, Self::Loop)
    }

    /// Reads an address.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(format!("expected {FORMS}, found nothing"));
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Self::Device(text.into())) };
        match scheme.to_ascii_lowercase().as_str() {
            "loop" => Self::parse_loop(rest),
            "socket" => {
                let (place, options) = parts(rest);
                for (name, value) in &options {
                    match name.as_str() {
                        // There is nothing to log about a connection without settings.
                        "logging" => drop(level(value)?),
                        other => return Err(unknown(other, &["logging"])),
                    }
                }
                Ok(Self::Socket(Place::parse(place)?))
            }
            "rfc2217" => Remote::parse(rest).map(Self::Rfc2217),
            "spy" => Self::parse_spy(rest),
            "hwgrep" => Search::parse(rest).map(Self::Search),
            "alt" => Self::parse_alternative(rest),
            other => Err(format!("there are no ports with `{other}://`: expected {FORMS}")),
        }
    }

    fn parse_loop(rest: &str) -> Result<Self, String> {
        let (place, options) = parts(rest);
        if !place.is_empty() {
            return Err(format!("expected `loop://`, found `loop://{place}`"));
        }
        for (name, value) in &options {
            match name.as_str() {
                "logging" => drop(level(value)?),
                other => return Err(unknown(other, &["logging"])),
            }
        }
        Ok(Self::Loop)
    }

    fn parse_spy(rest: &str) -> Result<Self, String> {
        let (inner, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = SpyOptions::default();
        // What is none of these belongs to the address within.
        let mut others = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            for (name, value) in form_urlencoded::parse(option.as_bytes()) {
                match &*name {
                    "file" if value.is_empty() => return Err("the option `file` needs a path".to_owned()),
                    "file" => options.file = Some(value.into_owned().into()),
                    "color" => options.color = true,
                    "raw" => options.raw = true,
                    "all" => options.all = true,
                    _ => others.push(option),
                }
            }
        }
        if !inner.contains("://")
            && let Some(name) = others.first()
        {
            return Err(unknown(
                name.split('=').next().unwrap_or_default(),
                &["file", "color", "raw", "all"],
            ));
        }
        let inner =
            if others.is_empty() { inner.to_owned() } else { format!("{inner}?{}", others.join("&")) };
        match Self::parse(&inner)? {
            Self::Spy(..) => Err("a port has one spy: `spy://spy://` is one too many".to_owned()),
            inner => Ok(Self::Spy(options, Box::new(inner))),
        }
    }

    fn parse_alternative(rest: &str) -> Result<Self, String> {
        let (path, options) = parts(rest);
        if path.is_empty() {
            return Err("expected `alt://` and a device file".to_owned());
        }
        for (name, value) in &options {
            match name.as_str() {
                "class" if CLASSES.contains(&value.as_str()) => {}
                "class" => {
                    return Err(format!("`class` is none of {}: found `{value}`", CLASSES.join(", ")));
                }
                other => return Err(unknown(other, &["class"])),
            }
        }
        Ok(Self::Alternative(path.into()))
    }
}

/// What stands before the question mark, and the options behind it.
fn parts(text: &str) -> (&str, Vec<(String, String)>) {
    let (place, query) = text.split_once('?').unwrap_or((text, ""));
    (place, form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

fn unknown(name: &str, known: &[&str]) -> String {
    format!("unknown option `{name}`: known are {}", known.join(", "))
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warning" => Ok(Level::Warning),
        "error" => Ok(Level::Error),
        other => Err(format!("`logging` is one of debug, info, warning, error: found `{other}`")),
    }
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected HOST:PORT, found `{text}`");
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(wrong)?,
            None if host.contains([':', '/', '@']) => return Err(wrong()),
            None => host,
        };
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || port == 0 { Err(wrong()) } else { Ok(Self { host: host.to_owned(), port }) }
    }
}

impl Remote {
    fn parse(rest: &str) -> Result<Self, String> {
        let (place, options) = parts(rest);
        let mut remote = Self {
            place: Place::parse(place)?,
            // pyserial's own.
            timeout: Duration::from_secs(3),
            ignores_control: false,
            logging: None,
        };
        for (name, value) in &options {
            match name.as_str() {
                "timeout" => {
                    let seconds = value.parse().ok().filter(|seconds| *seconds > 0.0);
                    remote.timeout =
                        seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(
                            || format!("`timeout` is a number of seconds above 0: found `{value}`"),
                        )?;
                }
                "ign_set_control" => remote.ignores_control = true,
                // Nothing here asks for the lines that the device sets.
                "poll_modem" => {}
                "logging" => remote.logging = Some(level(value)?),
                other => {
                    return Err(unknown(other, &["timeout", "ign_set_control", "poll_modem", "logging"]));
                }
            }
        }
        Ok(remote)
    }
}

impl Search {
    /// Reads `REGEX[&n=NUMBER][&skip_busy]`.
    fn parse(rest: &str) -> Result<Self, String> {
        let mut words = rest.split('&');
        let pattern = words.next().unwrap_or_default();
        let regex = regex::RegexBuilder::new(pattern).case_insensitive(true).build();
        let pattern = regex.map_err(|error| {
            // The text before the last line draws the pattern, which the message has a place for already.
            let text = error.to_string();
            let why = text.lines().last().unwrap_or(&text);
            format!("not a regular expression: {}", why.trim_start_matches("error: "))
        })?;
        let mut search = Self { pattern, index: 0, skip_busy: false };
        for word in words {
            let (name, value) =
                word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            match name {
                "n" => {
                    let number: Option<usize> = value.and_then(|value| value.parse().ok());
                    search.index = number.and_then(|number| number.checked_sub(1)).ok_or_else(|| {
                        format!("`n` is the number of a port, from 1: found `{}`", value.unwrap_or_default())
                    })?;
                }
                "skip_busy" => search.skip_busy = true,
                other => return Err(unknown(other, &["n", "skip_busy"])),
            }
        }
        Ok(search)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(host: &str, port: u16) -> Place {
        Place { host: host.to_owned(), port }
    }

    fn told(text: &str) -> String {
        Address::parse(text).map(|address| format!("{address:?}")).unwrap_err()
    }

    #[test]
    fn every_form_is_understood() {
        let parse = |text| Address::parse(text).unwrap();
        assert!(matches!(parse("/dev/ttyUSB0"), Address::Device(path) if path.as_os_str() == "/dev/ttyUSB0"));
        assert!(parse("loop://").is_loop() && parse("loop://?logging=debug").is_loop());
        assert!(matches!(parse("socket://[::1]:7000"), Address::Socket(at) if at == place("::1", 7000)));
        let Address::Rfc2217(remote) =
            parse("rfc2217://box:4000?timeout=0.5&ign_set_control&poll_modem&logging=info")
        else {
            panic!("a remote port")
        };
        let wanted = Remote {
            place: place("box", 4000),
            timeout: Duration::from_millis(500),
            ignores_control: true,
            logging: Some(Level::Info),
        };
        assert_eq!(remote, wanted);
        let Address::Spy(options, inner) = parse("spy:///dev/ttyS1?file=/tmp/a%20b&color&raw&all") else {
            panic!("a spy")
        };
        let wanted = SpyOptions { file: Some("/tmp/a b".into()), color: true, raw: true, all: true };
        assert_eq!(options, wanted);
        assert_eq!(inner.to_string(), "/dev/ttyS1");
        let alternative = parse("alt:///dev/ttyS0?class=PosixPollSerial");
        assert!(matches!(alternative, Address::Alternative(path) if path.as_os_str() == "/dev/ttyS0"));
    }

    #[test]
    fn a_spys_other_options_belong_to_the_address_within() {
        let Ok(Address::Spy(options, inner)) = Address::parse("spy://rfc2217://box:1?timeout=7&color") else {
            panic!("a spy")
        };
        assert!(options.color);
        let Address::Rfc2217(remote) = *inner else { panic!("a remote port") };
        assert_eq!(remote.timeout, Duration::from_secs(7));
    }

    #[test]
    fn a_search_has_a_pattern_a_number_and_a_mind() {
        let Ok(Address::Search(search)) = Address::parse("hwgrep://0403:6001&n=2&skip_busy") else {
            panic!("a search")
        };
        assert_eq!((search.pattern.as_str(), search.index, search.skip_busy), ("0403:6001", 1, true));
        assert!(search.pattern.is_match("usb vid:pid=0403:6001"));
        let Ok(Address::Search(search)) = Address::parse("hwgrep://FTDI|CP210") else { panic!("a search") };
        assert!(search.pattern.is_match("cp2102 bridge"), "case does not matter");
    }

    #[test]
    fn mistakes_say_what_is_expected() {
        assert_eq!(told("socket://box"), "expected HOST:PORT, found `box`");
        assert_eq!(told("socket://a:b:1"), "expected HOST:PORT, found `a:b:1`");
        assert_eq!(told("rfc2217://box:70000"), "expected HOST:PORT, found `box:70000`");
        assert_eq!(
            told("rfc2217://box:1?tiemout=1"),
            "unknown option `tiemout`: known are timeout, ign_set_control, poll_modem, logging"
        );
        assert_eq!(
            told("rfc2217://box:1?timeout=soon"),
            "`timeout` is a number of seconds above 0: found `soon`"
        );
        assert_eq!(
            told("socket://box:1?logging=loud"),
            "`logging` is one of debug, info, warning, error: found `loud`"
        );
        assert_eq!(
            told("spy:///dev/ttyS0?colour"),
            "unknown option `colour`: known are file, color, raw, all"
        );
        assert_eq!(told("hwgrep://x&n=0"), "`n` is the number of a port, from 1: found `0`");
        assert!(told("hwgrep://(").starts_with("not a regular expression: "));
        assert_eq!(
            told("alt:///dev/ttyS0?class=Win32Serial"),
            "`class` is none of Serial, PosixSerial, PosixPollSerial, VTIMESerial: found `Win32Serial`"
        );
        assert!(
            told("tcp://box:1").starts_with("there are no ports with `tcp://`: expected a device file, ")
        );
        assert!(told("").ends_with("found nothing"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}", scheme in "(loop|socket|rfc2217|spy|hwgrep|alt)") {
            let _ = Address::parse(&text);
            let _ = Address::parse(&format!("{scheme}://{text}"));
        }

        #[test]
        fn places_are_read_as_they_are_written(host in "[a-z0-9.-]{1,20}|::1|fe80::[0-9a-f]{1,4}", port in 1u16..) {
            let place = place(&host, port);
            prop_assert_eq!(Place::parse(&place.to_string()), Ok(place));
        }
    }
}
