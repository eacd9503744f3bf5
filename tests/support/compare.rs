//! Recorded and live events side by side.
//!
//! Both are brought into one form, [`Seen`], without what gRPC libraries are free to choose, then compared by meaning.

use std::collections::BTreeMap;
use std::fmt;

use crate::bindings::{Bindings, uuids};
use crate::http2::{Arrived, Headers};
use crate::message::{Direction, Tree};
use crate::recording::What;

/// What one end sent, in a form that can be compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Response headers: the metadata that the service itself added.
    Headers(Metadata),
    /// A message.
    Message(Tree),
    /// The status that ends a call.
    Trailers {
        /// No headers came first.
        only: bool,
        /// The gRPC status code.
        code: u32,
        /// The status message, decoded.
        text: String,
        /// Everything else in the trailers.
        metadata: Metadata,
    },
    /// The sender's direction is over.
    End,
    /// The stream was reset.
    Reset(u32),
    /// Not gRPC.
    Broken(String),
    /// The connection is over.
    Closed(String),
}

/// Metadata by name; several values of one name in the order of the wire.
pub type Metadata = BTreeMap<String, Vec<String>>;

/// Headers that belong to HTTP and gRPC rather than to the conversation.
const LIBRARY: [&str; 11] = [
    "content-type",
    "date",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "grpc-timeout",
    "server",
    "te",
    "user-agent",
];

/// The metadata of a header block.
pub fn metadata(headers: &Headers) -> Metadata {
    let mut metadata = Metadata::new();
    for (name, value) in headers {
        if !name.starts_with(':') && !LIBRARY.contains(&name.as_str()) {
            metadata.entry(name.clone()).or_default().push(value.clone());
        }
    }
    metadata
}

fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Undoes the percent-encoding of `grpc-message`.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let decoded = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(decoded.unwrap_or(bytes[at]));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn headers_seen(headers: &Headers) -> Seen {
    let problem = match (header(headers, ":status"), header(headers, "content-type")) {
        (Some("200"), Some(kind)) if kind.starts_with("application/grpc") => {
            return Seen::Headers(metadata(headers));
        }
        (Some("200"), kind) => format!("the response is no gRPC: content-type {kind:?}"),
        (status, _) => format!("the response has HTTP status {status:?}"),
    };
    Seen::Broken(problem)
}

fn trailers_seen(headers: &Headers, only: bool) -> Seen {
    let Some(code) = header(headers, "grpc-status").and_then(|code| code.parse().ok()) else {
        return Seen::Broken(format!("trailers without a status: {headers:?}"));
    };
    if only && let Seen::Broken(problem) = headers_seen(headers) {
        return Seen::Broken(problem);
    }
    let mut metadata = metadata(headers);
    if header(headers, "grpc-status-details-bin").is_some() {
        metadata.insert("grpc-status-details-bin".to_owned(), vec!["(present)".to_owned()]);
    }
    let text = percent_decode(header(headers, "grpc-message").unwrap_or_default());
    Seen::Trailers { only, code, text, metadata }
}

impl Seen {
    /// A recorded event of an RPC.
    pub fn recorded(path: &str, direction: Direction, what: &What) -> Self {
        match what {
            What::Headers { headers } if direction == Direction::Response => headers_seen(headers),
            What::Headers { headers } => Self::Headers(metadata(headers)),
            What::Message(message) => Self::Message(Tree::decode(path, direction, &message.content())),
            What::Trailers { headers, trailers_only } => trailers_seen(headers, *trailers_only),
            What::EndStream { .. } => Self::End,
            What::RstStream { error_code } => Self::Reset(*error_code),
        }
    }

    /// A live event of an RPC.
    pub fn live(path: &str, direction: Direction, arrived: &Arrived) -> Self {
        match arrived {
            Arrived::Headers(headers) if direction == Direction::Response => headers_seen(headers),
            Arrived::Headers(headers) => Self::Headers(metadata(headers)),
            Arrived::Message(bytes) => Self::Message(Tree::decode(path, direction, bytes)),
            Arrived::Trailers { headers, only } => trailers_seen(headers, *only),
            Arrived::End => Self::End,
            Arrived::Reset(code) => Self::Reset(*code),
            Arrived::Broken(problem) => Self::Broken(problem.clone()),
            Arrived::Closed(reason) => Self::Closed(reason.clone()),
        }
    }

