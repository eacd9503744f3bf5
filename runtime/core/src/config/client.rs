//! The client's file: which controller, as whom, and which drivers may be used.
//!
//! [`read`] takes the text and a look-up function for the environment; [`from_environment`] makes the same out of the
//! environment alone. Neither opens a file.

use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::exporter::{GrpcOption, Metadata, Tls};
use super::problem::{Problem, Problems};
use super::source::{Secret, Source, Span, Spanned};
use super::top;
use crate::wire::Delay;

/// The only value of `kind`.
pub const KIND: &str = "ClientConfig";

/// The keys at the top of the file, in the order in which files are written.
pub const FILE_KEYS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "endpoint",
    "tls",
    "token",
    "refresh_token",
    "grpcOptions",
    "drivers",
    "shell",
    "leases",
];

const FILE: top::Kind = top::Kind {
    name: KIND,
    file: "a client file",
    whose: "a client's",
    begin: "give `metadata`, `endpoint` and `token`",
    keys: FILE_KEYS,
    drivers: None,
};

/// A client file.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The text, for further problems.
    pub source: Arc<Source>,
    /// Who the client is.
    pub metadata: Metadata,
    /// Address of the controller.
    pub endpoint: Option<Spanned<String>>,
    /// How connections to controller and router are protected.
    pub tls: Tls,
    /// How the client proves who it is.
    pub token: Option<Spanned<Secret>>,
    /// Gets a new token when the old one has expired; only after a login.
    pub refresh_token: Option<Spanned<Secret>>,
    /// Options of the gRPC channels, by their gRPC names.
    pub grpc_options: IndexMap<String, GrpcOption>,
    /// Which drivers may be used.
    pub drivers: DriverPolicy,
    /// What `jmp shell` starts.
    pub shell: ShellOptions,
    /// How leases are waited for.
    pub leases: LeaseOptions,
    /// Where the keys at the top stand, for problems that are found later.
    pub spans: IndexMap<String, Span>,
}

/// Which drivers may be used, by the class path that an exporter reports for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DriverPolicy {
    /// Patterns for class paths, in which `*`, `?` and `[…]` mean what they mean in a shell. A text with commas is a list
    /// as well. `UNSAFE` allows everything.
    #[serde(deserialize_with = "patterns")]
    #[schemars(schema_with = "patterns_schema")]
    pub allow: Vec<String>,
    /// Allow everything, whatever the list says.
    #[serde(rename = "unsafe")]
    pub everything: bool,
}

impl DriverPolicy {
    /// Whether every driver is allowed.
    pub fn allows_everything(&self) -> bool {
        self.everything || self.allow.iter().any(|pattern| pattern == "UNSAFE")
    }
}

/// What `jmp shell` starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShellOptions {
    /// Let the shell read the user's own start files.
    pub use_profiles: bool,
}

/// How leases are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseOptions {
    /// How long to wait for a lease, in whole seconds.
    #[serde(deserialize_with = "acquisition")]
    #[schemars(schema_with = "acquisition_schema")]
    pub acquisition_timeout: u64,
    /// How long to wait for the exporter of a lease, in seconds.
    #[serde(deserialize_with = "dial")]
    #[schemars(schema_with = "dial_schema")]
    pub dial_timeout: f64,
    /// How long to ask for another lease while exporters cannot be reached, in seconds.
    #[serde(deserialize_with = "retry")]
    #[schemars(schema_with = "retry_schema")]
    pub retry_timeout: f64,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self { acquisition_timeout: 7200, dial_timeout: 60.0, retry_timeout: 300.0 }
    }
}

/// Whole seconds and seconds with fractions, not less than this.
struct AtLeast(u32);

impl Visitor<'_> for AtLeast {
    type Value = f64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a number of seconds, {} or more", self.0)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
        if value.is_finite() && value >= f64::from(self.0) {
            Ok(value)
        } else {
            Err(E::invalid_value(de::Unexpected::Float(value), &self))
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody waits for 2^53 seconds")]
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
        self.visit_f64(value as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody waits for 2^53 seconds")]
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
        self.visit_f64(value as f64)
    }
}

/// Shortest time for getting a lease and for reaching its exporter: less would never succeed.
const SHORTEST: u32 = 5;

