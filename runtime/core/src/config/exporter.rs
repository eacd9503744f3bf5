//! The exporter file.
//!
//! [`read`] takes the text and a look-up function for the environment, and hands back what could be
//! read together with every problem, so that a caller who knows the drivers can go on checking and
//! show one list. [`Reading::into_result`] is for callers who do not.

use std::borrow::Cow;
use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::document::Entry;
use super::problem::{Problem, Problems};
use super::source::{Secret, Source, Span, Spanned};
use super::suggest::nearest;
use super::top;
use super::tree::{DriverNode, read_nodes};
use crate::generated::with_aliases;

/// The only value of `apiVersion`.
pub const API_VERSION: &str = "jumpstarter.dev/v1alpha1";

/// The only value of `kind`.
pub const KIND: &str = "ExporterConfig";

/// The keys at the top of the file, in the order in which files are written.
pub const FILE_KEYS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "endpoint",
    "token",
    "tls",
    "grpcOptions",
    "description",
    "motd",
    "export",
    "hooks",
    "failureDetection",
    "exitOnLeaseEnd",
];

/// An exporter file, checked as far as that is possible without knowing the drivers.
#[derive(Clone, Debug)]
pub struct ExporterFile {
    /// The text, for further problems.
    pub source: Arc<Source>,
    /// Who the exporter is. Needed with a controller only ([`ExporterFile::for_controller`]).
    pub metadata: Metadata,
    /// Address of the controller.
    pub endpoint: Option<Spanned<String>>,
    /// How the exporter proves who it is.
    pub token: Option<Spanned<Secret>>,
    /// How connections to controller and router are protected.
    pub tls: Tls,
    /// Options of the gRPC channels, by their gRPC names.
    pub grpc_options: IndexMap<String, GrpcOption>,
    /// Help text of the whole exporter.
    pub description: Option<String>,
    /// What people read when they open a shell.
    pub motd: Option<String>,
    /// The drivers, in the order of the file.
    pub export: IndexMap<String, DriverNode>,
    /// Scripts around each lease.
    pub hooks: Hooks,
    /// When a restart loop is given up.
    pub failure_detection: FailureDetection,
    /// Whether the exporter ends after its first lease.
    pub exit_on_lease_end: bool,
    /// Whether there may be more drivers than could be read. The reason is among the problems.
    pub incomplete: bool,
    /// Where the keys at the top stand, for problems that are found later.
    pub spans: IndexMap<String, Span>,
}

/// Who an exporter or a client is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metadata {
    /// Its name in the namespace; `JMP_NAME` when absent.
    #[schemars(extend("examples" = ["rig3"]))]
    pub name: Option<String>,
    /// The namespace; `JMP_NAMESPACE` when absent.
    #[schemars(extend("examples" = ["lab"]))]
    pub namespace: Option<String>,
}

/// How connections are protected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The authority to trust instead of the system's: base64 of PEM. Empty for the system's.
    #[serde(deserialize_with = "base64_text")]
    #[schemars(extend("pattern" = r"^[A-Za-z0-9+/=\s]*$"))]
    pub ca: String,
    /// Trust whatever certificate the server shows.
    pub insecure: bool,
}

/// The value of a gRPC option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcOption {
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
}

/// Scripts around each lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[schemars(transform = with_aliases)]
pub struct Hooks {
    /// Runs before a client may use the drivers.
    #[serde(alias = "before_lease")]
    #[schemars(extend("x-aliases" = ["before_lease"]))]
    pub before_lease: Option<Hook>,
    /// Runs when the client is gone.
    #[serde(alias = "after_lease")]
    #[schemars(extend("x-aliases" = ["after_lease"]))]
    pub after_lease: Option<Hook>,
}

/// One script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping with a `script`")]
#[schemars(transform = with_aliases)]
pub struct Hook {
    /// The script itself, or the path of a file with it. Blank: nothing runs.
    #[schemars(extend("examples" = ["j power on"]))]
    pub script: String,
    /// The program that interprets it. Default: `/bin/sh`, Python for a file that ends in `.py`.
    #[serde(default, deserialize_with = "program")]
    #[schemars(length(min = 1), extend("examples" = ["/bin/bash"]))]
    pub exec: Option<String>,
    /// How long it may take, in whole seconds.
    #[serde(default = "two_minutes", deserialize_with = "seconds")]
    #[schemars(schema_with = "seconds_schema")]
    pub timeout: u32,
    /// What follows from a failure.
    #[serde(default, alias = "on_failure")]
    #[schemars(extend("x-aliases" = ["on_failure"]))]
    pub on_failure: OnFailure,
}