    /// Whether nothing can follow from the same end on the same stream.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Headers(_) | Self::Message(_))
    }
}

/// Names of status codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a status code.
pub fn code_name(code: u32) -> String {
    let index = usize::try_from(code).unwrap_or(usize::MAX);
    CODES.get(index).map_or_else(|| format!("code {code}"), |name| (*name).to_owned())
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metadata = |f: &mut fmt::Formatter<'_>, metadata: &Metadata| {
            metadata.iter().try_for_each(|(name, values)| write!(f, " {name}={values:?}"))
        };
        match self {
            Self::Headers(values) => {
                f.write_str("headers")?;
                metadata(f, values)
            }
            Self::Message(tree) => {
                let text = tree.to_string();
                match text.char_indices().nth(1500) {
                    Some((cut, _)) => {
                        write!(f, "message {}… ({} characters)", &text[..cut], text.chars().count())
                    }
                    None => write!(f, "message {text}"),
                }
            }
            Self::Trailers { only, code, text, metadata: values } => {
                write!(f, "{} {}", if *only { "only trailers" } else { "trailers" }, code_name(*code))?;
                if text.len() > 300 {
                    let head: String = text.chars().take(200).collect();
                    write!(f, " {head:?}… ({} bytes)", text.len())?;
                } else {
                    write!(f, " {text:?}")?;
                }
                metadata(f, values)
            }
            Self::End => f.write_str("the end of its direction"),
            Self::Reset(code) => write!(f, "a reset with code {code}"),
            Self::Broken(problem) => write!(f, "not gRPC ({problem})"),
            Self::Closed(reason) => write!(f, "the end of the connection ({reason})"),
        }
    }
}

/// How status texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// Exactly, up to UUIDs.
    Exact,
    /// Texts that Python, pydantic or grpcio wrote may be worded in another way, as long as they name the same UUID or
    /// argument. All others are compared exactly.
    Meaning,
}

/// What grpcio says about an RPC that the server does not have. Others say nothing.
const METHOD_NOT_FOUND: &str = "Method not found!";

/// Whether a status text came from the language, its validation library or its gRPC library instead of from the
/// framework or a driver.
pub fn is_of_python(text: &str) -> bool {
    ["Unexpected <class ", "Unable to serialize unknown type", "UUID('"]
        .iter()
        .any(|start| text.starts_with(start))
        || ["validation error for ", " positional argument", "codec can't decode byte"]
            .iter()
            .any(|part| text.contains(part))
        || text == METHOD_NOT_FOUND
}

/// Compares two events that should be equal. `Some` says how they differ.
pub fn compare(
    path: &str,
    recorded: &Seen,
    live: &Seen,
    bindings: &mut Bindings,
    texts: Texts,
) -> Option<String> {
    match (recorded, live) {
        (Seen::Headers(recorded), Seen::Headers(live)) => compare_metadata(recorded, live, bindings),
        (Seen::Message(recorded), Seen::Message(live)) => {
            let ignored = if path.ends_with("DriverCall") { Some("uuid") } else { None };
            compare_trees(recorded, live, bindings, ignored)
        }
        (
            Seen::Trailers { only, code, text, metadata },
            Seen::Trailers { only: live_only, code: live_code, text: live_text, metadata: live_metadata },
        ) => {
            if code != live_code {
                return Some(format!("status {} instead of {}", code_name(*live_code), code_name(*code)));
            }
            if only != live_only {
                return Some(
                    if *only { "headers came before the trailers" } else { "no headers came first" }
                        .to_owned(),
                );
            }
            compare_text(text, live_text, bindings, texts)
                .or_else(|| compare_metadata(metadata, live_metadata, bindings))
        }
        (recorded, live) if recorded == live => None,
        _ => Some("something else".to_owned()),
    }
}