fn acquisition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Whole;

    impl Visitor<'_> for Whole {
        type Value = u64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a whole number of seconds, {SHORTEST} or more")
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
            if value >= u64::from(SHORTEST) {
                Ok(value)
            } else {
                Err(E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }
        }
    }

    deserializer.deserialize_u64(Whole)
}

fn dial<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_f64(AtLeast(SHORTEST))
}

fn retry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_f64(AtLeast(0))
}

fn acquisition_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "integer", "minimum": SHORTEST, "x-unit": "s" })
}

fn dial_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "number", "minimum": SHORTEST, "x-unit": "s" })
}

fn retry_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "number", "minimum": 0, "x-unit": "s" })
}

/// A list, or text with commas. Empty entries are none.
fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Patterns;

    impl<'de> Visitor<'de> for Patterns {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of patterns, or text with commas between them")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(split(text))
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
            let mut patterns = Vec::new();
            while let Some(pattern) = items.next_element::<String>()? {
                let pattern = pattern.trim();
                if !pattern.is_empty() {
                    patterns.push(pattern.to_owned());
                }
            }
            Ok(patterns)
        }
    }

    deserializer.deserialize_any(Patterns)
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect()
}

fn patterns_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": ["array", "string"],
        "items": { "type": "string" },
        "examples": [["jumpstarter_driver_*"]],
    })
}

/// What the environment may do to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Fill what the file does not say: somebody has named this file.
    Fills,
    /// Replace what the file says: the file is the default one.
    Overrides,
}

/// What came out of [`read`].
#[derive(Debug)]
pub struct Reading {
    /// The file, unless it is no mapping at all. With errors among the problems it is good for finding more of them, and
    /// for nothing else.
    pub file: Option<ClientConfig>,
    /// The text, for further problems.
    pub source: Arc<Source>,
    /// Everything found.
    pub problems: Problems,
}

impl Reading {
    /// The file when it can be used, else everything that is wrong with it.
    pub fn into_result(self) -> Result<ClientConfig, Problems> {
        match self.file {
            Some(file) => self.problems.into_result(file),
            None => Err(self.problems),
        }
    }
}

/// Reads a client file.
///
/// `variable` looks up a variable of the environment; an empty one counts as none. `mode` says what becomes of a key that
/// both the file and the environment have; `JMP_DIAL_TIMEOUT` and `JMP_RETRY_TIMEOUT` win in any case.
pub fn read(name: &str, text: &str, variable: impl Fn(&str) -> Option<String>, mode: Environment) -> Reading {
    let top::Opened { mut file, source, mut problems } =
        top::open(&FILE, name, text, |top, source| ClientConfig {
            source: Arc::clone(source),
            metadata: top.part("metadata").unwrap_or_default(),
            endpoint: top.text("endpoint"),
            tls: top.part("tls").unwrap_or_default(),
            token: top.secret("token"),
            refresh_token: top.secret("refresh_token"),
            grpc_options: top.part::<Option<_>>("grpcOptions").flatten().unwrap_or_default(),
            drivers: top.part("drivers").unwrap_or_default(),
            shell: top.part("shell").unwrap_or_default(),
            leases: top.part("leases").unwrap_or_default(),
            spans: top.spans(),
        });
    if let Some(file) = &mut file {
        file.overlay(&|name| variable(name).filter(|value| !value.is_empty()), mode, &mut problems);
    }
    Reading { file, source, problems }
}

/// The configuration that the environment makes up without any file: when `JMP_NAMESPACE` and `JMP_NAME` are both set.
pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Reading> {
    let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    if !(set("JMP_NAMESPACE") && set("JMP_NAME")) {
        return None;
    }
    Some(read("the environment", "{}", variable, Environment::Fills))
}

