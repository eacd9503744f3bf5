//! What a controller refuses, in words: what was asked for, and why it did not come to that.

use std::error::Error as StdError;

use jumpstarter_core::{Error, ErrorKind};
use jumpstarter_transport::status::innermost;
use tonic::{Code, Status};

use crate::controller::short;

/// The part of a message that existing clients look for as well.
pub(crate) const EXPIRED: &str = "token is expired";

/// How a controller begins who cannot tell whose a token is; its code is that of any failure.
const UNKNOWN_TOKEN: &str = "failed to authenticate token: ";

/// What a controller says of a lease that somebody wants to end once more.
const RELEASED: &str = " has already been released";

/// What it says, behind the name of the call, to whoever has nothing to do with a lease.
const FOREIGN: &str = " permission denied";

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

/// The same for a call that is about one lease: `done` is what it would have done to it.
pub(crate) fn of_lease(status: &Status, place: &str, lease: &str, done: &str) -> Error {
    if status.code() == Code::Unknown && status.message().ends_with(FOREIGN) {
        let message = format!("lease {lease:?} belongs to another client: only that one can have it {done}");
        return Error::new(ErrorKind::Usage, message).caused_by(status.clone());
    }
    error(status, place)
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
            "the token for the controller at {place} has expired: run `jmp login`, or get a new one from whoever runs the lab"
        );
        return (ErrorKind::Unauthenticated, message);
    }
    if said.contains(UNKNOWN_TOKEN) {
        let message = format!(
            "the controller at {place} does not take this token: {said}; log in with `jmp login`, or get another token from \
             whoever runs the lab"
        );
        return (ErrorKind::Unauthenticated, message);
    }
    if let Some(message) = about(said) {
        return (ErrorKind::Usage, message);
    }
    if let Some(name) = said.strip_suffix(RELEASED).and_then(|rest| rest.strip_prefix("lease ")) {
        let name = name.trim_matches('"');
        return (ErrorKind::Usage, format!("lease {:?} has been given back already", short(name)));
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
            // Nobody is slow but the lab: that is no device that takes too long.
            (ErrorKind::Disconnected, format!("the controller at {place} did not answer in time: {reason}"))
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
            (
                Status::unknown("failed to authenticate token: oidc: malformed jwt: expected 3 parts got 1"),
                ErrorKind::Unauthenticated,
                "log in with `jmp login`",
            ),
            (Status::deadline_exceeded("nothing came"), ErrorKind::Disconnected, "did not answer in time"),
            (Status::unauthenticated("bad"), ErrorKind::Unauthenticated, "check the token"),
            (Status::permission_denied("namespace mismatch"), ErrorKind::Permission, "namespace mismatch"),
            (
                Status::failed_precondition("lease \"namespaces/lab/leases/x\" has already been released"),
                ErrorKind::Usage,
                "lease \"x\" has been given back already",
            ),
            (Status::unavailable("away"), ErrorKind::Disconnected, "lab:1 is not available: away"),
            (Status::failed_precondition("no"), ErrorKind::Usage, "no"),
            (Status::internal(""), ErrorKind::Internal, "no reason was given"),
        ] {
            let error = error(&status, "lab:1");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(says), "{error}");
        }
    }

    #[test]
    fn somebody_elses_lease_is_said_to_be_that() {
        let status = Status::unknown("DeleteLease permission denied");
        let error = of_lease(&status, "lab:1", "x", "ended");
        let words = "lease \"x\" belongs to another client: only that one can have it ended";
        assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, words));
        let error = of_lease(&Status::unavailable("away"), "lab:1", "x", "ended");
        assert_eq!(error.kind(), ErrorKind::Disconnected);
    }
}
