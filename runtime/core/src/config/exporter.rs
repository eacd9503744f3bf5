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

use super::decode::decode;
use super::document::{Entry, Map, Value, parse};
use super::problem::{Problem, Problems};
use super::source::{Secret, Source, Span, Spanned};
use super::subject::Subject;
use super::suggest::{did_you_mean, nearest, quoted};
use super::tree::{DriverNode, read_nodes};
use super::wording;

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

/// Who an exporter is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metadata {
    /// Name of the exporter in its namespace; `JMP_NAME` when absent.
    pub name: Option<String>,
    /// Its namespace; `JMP_NAMESPACE` when absent.
    pub namespace: Option<String>,
}

/// How connections are protected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The authority to trust instead of the system's: base64 of PEM. Empty for the system's.
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
pub struct Hooks {
    /// Runs before a client may use the drivers.
    #[serde(alias = "before_lease")]
    pub before_lease: Option<Hook>,
    /// Runs when the client is gone.
    #[serde(alias = "after_lease")]
    pub after_lease: Option<Hook>,
}

/// One script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping with a `script`")]
pub struct Hook {
    /// The script itself, or the path of a file with it. Blank: nothing runs.
    pub script: String,
    /// The program that interprets it. Default: `/bin/sh`, Python for a file that ends in `.py`.
    #[serde(default)]
    pub exec: Option<String>,
    /// How long it may take, in whole seconds.
    #[serde(default = "two_minutes", deserialize_with = "seconds")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub timeout: u32,
    /// What follows from a failure.
    #[serde(default, alias = "on_failure")]
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
    pub rapid_failure_window: u32,
}

impl Default for FailureDetection {
    fn default() -> Self {
        Self { max_rapid_failures: 5, rapid_failure_window: 60 }
    }
}