impl ClientConfig {
    fn overlay(
        &mut self,
        variable: &dyn Fn(&str) -> Option<String>,
        mode: Environment,
        problems: &mut Problems,
    ) {
        let written = self.spans.clone();
        let absent = |key: &str| !written.contains_key(key);
        // What is listed as replacing a file's words in the default file does so there only.
        let overrides = mode == Environment::Overrides;
        if let Some(metadata) = top::from_variable::<Metadata>(variable, "JMP_METADATA", problems)
            && absent("metadata")
        {
            self.metadata = metadata;
        }
        self.metadata.name = self.metadata.name.take().or_else(|| variable("JMP_NAME"));
        self.metadata.namespace = self.metadata.namespace.take().or_else(|| variable("JMP_NAMESPACE"));
        let text = |name| variable(name).map(|value| value.trim().to_owned());
        let secret = |value| Spanned { value: Secret::new(value), span: Span::START };
        if let Some(value) = text("JMP_ENDPOINT").filter(|_| overrides || self.endpoint.is_none()) {
            self.endpoint = Some(Spanned { value, span: Span::START });
        }
        if let Some(value) = text("JMP_TOKEN").filter(|_| overrides || self.token.is_none()) {
            self.token = Some(secret(value));
        }
        if let Some(value) = text("JMP_REFRESH_TOKEN").filter(|_| self.refresh_token.is_none()) {
            self.refresh_token = Some(secret(value));
        }
        if let Some(tls) = top::from_variable(variable, "JMP_TLS", problems)
            && (overrides || absent("tls"))
        {
            self.tls = tls;
        }
        if let Some(options) = top::from_variable(variable, "JMP_GRPCOPTIONS", problems)
            && absent("grpcOptions")
        {
            self.grpc_options = options;
        }
        if let Some(shell) = top::from_variable(variable, "JMP_SHELL", problems)
            && absent("shell")
        {
            self.shell = shell;
        }
        if let Some(leases) = top::from_variable(variable, "JMP_LEASES", problems)
            && absent("leases")
        {
            self.leases = leases;
        }
        self.policy(variable, &absent, mode, problems);
        self.timeouts(variable, problems);
    }

    fn policy(
        &mut self,
        variable: &dyn Fn(&str) -> Option<String>,
        absent: &dyn Fn(&str) -> bool,
        mode: Environment,
        problems: &mut Problems,
    ) {
        if let Some(drivers) = top::from_variable(variable, "JMP_DRIVERS", problems)
            && absent("drivers")
        {
            self.drivers = drivers;
        }
        if mode == Environment::Fills && !absent("drivers") {
            return;
        }
        if let Some(list) = variable("JMP_DRIVERS_ALLOW") {
            self.drivers.allow = split(&list);
        }
        if let Some(text) = variable("JMP_DRIVERS_UNSAFE") {
            match text.trim().to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => self.drivers.everything = true,
                "0" | "false" | "no" | "off" => self.drivers.everything = false,
                _ => problems.push(
                    Problem::error("environment variable JMP_DRIVERS_UNSAFE must be true or false")
                        .help("set it to 1 or 0"),
                ),
            }
        }
    }

    fn timeouts(&mut self, variable: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) {
        let mut seconds = |name: &str, least: u32| {
            let text = variable(name)?;
            let value = text.trim().parse::<Delay>().ok().map(|length| length.get().as_secs_f64());
            let usable = value.filter(|value| *value >= f64::from(least));
            if usable.is_none() {
                problems.push(
                    Problem::error(format!(
                        "environment variable {name} must be a number of seconds, {least} or more"
                    ))
                    .help("unset it, or set it to a number, or to a length of time such as `5m`"),
                );
            }
            usable
        };
        if let Some(value) = seconds("JMP_DIAL_TIMEOUT", SHORTEST) {
            self.leases.dial_timeout = value;
        }
        if let Some(value) = seconds("JMP_RETRY_TIMEOUT", 0) {
            self.leases.retry_timeout = value;
        }
    }

    /// What is missing for speaking with a controller.
    pub fn for_controller(&self) -> Problems {
        let mut problems = Problems::new();
        let mut lacks = |present: bool, what: &str, key: &str, variable: &str| {
            if !present {
                problems.push(
                    Problem::error(format!("`{what}` is needed to speak with a controller"))
                        .at(self.spans.get(key).copied().unwrap_or(Span::START))
                        .help(format!("add it, or set the environment variable {variable}")),
                );
            }
        };
        lacks(self.metadata.name.is_some(), "metadata.name", "metadata", "JMP_NAME");
        lacks(self.metadata.namespace.is_some(), "metadata.namespace", "metadata", "JMP_NAMESPACE");
        lacks(self.endpoint.is_some(), "endpoint", "endpoint", "JMP_ENDPOINT");
        lacks(self.token.is_some(), "token", "token", "JMP_TOKEN");
        problems.attach(&self.source);
        problems
    }
}