/// Compares two status texts.
pub fn compare_text(recorded: &str, live: &str, bindings: &mut Bindings, texts: Texts) -> Option<String> {
    if bindings.same(recorded, live) {
        return None;
    }
    if texts == Texts::Exact || !is_of_python(recorded) {
        return Some("another status text".to_owned());
    }
    if live.is_empty() && recorded != METHOD_NOT_FOUND {
        return Some("no status text".to_owned());
    }
    let named: Vec<String> =
        uuids(recorded).into_iter().map(|(start, end)| recorded[start..end].to_owned()).collect();
    for name in named {
        let expected = String::from_utf8_lossy(&bindings.rewrite(name.as_bytes())).into_owned();
        if !live.contains(&expected) {
            return Some(format!("the status text does not name {expected}"));
        }
    }
    None
}

fn compare_metadata(recorded: &Metadata, live: &Metadata, bindings: &mut Bindings) -> Option<String> {
    let names: std::collections::BTreeSet<_> = recorded.keys().chain(live.keys()).collect();
    for name in names {
        let (Some(recorded), Some(live)) = (recorded.get(name), live.get(name)) else {
            return Some(match recorded.get(name) {
                Some(_) => format!("metadata {name:?} is missing"),
                None => format!("metadata {name:?} is not in the recording"),
            });
        };
        if recorded.len() != live.len() {
            return Some(format!(
                "metadata {name:?} came {} times instead of {}",
                live.len(),
                recorded.len()
            ));
        }
        for (recorded, live) in recorded.iter().zip(live) {
            let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            let difference = match (parsed(recorded), parsed(live)) {
                (Some(recorded), Some(live)) => {
                    compare_trees(&Tree::of_json(&recorded), &Tree::of_json(&live), bindings, None)
                }
                _ if bindings.same(recorded, live) => None,
                _ => Some(format!("{live:?} instead of {recorded:?}")),
            };
            if let Some(difference) = difference {
                return Some(format!("metadata {name:?}: {difference}"));
            }
        }
    }
    None
}

/// Compares two trees. `ignored` is a field of the outermost message that may hold anything.
pub fn compare_trees(
    recorded: &Tree,
    live: &Tree,
    bindings: &mut Bindings,
    ignored: Option<&str>,
) -> Option<String> {
    let same = match (recorded, live) {
        (Tree::Text(recorded), Tree::Text(live)) => bindings.same(recorded, live),
        (Tree::Number(recorded), Tree::Number(live)) => recorded.to_bits() == live.to_bits(),
        (Tree::List(recorded), Tree::List(live)) if recorded.len() == live.len() => {
            return recorded.iter().zip(live).enumerate().find_map(|(at, (recorded, live))| {
                compare_trees(recorded, live, bindings, None).map(|difference| format!("[{at}] {difference}"))
            });
        }
        (Tree::Map(recorded), Tree::Map(live)) => {
            let keys: std::collections::BTreeSet<_> = recorded.keys().chain(live.keys()).collect();
            return keys.into_iter().filter(|key| Some(key.as_str()) != ignored).find_map(|key| {
                match (recorded.get(key), live.get(key)) {
                    (Some(recorded), Some(live)) => compare_trees(recorded, live, bindings, None)
                        .map(|difference| format!("{key}: {difference}")),
                    (Some(recorded), None) => Some(format!("{key}: missing instead of {recorded}")),
                    (None, live) => live.map(|live| format!("{key}: {live}, which is not in the recording")),
                }
            });
        }
        (recorded, live) => recorded == live,
    };
    (!same).then(|| format!("{live} instead of {recorded}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_python_are_compared_by_what_they_name() {
        let uuid = "e326f904-3d0e-4194-bf6e-63103a99b66d";
        let recorded = format!("Unexpected <class 'KeyError'>: UUID('{uuid}')");
        let compare = |live: &str, texts| compare_text(&recorded, live, &mut Bindings::default(), texts);
        assert_eq!(compare(&recorded, Texts::Exact), None);
        assert_eq!(compare(&format!("no driver instance {uuid}"), Texts::Meaning), None);
        assert!(compare(&format!("no driver instance {uuid}"), Texts::Exact).is_some());
        assert!(compare("no such driver instance", Texts::Meaning).is_some());
        assert!(compare("", Texts::Meaning).is_some());
    }

    #[test]
    fn percent_encoding_is_undone_byte_by_byte() {
        assert_eq!(percent_decode("caf%C3%A9 100%25 %zz %4"), "café 100% %zz %4");
    }
}