/// What follows from the failure of a hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// A warning; the lease goes on.
    #[default]
    Warn,
    /// The lease ends.
    EndLease,
    /// The exporter ends.
    Exit,
}

/// When a restart loop is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct FailureDetection {
    /// So many ends in a row, each soon after its start, and the exporter gives up.
    pub max_rapid_failures: u32,
    /// An end within so many seconds counts.
    #[schemars(extend("x-unit" = "s"))]
    pub rapid_failure_window: u32,
}

impl Default for FailureDetection {
    fn default() -> Self {
        Self { max_rapid_failures: 5, rapid_failure_window: 60 }
    }
}

/// Text in the alphabet of base64 (RFC 4648, section 4), on as many lines as it likes.
fn base64_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=') || c.is_whitespace();
    if text.chars().all(is_base64) {
        return Ok(text);
    }
    let expected = "the base64 of a certificate in PEM, as `base64 -w0 ca.pem` prints it";
    Err(serde::de::Error::invalid_value(serde::de::Unexpected::Str("text"), &expected))
}

/// The name or path of a program; nothing is none.
fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    if name.as_deref() == Some("") {
        let expected = "the name or path of a program, or no `exec` at all for `/bin/sh`";
        return Err(serde::de::Error::invalid_value(serde::de::Unexpected::Str(""), &expected));
    }
    Ok(name)
}

fn two_minutes() -> u32 {
    120
}

fn seconds_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": 31_536_000,
        "pattern": "^\\s*[1-9][0-9]{0,7}\\s*$",
        "x-unit": "s",
    })
}

/// Whole seconds, at least one and at most a year; a number in quotes is one too, as upstream has it.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct Seconds;

    impl serde::de::Visitor<'_> for Seconds {
        type Value = u32;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number of seconds, from 1 to 31536000")
        }

        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<u32, E> {
            u32::try_from(value)
                .ok()
                .filter(|seconds| (1..=31_536_000).contains(seconds))
                .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
        }

        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<u32, E> {
            match value.trim().parse() {
                Ok(seconds) if !value.trim().starts_with('0') => self.visit_u64(seconds),
                _ => Err(E::invalid_value(serde::de::Unexpected::Str(value), &self)),
            }
        }
    }

    deserializer.deserialize_u64(Seconds)
}

