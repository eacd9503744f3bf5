//! Names of things on the wire: `namespaces/lab`, `namespaces/lab/leases/x`.

use jumpstarter_identity::quote::quoted;
use tonic::Status;

/// A namespace, from `namespaces/NAMESPACE`.
///
/// # Errors
/// `INVALID_ARGUMENT`, with what was expected.
pub fn parent(text: &str) -> Result<&str, Status> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        ["namespaces", namespace] => Ok(namespace),
        [first, _] => Err(segment(text, "namespaces", first)),
        parts => Err(count(text, 2, parts.len())),
    }
}

/// Namespace and name, from `namespaces/NAMESPACE/KIND/NAME`.
///
/// # Errors
/// `INVALID_ARGUMENT`, with what was expected.
pub fn of<'a>(text: &'a str, kind: &str) -> Result<(&'a str, &'a str), Status> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        ["namespaces", namespace, found, name] if *found == kind => Ok((namespace, name)),
        ["namespaces", _, found, _] => Err(segment(text, kind, found)),
        [first, _, _, _] => Err(segment(text, "namespaces", first)),
        parts => Err(count(text, 4, parts.len())),
    }
}

fn segment(text: &str, expected: &str, found: &str) -> Status {
    Status::invalid_argument(format!(
        "invalid identifier {}: expected segment {}, found {}",
        quoted(text),
        quoted(expected),
        quoted(found)
    ))
}

fn count(text: &str, expected: usize, found: usize) -> Status {
    Status::invalid_argument(format!(
        "invalid identifier {}: expected {expected} segments, found {found}",
        quoted(text)
    ))
}

/// The full name of something.
pub fn full(namespace: &str, kind: &str, name: &str) -> String {
    format!("namespaces/{namespace}/{kind}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_segments_or_say_which_is_wrong() {
        assert_eq!(parent("namespaces/lab").unwrap(), "lab");
        assert_eq!(of("namespaces/lab/leases/x", "leases").unwrap(), ("lab", "x"));
        for (error, says) in [
            (parent("lab").unwrap_err(), "expected 2 segments, found 1"),
            (parent("names/lab").unwrap_err(), "expected segment \"namespaces\", found \"names\""),
            (of("namespaces/lab", "leases").unwrap_err(), "expected 4 segments, found 2"),
            (
                of("namespaces/lab/clients/x", "leases").unwrap_err(),
                "expected segment \"leases\", found \"clients\"",
            ),
        ] {
            assert_eq!(error.code(), tonic::Code::InvalidArgument);
            assert!(error.message().contains(says), "{error}");
        }
    }
}
