//! Log lines on standard error: for people while they work, as JSON for a service.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal as _},
    sync::{Mutex, OnceLock},
};

use clap::Arg;
use tracing::{Event, Level, Subscriber, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::{
    about::{self, About},
    style, words,
};

/// The levels, as the option names them.
pub(crate) const LEVELS: &[&str] = &["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

/// `--log-level`.
pub(crate) fn level_option() -> Arg {
    words::choice("log-level", LEVELS, "Set the log level")
}

/// The options of `jmp`.
pub(crate) fn options() -> [Arg; 2] {
    [
        level_option(),
        words::choice(
            "log-format",
            &["auto", "json", "text"],
            "How `jmp run` and `jmp serve` log; auto is JSON unless standard error is a terminal",
        ),
    ]
}

/// Which log lines are wanted, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    level: LevelFilter,
    json: Option<bool>,
}

impl Wanted {
    /// What the options ask for.
    pub(crate) fn from_options(level: Option<&str>, format: Option<&str>) -> Self {
        let level = match level.map(str::to_ascii_uppercase).as_deref() {
            Some("DEBUG") => LevelFilter::DEBUG,
            Some("WARNING") => LevelFilter::WARN,
            Some("ERROR" | "CRITICAL") => LevelFilter::ERROR,
            _ => LevelFilter::INFO,
        };
        let json = match format.map(str::to_ascii_lowercase).as_deref() {
            Some("json") => Some(true),
            Some("text") => Some(false),
            _ => None,
        };
        Self { level, json }
    }

    /// For somebody who sits in front of it. The format is that of services only.
    pub(crate) fn start(self) {
        self.install(None);
    }

    /// For a service, which is called this in its lines of JSON.
    pub(crate) fn start_service(self, component: &'static str) {
        let json = self.json.unwrap_or_else(|| !io::stderr().is_terminal());
        self.install(json.then_some(component));
    }

    fn install(self, json: Option<&'static str>) {
        let lines = Lines { json, colour: style::on_stderr(), last: Mutex::default() };
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(self.level)
            .with_writer(|| Stderr)
            .event_format(lines)
            .finish();
        // Somebody who calls this program as a library may have installed another one.
        if tracing::subscriber::set_global_default(subscriber).is_ok()
            && let Some(component) = json
        {
            let _ = RECORDS.set(Records { component, level: self.level });
        }
    }
}

static RECORDS: OnceLock<Records> = OnceLock::new();

/// Where records of JSON go, if this process writes any.
pub(crate) fn records() -> Option<&'static Records> {
    RECORDS.get()
}

/// Records of JSON on standard error.
#[derive(Debug)]
pub(crate) struct Records {
    component: &'static str,
    level: LevelFilter,
}

impl Records {
    /// Writes one record, if it is important enough.
    pub(crate) fn write(&self, record: Record) {
        if self.level >= record.level {
            let line = about::look(|about| record.json(self.component, about));
            // It answers what it could write, and that is all.
            let _ = io::Write::write_all(&mut Stderr, line.as_bytes());
        }
    }
}

/// The keys that every reader of records knows. Who says something may not use them for something else.
const KEYS: &[&str] = &[
    "ts",
    "level",
    "msg",
    "component",
    "logger",
    "source",
    "exporter",
    "namespace",
    "lease_id",
    "client",
    "driver",
    "driver_type",
    "uuid",
    "operation",
];

/// One record of JSON.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) at: jiff::Timestamp,
    pub(crate) level: Level,
    /// Which part of which program speaks.
    pub(crate) logger: String,
    /// Who speaks, for lines that come from somewhere else.
    pub(crate) source: String,
    pub(crate) message: String,
    /// What this program knows of it.
    pub(crate) facts: Vec<(String, String)>,
    /// What somebody else calls as he likes.
    pub(crate) further: Vec<(String, String)>,
}

impl Record {
    fn json(self, component: &str, about: &About) -> String {
        let mut object = serde_json::Map::new();
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                object.insert(key.to_owned(), value.into());
            }
        };
        put("ts", &format!("{:.6}", self.at));
        let level = match self.level {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            _ => "debug",
        };
        put("level", level);
        put("component", component);
        put("logger", &self.logger);
        put("source", &self.source);
        put("exporter", &about.exporter);
        put("namespace", &about.namespace);
        put("lease_id", &about.lease);
        put("client", &about.client);
        object.insert("msg".to_owned(), self.message.into());
        for (name, value) in self.facts.into_iter().filter(|(_, value)| !value.is_empty()) {
            if name == "uuid"
                && let Some(place) = about.drivers.get(&value)
            {
                object.insert("driver".to_owned(), place.as_str().into());
            }
            // What all other records call it.
            let name = if name == "lease" { "lease_id".to_owned() } else { name };
            object.insert(name, value.into());
        }
        for (name, value) in self.further {
            let taken = KEYS.contains(&name.as_str()) || object.contains_key(&name);
            let name = if taken { format!("fields.{name}") } else { name };
            object.insert(name, value.into());
        }
        format!("{}\n", serde_json::Value::Object(object))
    }
}

