//! The top of a file: what the exporter's, the client's and the user's files have in common.

use std::sync::Arc;

use super::decode::decode;
use super::document::{Entry, Map, Value, parse};
use super::exporter::API_VERSION;
use super::problem::{Problem, Problems};
use super::source::{Secret, Source, Span, Spanned};
use super::subject::Subject;
use super::suggest::{did_you_mean, nearest, quoted};
use super::wording;

/// A kind of file.
#[derive(Debug)]
pub(super) struct Kind {
    /// The value of `kind`.
    pub(super) name: &'static str,
    /// What messages call such a file.
    pub(super) file: &'static str,
    /// Whose file it is.
    pub(super) whose: &'static str,
    /// How to go on behind `kind`, for somebody with an empty file.
    pub(super) begin: &'static str,
    /// The keys at the top.
    pub(super) keys: &'static [&'static str],
    /// Where drivers belong that were written at the top.
    pub(super) drivers: Option<&'static str>,
}

impl Kind {
    /// Whether an entry at the top looks like one that belongs under the drivers.
    pub(super) fn is_driver(&self, entry: &Entry) -> bool {
        self.drivers.is_some()
            && !self.keys.contains(&entry.key.as_str())
            && ["type", "ref", "children"].iter().any(|key| entry.value.get(key).is_some())
    }
}

/// `kind` of each file, and whose it is.
const KINDS: &[(&str, &str)] =
    &[("ExporterConfig", "an exporter's"), ("ClientConfig", "a client's"), ("UserConfig", "a user's")];

/// A mapping at the top of a file, and what was found wrong with it.
pub(super) struct Top<'a> {
    pub(super) map: &'a Map,
    pub(super) problems: Problems,
}

/// What came out of reading a text.
pub(super) struct Opened<T> {
    /// What was read, unless the text holds no mapping.
    pub(super) file: Option<T>,
    pub(super) source: Arc<Source>,
    pub(super) problems: Problems,
}

/// Parses a text and reads the mapping in it.
pub(super) fn open<T>(
    kind: &Kind,
    name: &str,
    text: &str,
    read: impl FnOnce(&mut Top<'_>, &Arc<Source>) -> T,
) -> Opened<T> {
    let parsed = parse(name, text);
    let (source, mut problems) = (parsed.source, parsed.problems);
    let Some(document) = parsed.document else { return Opened { file: None, source, problems } };
    let Value::Map(map) = &document.root.value else {
        let problem = if document.root.is_null() {
            Problem::error("the file is empty").at(Span::START)
        } else {
            let what = wording::describe(&document.root, None);
            Problem::error(format!("{} must be a mapping, but this is {what}", kind.file)).at(&document.root)
        };
        problems.push(problem.help(format!("begin with `kind: {}` and {}", kind.name, kind.begin)));
        problems.attach(&source);
        return Opened { file: None, source, problems };
    };
    let mut top = Top { map, problems: Problems::new() };
    top.fixed(kind, "apiVersion", API_VERSION);
    top.fixed(kind, "kind", kind.name);
    top.unknown_keys(kind);
    let file = read(&mut top, &source);
    problems.append(top.problems);
    problems.attach(&source);
    Opened { file: Some(file), source, problems }
}

impl Top<'_> {
    fn fixed(&mut self, kind: &Kind, key: &str, wanted: &str) {
        let Some(entry) = self.map.entry(key) else { return };
        if entry.value.as_str() == Some(wanted) || entry.value.is_unknown() {
            return;
        }
        let what = wording::describe(&entry.value, None);
        let other = KINDS.iter().find(|(name, _)| key == "kind" && entry.value.as_str() == Some(name));
        let help = match other {
            Some((_, whose)) => format!("this is {whose} file; {} says `kind: {}`", kind.whose, kind.name),
            None => format!("write `{key}: {wanted}`"),
        };
        self.problems.push(
            Problem::error(format!("`{key}` must be {}, but it is {what}", quoted(wanted)))
                .at(entry.place())
                .path(key)
                .help(help),
        );
    }

    fn unknown_keys(&mut self, kind: &Kind) {
        for entry in self.map.iter().filter(|entry| !kind.keys.contains(&entry.key.as_str())) {
            let near = nearest(&entry.key, kind.keys.iter().copied());
            let help = match kind.drivers {
                Some(drivers) if near.is_none() && kind.is_driver(entry) => {
                    Some(format!("drivers belong under `{drivers}:`: indent {} below it", quoted(&entry.key)))
                }
                _ => did_you_mean(&entry.key, kind.keys.iter().copied(), "known keys"),
            };
            let problem = Problem::error(format!("unknown key {}", quoted(&entry.key)))
                .at(entry.key_span)
                .label("at the top of the file");
            self.problems.push(problem.maybe_help(help));
        }
    }

    /// Where the keys stand.
    pub(super) fn spans(&self) -> indexmap::IndexMap<String, Span> {
        self.map.iter().map(|entry| (entry.key.clone(), entry.key_span)).collect()
    }

    /// Decodes what belongs to a key; `None` when the key is absent or its value wrong.
    pub(super) fn part<T: serde::de::DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let entry = self.map.entry(key)?;
        match decode(&entry.value, &subject(entry)) {
            Ok(value) => Some(value),
            Err(problems) => {
                self.problems.append(problems);
                None
            }
        }
    }

    /// Text that is absent when it is null or empty.
    pub(super) fn text(&mut self, key: &str) -> Option<Spanned<String>> {
        let entry = self.map.entry(key)?;
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

    /// Text that nobody may see.
    pub(super) fn secret(&mut self, key: &str) -> Option<Spanned<Secret>> {
        self.text(key).map(|text| Spanned { value: Secret::new(text.value), span: text.span })
    }
}

fn subject(entry: &Entry) -> Subject {
    Subject::new(quoted(&entry.key), entry.key.clone()).place(entry.key_span)
}

/// A variable that holds JSON, which is YAML as well.
pub(super) fn from_variable<T: serde::de::DeserializeOwned>(
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