fn two_minutes() -> u32 {
    120
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
        schemars::json_schema!({ "type": ["string", "integer"] })
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

/// Reads an exporter file.
///
/// `environment` looks up a variable. `JMP_ENDPOINT`, `JMP_TOKEN`, `JMP_TLS` and `JMP_GRPCOPTIONS`
/// (the last two in JSON) replace what the file says; `JMP_NAME` and `JMP_NAMESPACE` fill what it does
/// not say. An empty variable counts as none.
pub fn read(name: &str, text: &str, environment: impl Fn(&str) -> Option<String>) -> Reading {
    let parsed = parse(name, text);
    let (source, mut problems) = (parsed.source, parsed.problems);
    let Some(document) = parsed.document else { return Reading { file: None, source, problems } };
    let mut file = match &document.root.value {
        Value::Map(map) => {
            let mut reader = FileReader { problems: Problems::new() };
            let file = reader.read(map, &source);
            problems.append(reader.problems);
            file
        }
        other => {
            let problem = match other {
                Value::Null => Problem::error("the file is empty").at(Span::START),
                _ => Problem::error(format!(
                    "an exporter file must be a mapping, but this is {}",
                    wording::describe(&document.root, None)
                ))
                .at(&document.root),
            };
            problems
                .push(problem.help(format!("begin with `kind: {KIND}` and list drivers under `export:`")));
            problems.attach(&source);
            return Reading { file: None, source, problems };
        }
    };
    problems.attach(&source);
    overlay(&mut file, &|name| environment(name).filter(|value| !value.is_empty()), &mut problems);
    Reading { file: Some(file), source, problems }
}

struct FileReader {
    problems: Problems,
}

impl FileReader {
    fn read(&mut self, map: &Map, source: &Arc<Source>) -> ExporterFile {
        self.fixed(map, "apiVersion", API_VERSION);
        self.fixed(map, "kind", KIND);
        self.unknown_keys(map);
        let export = map.entry("export");
        // Drivers below a misspelt `export`, or next to it, are meant to be drivers.
        let misspelt = map.iter().find(|entry| {
            !FILE_KEYS.contains(&entry.key.as_str())
                && nearest(&entry.key, FILE_KEYS.iter().copied()) == Some("export")
                && entry.value.as_map().is_some()
        });
        let elsewhere = misspelt.is_some() || map.iter().any(is_driver);
        let incomplete = match export {
            Some(entry) => elsewhere || entry.value.as_map().is_none_or(Map::is_incomplete),
            None => map.is_incomplete() || map.iter().any(is_driver),
        };
        ExporterFile {
            source: Arc::clone(source),
            metadata: self.part(map, "metadata").unwrap_or_default(),
            endpoint: self.text(map, "endpoint"),
            token: self
                .text(map, "token")
                .map(|token| Spanned { value: Secret::new(token.value), span: token.span }),
            tls: self.part(map, "tls").unwrap_or_default(),
            grpc_options: self.part::<Option<_>>(map, "grpcOptions").flatten().unwrap_or_default(),
            description: self.part::<Option<_>>(map, "description").flatten(),
            motd: self.part::<Option<_>>(map, "motd").flatten(),
            export: export
                .or(misspelt)
                .map(|entry| read_nodes(entry, &entry.key, "", &mut self.problems, &mut 0))
                .unwrap_or_default(),
            incomplete,
            hooks: self.part(map, "hooks").unwrap_or_default(),
            failure_detection: self.part(map, "failureDetection").unwrap_or_default(),
            exit_on_lease_end: self.part(map, "exitOnLeaseEnd").unwrap_or_default(),
            spans: map.iter().map(|entry| (entry.key.clone(), entry.key_span)).collect(),
        }
    }

    fn fixed(&mut self, map: &Map, key: &str, wanted: &str) {
        let Some(entry) = map.entry(key) else { return };
        if entry.value.as_str() == Some(wanted) || entry.value.is_unknown() {
            return;
        }
        let what = wording::describe(&entry.value, None);
        let help = match entry.value.as_str() {
            Some("ClientConfig") => {
                "this is a client's file; an exporter's says `kind: ExporterConfig`".to_owned()
            }
            Some("UserConfig") => {
                "this is a user's file; an exporter's says `kind: ExporterConfig`".to_owned()
            }
            _ => format!("write `{key}: {wanted}`"),
        };
        self.problems.push(
            Problem::error(format!("`{key}` must be {}, but it is {what}", quoted(wanted)))
                .at(entry.place())
                .path(key)
                .help(help),
        );
    }

    fn unknown_keys(&mut self, map: &Map) {
        for entry in map.iter().filter(|entry| !FILE_KEYS.contains(&entry.key.as_str())) {
            let near = nearest(&entry.key, FILE_KEYS.iter().copied());
            let help = if near.is_none() && is_driver(entry) {
                Some(format!("drivers belong under `export:`: indent {} below it", quoted(&entry.key)))
            } else {
                did_you_mean(&entry.key, FILE_KEYS.iter().copied(), "known keys")
            };
            let problem = Problem::error(format!("unknown key {}", quoted(&entry.key)))
                .at(entry.key_span)
                .label("at the top of the file");
            self.problems.push(problem.maybe_help(help));
        }
    }

    /// Decodes what belongs to a key; `None` when the key is absent or its value wrong.
    fn part<T: serde::de::DeserializeOwned>(&mut self, map: &Map, key: &str) -> Option<T> {
        let entry = map.entry(key)?;
        match decode(&entry.value, &subject(entry)) {
            Ok(value) => Some(value),
            Err(problems) => {
                self.problems.append(problems);
                None
            }
        }
    }

    /// Text that is absent when it is null or empty.
    fn text(&mut self, map: &Map, key: &str) -> Option<Spanned<String>> {
        let entry = map.entry(key)?;
        // `decode` shows what it refuses; of a token, nothing may be shown.
        match &entry.value.value {
            Value::Null => None,
            _ if entry.value.is_unknown() => None,
            Value::Str { text, .. } if text.trim().is_empty() => None,
            Value::Str { text, .. } => {
                Some(Spanned { value: text.trim().to_owned(), span: entry.value.span })
            }
            _ => {
                let what = wording::describe(&entry.value, Some(key));
                self.problems.push(
                    Problem::error(format!("`{key}` must be text, but it is {what}"))
                        .at(entry.place())
                        .path(key)
                        .maybe_help(wording::remedy(&entry.value, "text", Some(key))),
                );
                None
            }
        }
    }
}

/// Whether an entry at the top looks like one that belongs under `export`.
fn is_driver(entry: &Entry) -> bool {
    !FILE_KEYS.contains(&entry.key.as_str())
        && ["type", "ref", "children"].iter().any(|key| entry.value.get(key).is_some())
}

fn subject(entry: &Entry) -> Subject {
    Subject::new(quoted(&entry.key), entry.key.clone()).place(entry.key_span)
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
    if let Some(tls) = from_variable(variable, "JMP_TLS", problems) {
        file.tls = tls;
    }
    if let Some(options) = from_variable(variable, "JMP_GRPCOPTIONS", problems) {
        file.grpc_options = options;
    }
}

/// A variable that holds JSON, which is YAML as well.
fn from_variable<T: serde::de::DeserializeOwned>(
    variable: &dyn Fn(&str) -> Option<String>,
    name: &str,
    problems: &mut Problems,
) -> Option<T> {
    let text = variable(name)?;
    let mut parsed = parse(&format!("environment variable {name}"), &text);
    let decoded = parsed.document.and_then(|document| {
        let result: Result<T, Problems> = decode(&document.root, &Subject::new(quoted(name), ""));
        result.map_err(|found| parsed.problems.append(found)).ok()
    });
    parsed.problems.attach(&parsed.source);
    let usable = !parsed.problems.has_errors();
    problems.append(parsed.problems);
    decoded.filter(|_| usable)
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
        if let Err(found) = super::references::resolve(&file, &|node, _| {
            matches!(node.kind, super::tree::NodeKind::Driver(_))
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
