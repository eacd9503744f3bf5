//! What a controller refuses, in words: what was asked for, and why it did not come to that.

use std::error::Error as StdError;

use jumpstarter_core::{Error, ErrorKind};
use tonic::{Code, Status};

/// The part of a message that existing clients look for as well.
pub(crate) const EXPIRED: &str = "token is expired";

/// Resources as a controller names them, and as people do.
const KINDS: [(&str, &str); 3] = [
    ("leases.jumpstarter.dev ", "lease"),
    ("exporters.jumpstarter.dev ", "exporter"),
    ("clients.jumpstarter.dev ", "client"),
];

/// The error that a status of a controller's call means. `place` says which controller.
pub(crate) fn error(status: &Status, place: &str) -> Error {
    let (kind, message) = words(status, place);
    Error::new(kind, message).caused_by(status.clone())
}

fn words(status: &Status, place: &str) -> (ErrorKind, String) {
    let said = status.message();
    // A status with a cause was made on this side, because there was no answer. Its code is a guess.
    if let Some(cause) = StdError::source(status) {
        return (
            ErrorKind::Disconnected,
            format!("the connection to the controller at {place} failed: {}", innermost(cause)),
        );
    }
    if said.contains(EXPIRED) {
        let message = format!(
            "the token for the controller at {place} has expired: get a new one from whoever runs the lab"
        );
        return (ErrorKind::Unauthenticated, message);
    }
    if let Some(message) = about(said) {
        return (ErrorKind::Usage, message);
    }
    let reason = if said.is_empty() { "no reason was given" } else { said };
    match status.code() {
        Code::Unauthenticated => (
            ErrorKind::Unauthenticated,
            format!(
                "the controller at {place} does not know this client: {reason}; check the token in its configuration"
            ),
        ),
        Code::PermissionDenied => {
            (ErrorKind::Permission, format!("the controller at {place} does not allow this: {reason}"))
        }
        Code::Unavailable => {
            (ErrorKind::Disconnected, format!("the controller at {place} is not available: {reason}"))
        }
        Code::DeadlineExceeded => {
            (ErrorKind::Timeout, format!("the controller at {place} did not answer in time: {reason}"))
        }
        Code::Unimplemented => {
            (ErrorKind::Unsupported, format!("the controller at {place} cannot do this: {reason}"))
        }
        Code::Cancelled => (ErrorKind::Cancelled, format!("the controller at {place} gave up: {reason}")),
        // These say what was asked for in vain, in words for whoever asked.
        Code::InvalidArgument | Code::FailedPrecondition | Code::Unknown => {
            (ErrorKind::Usage, reason.to_owned())
        }
        _ => (ErrorKind::Internal, format!("the controller at {place} failed: {reason}")),
    }
}

/// `leases.jumpstarter.dev "x" not found` and the like.
fn about(said: &str) -> Option<String> {
    let (kind, rest) = KINDS.iter().find_map(|(named, kind)| Some((kind, said.strip_prefix(named)?)))?;
    if let Some(name) = rest.strip_suffix(" not found") {
        return Some(format!("there is no {kind} {name}"));
    }
    rest.ends_with(" already exists").then(|| format!("{kind} {rest}"))
}

/// Whether it says that something is not there.
pub(crate) fn is_missing(status: &Status) -> bool {
    status.code() == Code::NotFound || status.message().ends_with(" not found")
}

/// Whether it says that something is there already.
pub(crate) fn is_taken(status: &Status) -> bool {
    status.code() == Code::AlreadyExists || status.message().ends_with(" already exists")
}

/// Whether the same call can succeed a moment later.
pub(crate) fn passes(status: &Status) -> bool {
    StdError::source(status).is_some() || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}

/// The innermost cause, which says most: libraries wrap theirs in "transport error" and the like.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_controller_says_becomes_words_and_a_kind() {
        for (status, kind, says) in [
            (
                Status::unknown("leases.jumpstarter.dev \"x\" not found"),
                ErrorKind::Usage,
                "there is no lease \"x\"",
            ),
            (
                Status::unknown("leases.jumpstarter.dev \"x\" already exists"),
                ErrorKind::Usage,
                "lease \"x\" already exists",
            ),
            (Status::unknown("jwt: token is expired by 3h"), ErrorKind::Unauthenticated, "has expired"),
            (Status::unauthenticated("bad"), ErrorKind::Unauthenticated, "check the token"),
            (Status::permission_denied("namespace mismatch"), ErrorKind::Permission, "namespace mismatch"),
            (Status::unavailable("away"), ErrorKind::Disconnected, "lab:1 is not available: away"),
            (Status::failed_precondition("no"), ErrorKind::Usage, "no"),
            (Status::internal(""), ErrorKind::Internal, "no reason was given"),
        ] {
            let error = error(&status, "lab:1");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(says), "{error}");
        }
    }
}