/// Standard error as far as it goes: a terminal that was closed takes no lines, and that must not end the work that is
/// still to be done then, such as giving a lease back.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(io::stderr().lock().write(bytes).unwrap_or(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line per event. A field `source` says who speaks, for lines that come from somewhere else.
struct Lines {
    /// Who speaks, if in JSON.
    json: Option<&'static str>,
    colour: bool,
    /// Time and source of the line before: what is the same is not repeated.
    last: Mutex<(String, String)>,
}

#[derive(Default)]
struct Fields {
    message: String,
    source: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            "source" => self.source = text,
            name => self.others.push((name, text)),
        }
    }
}

impl tracing::field::Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        if let Some(component) = self.json {
            let record = fields.record(level, event.metadata().target(), jiff::Timestamp::now());
            return writer.write_str(&about::look(|about| record.json(component, about)));
        }
        let now = jiff::Zoned::now().strftime("%m/%d/%y %H:%M:%S").to_string();
        writer.write_str(&self.text(level, fields, now))
    }
}

impl Fields {
    fn record(self, level: Level, target: &str, at: jiff::Timestamp) -> Record {
        Record {
            at,
            level,
            logger: target.replace("::", "."),
            source: self.source,
            message: self.message,
            facts: self.others.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            further: Vec::new(),
        }
    }
}

impl Lines {
    fn text(&self, level: Level, fields: Fields, now: String) -> String {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let stamp = if last.0 == now { " ".repeat(now.len() + 2) } else { format!("[{now}]") };
        let name = match level {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            _ => "DEBUG",
        };
        let name = match (self.colour, level) {
            (true, Level::ERROR) => format!("{}   ", style::red(name)),
            (true, Level::WARN) => format!("{} ", style::yellow(name)),
            _ => format!("{name:<8}"),
        };
        let mut line = format!("{stamp} {name} ");
        if !fields.source.is_empty() && fields.source != last.1 {
            let _ = write!(line, "[{}] ", style::printable(&fields.source));
        }
        line.push_str(style::printable(&fields.message).trim_end());
        for (field, value) in &fields.others {
            let _ = write!(line, " {field}={}", style::printable(value));
        }
        *last = (now, fields.source);
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(source: &str, message: &str) -> Fields {
        Fields { message: message.into(), source: source.into(), others: Vec::new() }
    }

    #[test]
    fn time_and_source_are_said_once() {
        let lines = Lines { json: None, colour: false, last: Mutex::default() };
        let at = || "11/20/26 20:56:50".to_owned();
        assert_eq!(
            lines.text(Level::INFO, fields("exporter:driver", "one"), at()),
            "[11/20/26 20:56:50] INFO     [exporter:driver] one\n"
        );
        assert_eq!(
            lines.text(Level::WARN, fields("exporter:driver", "two"), at()),
            "                    WARNING  two\n"
        );
        assert_eq!(
            lines.text(Level::INFO, fields("", "three"), at()),
            "                    INFO     three\n"
        );
    }

    #[test]
    fn services_log_one_json_object_per_line() {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let text = fields("", "a\nb")
            .record(Level::WARN, "jumpstarter_exporter::hook", at)
            .json("exporter", &About::default());
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((object["level"].as_str(), object["msg"].as_str()), (Some("warning"), Some("a\nb")));
        assert_eq!(object["ts"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(object["logger"], "jumpstarter_exporter.hook");
    }
    #[test]
    fn a_record_says_what_it_is_about_and_nobody_else_takes_its_keys() {
        let about = About {
            exporter: "rig".into(),
            namespace: "lab".into(),
            lease: "one".into(),
            client: "me".into(),
            drivers: [("1234".to_owned(), "board.power".to_owned())].into(),
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let record = Record {
            at: jiff::Timestamp::UNIX_EPOCH,
            level: Level::INFO,
            logger: "driver.mock-power".into(),
            source: "exporter:driver".into(),
            message: String::new(),
            facts: vec![pair("uuid", "1234"), pair("operation", "on")],
            further: vec![pair("client", "a fake"), pair("progress.done", "7"), pair("operation", "")],
        };
        let object: serde_json::Value = serde_json::from_str(&record.json("exporter", &about)).unwrap();
        let expected = serde_json::json!({
            "ts": "1970-01-01T00:00:00.000000Z",
            "level": "info",
            "msg": "",
            "component": "exporter",
            "logger": "driver.mock-power",
            "source": "exporter:driver",
            "exporter": "rig",
            "namespace": "lab",
            "lease_id": "one",
            "client": "me",
            "driver": "board.power",
            "uuid": "1234",
            "operation": "on",
            "fields.client": "a fake",
            "progress.done": "7",
            "fields.operation": "",
        });
        assert_eq!(object, expected);

        // What one of our own parts says of another lease counts for its record.
        let mut other = fields("", "releasing the lease");
        other.others.push(("lease", "two".into()));
        let text =
            other.record(Level::INFO, "x", jiff::Timestamp::UNIX_EPOCH).json("exporter", &About::default());
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((object["lease_id"].as_str(), object.get("lease")), (Some("two"), None));
    }
}