impl<'de> Deserialize<'de> for GrpcOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl serde::de::Visitor<'_> for Either {
            type Value = GrpcOption;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text or a whole number")
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<GrpcOption, E> {
                Ok(GrpcOption::Int(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<GrpcOption, E> {
                i64::try_from(value)
                    .map(GrpcOption::Int)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<GrpcOption, E> {
                Ok(GrpcOption::Text(value.to_owned()))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for GrpcOption {
    fn schema_name() -> Cow<'static, str> {
        "GrpcOption".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "integer"],
            "minimum": i64::MIN,
            "maximum": i64::MAX,
        })
    }
}

/// What came out of [`read`].
#[derive(Debug)]
pub struct Reading {
    /// The file, unless it is no mapping at all. With errors among the problems it may be used for
    /// finding more of them, and for nothing else.
    pub file: Option<ExporterFile>,
    /// The text, for further problems.
    pub source: Arc<Source>,
    /// Everything found.
    pub problems: Problems,
}

impl Reading {
    /// The file when it can be used, else everything that is wrong with it.
    pub fn into_result(self) -> Result<ExporterFile, Problems> {
        match self.file {
            Some(file) => self.problems.into_result(file),
            None => Err(self.problems),
        }
    }
}

/// What messages say about such a file.
const FILE: top::Kind = top::Kind {
    name: KIND,
    file: "an exporter file",
    whose: "an exporter's",
    begin: "list drivers under `export:`",
    keys: FILE_KEYS,
    drivers: Some("export"),
};

/// Reads an exporter file.
///
/// `environment` looks up a variable. `JMP_ENDPOINT`, `JMP_TOKEN`, `JMP_TLS` and `JMP_GRPCOPTIONS`
/// (the last two in JSON) replace what the file says; `JMP_NAME` and `JMP_NAMESPACE` fill what it does
/// not say. An empty variable counts as none.
pub fn read(name: &str, text: &str, environment: impl Fn(&str) -> Option<String>) -> Reading {
    let top::Opened { mut file, source, mut problems } = top::open(&FILE, name, text, |top, source| {
        let map = top.map;
        let export = map.entry("export");
        // Drivers below a misspelt `export`, or next to it, are meant to be drivers.
        let misspelt = map.iter().find(|entry| {
            !FILE_KEYS.contains(&entry.key.as_str())
                && nearest(&entry.key, FILE_KEYS.iter().copied()) == Some("export")
                && entry.value.as_map().is_some()
        });
        let beside = map.iter().any(|entry| FILE.is_driver(entry));
        let incomplete = match export {
            Some(entry) => {
                misspelt.is_some() || beside || entry.value.as_map().is_none_or(|map| map.incomplete)
            }
            None => map.is_incomplete() || beside,
        };
        ExporterFile {
            source: Arc::clone(source),
            metadata: top.part("metadata").unwrap_or_default(),
            endpoint: top.text("endpoint"),
            token: top.secret("token"),
            tls: top.part("tls").unwrap_or_default(),
            grpc_options: top.part::<Option<_>>("grpcOptions").flatten().unwrap_or_default(),
            description: top.part::<Option<_>>("description").flatten(),
            motd: top.part::<Option<_>>("motd").flatten(),
            export: export
                .or(misspelt)
                .map(|entry| read_nodes(entry, &entry.key, "", &mut top.problems, &mut 0))
                .unwrap_or_default(),
            incomplete,
            hooks: top.part("hooks").unwrap_or_default(),
            failure_detection: top.part("failureDetection").unwrap_or_default(),
            exit_on_lease_end: top.part("exitOnLeaseEnd").unwrap_or_default(),
            spans: top.spans(),
        }
    });
    if let Some(file) = &mut file {
        overlay(file, &|name| environment(name).filter(|value| !value.is_empty()), &mut problems);
    }
    Reading { file, source, problems }
}

/// What the environment has to say.
fn overlay(file: &mut ExporterFile, variable: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) {
    if file.metadata.name.is_none() {
        file.metadata.name = variable("JMP_NAME");
    }
    if file.metadata.namespace.is_none() {
        file.metadata.namespace = variable("JMP_NAMESPACE");
    }
    let text = |name| variable(name).map(|value| value.trim().to_owned());
    if let Some(value) = text("JMP_ENDPOINT") {
        file.endpoint = Some(Spanned { value, span: Span::START });
    }
    if let Some(value) = text("JMP_TOKEN") {
        file.token = Some(Spanned { value: Secret::new(value), span: Span::START });
    }
    if let Some(tls) = top::from_variable(variable, "JMP_TLS", problems) {
        file.tls = tls;
    }
    if let Some(options) = top::from_variable(variable, "JMP_GRPCOPTIONS", problems) {
        file.grpc_options = options;
    }
}

impl ExporterFile {
    /// Reads a file and resolves its references, for callers who do not know the drivers.
    pub fn parse(
        name: &str,
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let Reading { file, mut problems, .. } = read(name, text, environment);
        let Some(file) = file else { return Err(problems) };
        // Which children a driver makes itself is not known here, so any may be one of them.
        if let Err(found) = super::references::resolve(&file, &|node| match node.kind {
            super::tree::NodeKind::Driver(_) => None,
            _ => Some(Vec::new()),
        }) {
            problems.append(found);
        }
        problems.into_result(file)
    }

    /// What the file lacks for an exporter that registers with a controller. Local and standalone use
    /// need none of it.
    pub fn for_controller(&self) -> Problems {
        let mut problems = Problems::new();
        let top = |key: &str| self.spans.get(key).copied();
        let mut lacks = |present: bool, what: &str, place: Option<Span>, variable: &str| {
            if !present {
                problems.push(
                    Problem::error(format!("`{what}` is needed to register with a controller"))
                        .at(place.unwrap_or(Span::START))
                        .help(format!("add it, or set the environment variable {variable}")),
                );
            }
        };
        let metadata = top("metadata");
        lacks(self.metadata.name.is_some(), "metadata.name", metadata, "JMP_NAME");
        lacks(self.metadata.namespace.is_some(), "metadata.namespace", metadata, "JMP_NAMESPACE");
        lacks(self.endpoint.is_some(), "endpoint", top("endpoint"), "JMP_ENDPOINT");
        lacks(self.token.is_some(), "token", top("token"), "JMP_TOKEN");
        problems.attach(&self.source);
        problems
    }

    /// A node by its dotted names, references not followed.
    pub fn node(&self, names: &str) -> Option<&DriverNode> {
        let mut names = names.split('.');
        let first = self.export.get(names.next()?)?;
        names.try_fold(first, |node, name| node.child(name))
    }

    /// A problem of this file.
    pub fn problem(&self, problem: Problem) -> Problem {
        problem.in_source(&self.source)
    }
}

impl From<&Entry> for Span {
    fn from(entry: &Entry) -> Self {
        entry.key_span
    }
}

impl From<&DriverNode> for Span {
    fn from(node: &DriverNode) -> Self {
        node.key_span
    }
}
