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
    pub uuid: Option<Uuid>,
    /// The least important log records of this driver that are sent to clients.
    pub log_level: LogLevel,
}

/// A UUID in any of its spellings.
fn identity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let expected = "a UUID such as 123e4567-e89b-12d3-a456-426614174000";
    Uuid::parse_str(&text).map(Some).map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &expected))
}

/// How important a log record is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(transform = crate::generated::with_aliases)]
pub enum LogLevel {
    /// Everything.
    #[serde(alias = "NOTSET")]
    #[schemars(extend("x-aliases" = ["NOTSET"]))]
    Debug,
    /// What happens.
    #[default]
    Info,
    /// What may go wrong.
    #[serde(alias = "WARN")]
    #[schemars(extend("x-aliases" = ["WARN"]))]
    Warning,
    /// What went wrong.
    Error,
    /// What ends the program.
    #[serde(alias = "FATAL")]
    #[schemars(extend("x-aliases" = ["FATAL"]))]
    Critical,
}

/// Where a driver runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// In the exporter's process.
    #[default]
    None,
    /// In a process of its own.
    Process,
}
