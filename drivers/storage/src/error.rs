//! What storage reports.

use std::error::Error as StdError;

use jumpstarter::{Error, ErrorKind};
use opendal::ErrorKind as Kind;

/// The library's error as it is told to callers: what could not be done to what, and why. Clients of the existing
/// implementation get the library's own text, as from its driver: they show and compare it.
///
/// `what` was tried: `read image`, `copy a to b`.
pub(crate) fn told(error: opendal::Error, what: impl std::fmt::Display) -> Error {
    let outside = error.message().contains("escapes the configured root");
    let kind = match error.kind() {
        _ if outside => ErrorKind::Permission,
        Kind::NotFound => ErrorKind::Absent,
        Kind::PermissionDenied => ErrorKind::Permission,
        Kind::RateLimited => ErrorKind::Busy,
        Kind::ConfigInvalid => ErrorKind::Configuration,
        Kind::Unexpected => ErrorKind::Io,
        // A storage that cannot do something is no driver that lacks a method, so that is not `ErrorKind::Unsupported`.
        _ => ErrorKind::Device,
    };
    let reason = if outside {
        "the path leads out of the storage".to_owned()
    } else {
        known(error.kind()).map_or_else(|| reason(&error), str::to_owned)
    };
    Error::new(kind, format!("cannot {what}: {reason}")).told_upstream_as(text(&error)).caused_by(error)
}

/// The reason, where its kind says all of it.
fn known(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::NotFound => "there is no such file or folder",
        Kind::PermissionDenied => "permission denied",
        Kind::AlreadyExists => "it exists already",
        Kind::IsADirectory => "it is a folder",
        Kind::NotADirectory => "it is no folder, or is in something that is none",
        Kind::IsSameFile => "source and target are the same file",
        Kind::Unsupported => "this storage has no such operation",
        Kind::RateLimited => "the service has too many requests: try again later",
        Kind::ConditionNotMatch => "the file has changed in the meantime",
        Kind::RangeNotSatisfied => "the file is shorter than that",
        _ => return None,
    })
}

/// The library's words, and those of the innermost cause where they say more.
fn reason(error: &opendal::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(StdError::source) {
        cause = Some(inner);
    }
    let cause = cause.map(|cause| without_number(&cause.to_string()).to_owned()).unwrap_or_default();
    match (error.message(), cause.as_str()) {
        ("", "") => status(error).unwrap_or_else(|| "the storage does not say why".to_owned()),
        ("", cause) => cause.to_owned(),
        (message, "") => message.to_owned(),
        (message, cause) if message.to_lowercase().contains(&cause.to_lowercase()) => message.to_owned(),
        (message, cause) => format!("{message}: {cause}"),
    }
}

/// What a web server answered, where that is all there is: the library keeps it as text.
fn status(error: &opendal::Error) -> Option<String> {
    let text = error.to_string();
    let (_, status) = text.split_once("response: Parts { status: ")?;
    let status: String = status.chars().take_while(char::is_ascii_digit).collect();
    (!status.is_empty()).then(|| format!("the server answered with status {status}"))
}

/// The system's message without the number, which helps nobody.
fn without_number(message: &str) -> &str {
    message.split(" (os error").next().unwrap_or_default()
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
    let reason = without_number(&error.to_string()).to_lowercase();
    let told = opendal::Error::new(kind, reason)
        .with_operation(operation)
        .with_context("service", opendal::services::FS_SCHEME)
        .with_context("path", path)
        .set_source(error);
    self::told(told, format_args!("{operation} {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_could_not_be_done_and_why() {
        let error = |kind| opendal::Error::new(kind, "entity not found").with_operation("stat");
        let absent = told(error(Kind::NotFound), "read image");
        assert_eq!(absent.message(), "cannot read image: there is no such file or folder");
        assert_eq!(absent.kind(), ErrorKind::Absent);
        assert!(absent.upstream_message().starts_with("NotFound (permanent) at stat => entity not found"));
        let full = of_file(std::io::Error::from_raw_os_error(28), "write", "image");
        assert_eq!(full.message(), "cannot write image: no space left on device");
        let refused = opendal::Error::new(Kind::Unexpected, "send http request")
            .set_source(std::io::Error::from_raw_os_error(111));
        assert_eq!(told(refused, "list /").message(), "cannot list /: send http request: Connection refused");
        let broken = opendal::Error::new(Kind::Unexpected, "")
            .with_context("response", "Parts { status: 503, version: HTTP/1.1 }");
        assert_eq!(told(broken, "read a").message(), "cannot read a: the server answered with status 503");
    }

    #[tokio::test]
    async fn a_path_that_leads_out_of_a_folder_is_told_from_one_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let service = opendal::services::Fs::default().root(&folder.path().display().to_string());
        let operator = opendal::Operator::new(service).unwrap();
        let outside = told(operator.stat("../a").await.unwrap_err(), "write ../a");
        assert_eq!(outside.message(), "cannot write ../a: the path leads out of the storage");
        assert_eq!(outside.kind(), ErrorKind::Permission);
        let absent = told(operator.stat("a").await.unwrap_err(), "read a");
        assert_eq!(absent.message(), "cannot read a: there is no such file or folder");
    }
}
