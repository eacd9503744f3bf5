//! What every driver node can say, whatever its driver.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// Keys inside `config` that every driver has; they never reach the driver's own configuration.
pub const COMMON_KEYS: &[&str] = &["labels", "uuid", "log_level"];

/// Keys of `config` that every driver understands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CommonConfig {
    /// Labels in the exporter's report, beside those that the framework sets.
    #[schemars(extend("examples" = [{ "example.com/rack": "7" }]))]
    pub labels: IndexMap<String, String>,
    /// A fixed identity instead of a new one per session.
    #[serde(deserialize_with = "identity")]
    #[schemars(extend("pattern" = UUID, "examples" = ["6f0ac5b5-0f4e-4b5f-8a27-60e4b3d1a001"]))]
    pub uuid: Option<Uuid>,
    /// The least important log records of this driver that are sent to clients.
    pub log_level: LogLevel,
}

/// The spellings of a UUID: with and without dashes, in braces, as a URN (RFC 9562, section 4).
const UUID: &str = concat!(
    "^(?:[0-9A-Fa-f]{32}|(?:urn:uuid:)?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    r"|\{[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\})$",
);

/// A UUID in any of its spellings.
fn identity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let expected = "a UUID such as 123e4567-e89b-12d3-a456-426614174000";
    Uuid::parse_str(&text).map(Some).map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &expected))
}

/// How important a log record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(transform = crate::generated::with_aliases)]
pub enum LogLevel {
    /// Everything.
    #[schemars(extend("x-aliases" = ["NOTSET"]))]
    Debug,
    /// What happens.
    #[default]
    Info,
    /// What may go wrong.
    #[schemars(extend("x-aliases" = ["WARN"]))]
    Warning,
    /// What went wrong.
    Error,
    /// What ends the program.
    #[schemars(extend("x-aliases" = ["FATAL"]))]
    Critical,
}

impl<'de> Deserialize<'de> for LogLevel {
    /// Takes the names of upstream's levels as well (those of Python's `logging`); messages name only ours.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: &[&str] = &["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
        let name = String::deserialize(deserializer)?;
        match name.as_str() {
            "DEBUG" | "NOTSET" => Ok(Self::Debug),
            "INFO" => Ok(Self::Info),
            "WARNING" | "WARN" => Ok(Self::Warning),
            "ERROR" => Ok(Self::Error),
            "CRITICAL" | "FATAL" => Ok(Self::Critical),
            _ => Err(D::Error::unknown_variant(&name, NAMES)),
        }
    }
}

/// Where a driver runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// In the exporter's process.
    #[default]
    None,
    /// In a process of its own.
    Process,
}

impl<'de> Deserialize<'de> for Isolation {
    /// Takes both; messages name only what this version can do.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        match name.as_str() {
            "none" => Ok(Self::None),
            "process" => Ok(Self::Process),
            _ => Err(D::Error::invalid_value(
                Unexpected::Str(&name),
                &"`none`, for which it can also be left out",
            )),
        }
    }
}
