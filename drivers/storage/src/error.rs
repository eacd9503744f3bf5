//! What storage reports.

use jumpstarter::{Error, ErrorKind};
use opendal::ErrorKind as Kind;

/// The library's error as it is told to callers: the kind, whether trying again may help, the operation, the reason, and
/// then what it was about. Existing clients show and compare this text.
pub(crate) fn told(error: opendal::Error) -> Error {
    let kind = match error.kind() {
        Kind::NotFound => ErrorKind::Absent,
        Kind::PermissionDenied => ErrorKind::Permission,
        Kind::RateLimited => ErrorKind::Busy,
        Kind::ConfigInvalid => ErrorKind::Configuration,
        Kind::Unexpected => ErrorKind::Io,
        // A storage that cannot do something is no driver that lacks a method, so that is not `ErrorKind::Unsupported`.
        _ => ErrorKind::Device,
    };
    Error::new(kind, text(&error)).caused_by(error)
}

fn text(error: &opendal::Error) -> String {
    let text = format!("{error:?}");
    // Where it happened in the program is of no use to callers.
    match text.split_once("\n\nBacktrace:\n") {
        Some((text, _)) => format!("{text}\n"),
        None => text,
    }
}

/// What the system reports about a file, in the words that the library would have for it.
pub(crate) fn of_file(error: std::io::Error, operation: &'static str, path: &str) -> Error {
    use std::io::ErrorKind as Io;
    if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return ours.clone();
    }
    let kind = match error.kind() {
        Io::NotFound => Kind::NotFound,
        Io::PermissionDenied => Kind::PermissionDenied,
        Io::IsADirectory => Kind::IsADirectory,
        Io::NotADirectory => Kind::NotADirectory,
        Io::AlreadyExists => Kind::AlreadyExists,
        _ => Kind::Unexpected,
    };
    let reason = error.to_string();
    let reason = reason.split(" (os error").next().unwrap_or_default().to_lowercase();
    let told = opendal::Error::new(kind, reason)
        .with_operation(operation)
        .with_context("service", opendal::services::FS_SCHEME)
        .with_context("path", path)
        .set_source(error);
    self::told(told)
}
