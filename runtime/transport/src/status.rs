//! Errors as gRPC statuses, and back: the only place that knows both.
//!
//! Driver calls answer with the codes of release 0.9.0 ([`legacy`]), because existing clients build their exceptions from
//! them; native calls say precisely what happened ([`native`]), with the error's kind in the status details, where
//! generated clients of any language can read it. [`from_status`] is the way back.

use std::{borrow::Cow, error::Error as StdError};

use bytes::Bytes;
use jumpstarter_core::{Error, ErrorKind};
use prost::Message;
use tonic::{Code, Status};

/// Most bytes of a message. Clients refuse trailers of 16 KiB, some from 8 KiB on, and report something else entirely.
const MAX_MESSAGE: usize = 4 * 1024;

/// Most bytes of a message as it is sent: what is not plain text takes three bytes for one.
const MAX_ENCODED: usize = 6 * 1024;

/// Ends a message that was cut.
const CUT: &str = "… (cut)";

/// Who defines the reasons in the details.
const DOMAIN: &str = "jumpstarter.dev";

/// Type of the details' only entry.
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// `google.rpc.Status`, the content of a status' details.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `google.rpc.ErrorInfo`, without its metadata.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

/// What kind of call a status answers; the codes do not mean the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A driver call with one result.
    Unary,
    /// A driver call with any number of results.
    Streaming,
    /// A method of a native service.
    Native,
    /// A byte stream or a resource.
    Stream,
    /// Reports, status, logs and the like.
    Session,
}

/// The status of a failed driver call, as 0.9.0 sends it.
pub fn legacy(error: &Error) -> Status {
    let code = match error.kind() {
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::MethodNotFound => Code::NotFound,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::NotReady => Code::FailedPrecondition,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        // Upstream never answers these; any answer is better.
        ErrorKind::Cancelled => Code::Cancelled,
        // A panic: upstream has none, and UNKNOWN would blame the device.
        ErrorKind::Internal => Code::Internal,
        _ => Code::Unknown,
    };
    Status::new(code, shorten(error.upstream_message()))
}

/// The status of a failed native call: the precise code, and the kind in the details.
pub fn native(error: &Error) -> Status {
    let code = match error.kind() {
        ErrorKind::Unsupported | ErrorKind::MethodNotFound => Code::Unimplemented,
        ErrorKind::InvalidArgument
        | ErrorKind::ArgumentCount
        | ErrorKind::UnknownResource
        | ErrorKind::Usage => Code::InvalidArgument,
        ErrorKind::UnknownInstance => Code::NotFound,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Permission => Code::PermissionDenied,
        ErrorKind::Busy => Code::ResourceExhausted,
        ErrorKind::Disconnected => Code::Unavailable,
        ErrorKind::Absent | ErrorKind::NotReady | ErrorKind::Configuration => Code::FailedPrecondition,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Truncated => Code::DataLoss,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Io | ErrorKind::Internal => Code::Internal,
        _ => Code::Unknown,
    };
    let message = shorten(error.message()).into_owned();
    let info = ErrorInfo { reason: reason(error.kind()).to_owned(), domain: DOMAIN.to_owned() };
    let details = RpcStatus {
        code: code.into(),
        // Said once is enough: the details share the size limit with the message.
        message: String::new(),
        details: vec![Any { type_url: ERROR_INFO.to_owned(), value: info.encode_to_vec().into() }],
    };
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// What a client's caller gets to see of a status. The status itself stays available as the error's source.
pub fn from_status(status: &Status, call: Call) -> Error {
    // A status with a cause was made on this side of the connection, because there was no answer. Its code is a guess.
    if let Some(cause) = StdError::source(status) {
        let message = format!("the connection to the exporter was lost: {}", innermost(cause));
        return Error::disconnected(shorten(&message).into_owned()).caused_by(status.clone());
    }
    let kind = kind_in_details(status).unwrap_or_else(|| kind_of(status.code(), call));
    let message = match status.message() {
        "" => format!("the exporter answered {} without a reason", code_name(status.code())),
        message => message.to_owned(),
    };
    Error::new(kind, message).caused_by(status.clone())
}

fn kind_of(code: Code, call: Call) -> ErrorKind {
    match code {
        Code::FailedPrecondition => ErrorKind::NotReady,
        Code::NotFound if matches!(call, Call::Unary | Call::Stream) => ErrorKind::MethodNotFound,
        Code::NotFound if call == Call::Native => ErrorKind::UnknownInstance,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::InvalidArgument => ErrorKind::InvalidArgument,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::Unavailable => ErrorKind::Disconnected,
        Code::Cancelled => ErrorKind::Cancelled,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::Permission,
        Code::DataLoss => ErrorKind::Truncated,
        Code::Internal => ErrorKind::Internal,
        _ => ErrorKind::Device,
    }
}

/// The kind that a status of ours carries.
pub(crate) fn kind_in_details(status: &Status) -> Option<ErrorKind> {
    if status.details().is_empty() {
        return None;
    }
    let details = RpcStatus::decode(status.details()).ok()?;
    details.details.into_iter().filter(|entry| entry.type_url == ERROR_INFO).find_map(|entry| {
        let info = ErrorInfo::decode(entry.value).ok().filter(|info| info.domain == DOMAIN)?;
        KINDS.iter().find(|(_, reason)| *reason == info.reason).map(|(kind, _)| *kind)
    })
}

/// Kinds by the reason that stands for them on the wire. Never rename one.
const KINDS: &[(ErrorKind, &str)] = &[
    (ErrorKind::Unsupported, "UNSUPPORTED"),
    (ErrorKind::InvalidArgument, "INVALID_ARGUMENT"),
    (ErrorKind::ArgumentCount, "ARGUMENT_COUNT"),
    (ErrorKind::MethodNotFound, "METHOD_NOT_FOUND"),
    (ErrorKind::UnknownInstance, "UNKNOWN_INSTANCE"),
    (ErrorKind::UnknownResource, "UNKNOWN_RESOURCE"),
    (ErrorKind::Timeout, "TIMEOUT"),
    (ErrorKind::Permission, "PERMISSION"),
    (ErrorKind::Busy, "BUSY"),
    (ErrorKind::Disconnected, "DISCONNECTED"),
    (ErrorKind::Absent, "ABSENT"),
    (ErrorKind::Io, "IO"),
    (ErrorKind::NotReady, "NOT_READY"),
    (ErrorKind::Cancelled, "CANCELLED"),
    (ErrorKind::Truncated, "TRUNCATED"),
    (ErrorKind::Unauthenticated, "UNAUTHENTICATED"),
    (ErrorKind::Configuration, "CONFIGURATION"),
    (ErrorKind::Usage, "USAGE"),
    (ErrorKind::Internal, "INTERNAL"),
    (ErrorKind::Device, "DEVICE"),
];

fn reason(kind: ErrorKind) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("DEVICE", |(_, reason)| reason)
}

/// The name of a code as the gRPC documentation writes it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Cuts a message to what every client takes, between characters. What is cut is logged.
pub fn shorten(message: &str) -> Cow<'_, str> {
    // The common case, without counting.
    if message.len() <= MAX_ENCODED / 3 {
        return Cow::Borrowed(message);
    }
    let mut encoded = 0;
    // Where to cut, should it be needed: everything before leaves room for the mark.
    let mut cut = 0;
    for (start, character) in message.char_indices() {
        let length = character.len_utf8();
        // Letters, digits and most punctuation stay; all else is percent-encoded.
        let plain = character.is_ascii_graphic()
            && !matches!(character, '"' | '#' | '%' | '<' | '>' | '`' | '?' | '{' | '}');
        encoded += if plain { 1 } else { 3 * length };
        let end = start + length;
        if end > MAX_MESSAGE || encoded > MAX_ENCODED {
            tracing::warn!(message, "an error message is too long to be sent and was cut");
            return Cow::Owned(format!("{}{CUT}", &message[..cut]));
        }
        if end + CUT.len() <= MAX_MESSAGE && encoded + 3 * CUT.len() <= MAX_ENCODED {
            cut = end;
        }
    }
    Cow::Borrowed(message)
}

/// The innermost cause of an error, which says most: libraries wrap theirs in "transport error" and the like.
pub fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    // A lesson about TLS, with the address of a manual, is what a process that was killed leaves behind.
    if text.contains("close_notify") { CLOSED.to_owned() } else { text }
}

/// What it means for users that the far end of an encrypted connection did not say that it ends.
const CLOSED: &str = "the connection was closed without a word";

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn driver_calls_answer_with_the_codes_of_the_existing_release() {
        for (kind, code) in [
            (ErrorKind::Unsupported, Code::Unimplemented),
            (ErrorKind::InvalidArgument, Code::InvalidArgument),
            (ErrorKind::ArgumentCount, Code::Unknown),
            (ErrorKind::MethodNotFound, Code::NotFound),
            (ErrorKind::UnknownInstance, Code::Unknown),
            (ErrorKind::UnknownResource, Code::Unknown),
            (ErrorKind::Timeout, Code::DeadlineExceeded),
            (ErrorKind::Disconnected, Code::Unknown),
            (ErrorKind::Permission, Code::Unknown),
            (ErrorKind::Absent, Code::Unknown),
            (ErrorKind::Io, Code::Unknown),
            (ErrorKind::Device, Code::Unknown),
            (ErrorKind::NotReady, Code::FailedPrecondition),
            (ErrorKind::Cancelled, Code::Cancelled),
            (ErrorKind::Internal, Code::Internal),
        ] {
            let status = legacy(&Error::new(kind, "text"));
            assert_eq!((status.code(), status.message()), (code, "text"), "{kind:?}");
            assert!(status.details().is_empty(), "recorded trailers have no details");
        }
    }

    #[test]
    fn existing_clients_get_the_words_that_are_meant_for_them() {
        let error = Error::new(ErrorKind::Absent, "there is no such file").told_upstream_as("NotFound => x");
        let error = error.context("reading a");
        assert_eq!(legacy(&error).message(), "reading a: NotFound => x");
        assert_eq!(native(&error).message(), "reading a: there is no such file");
    }

    #[test]
    fn native_calls_bring_the_kind_back() {
        for (kind, _) in KINDS {
            let back = from_status(&native(&Error::new(*kind, "text")), Call::Native);
            assert_eq!((back.kind(), back.message()), (*kind, "text"));
        }
    }

    #[test]
    fn details_of_others_are_no_kind_of_ours() {
        let info = ErrorInfo { reason: "BUSY".to_owned(), domain: "example.com".to_owned() };
        let entry = Any { type_url: ERROR_INFO.to_owned(), value: info.encode_to_vec().into() };
        let theirs = RpcStatus { code: 5, message: String::new(), details: vec![entry] };
        for details in [theirs.encode_to_vec(), b"\xff\xff\xff".to_vec()] {
            let status = Status::with_details(Code::NotFound, "text", details.into());
            assert_eq!(from_status(&status, Call::Unary).kind(), ErrorKind::MethodNotFound);
        }
    }

    #[test]
    fn pitfall_v12_not_found_means_different_things_for_different_calls() {
        let kind = |call| from_status(&Status::not_found("x"), call).kind();
        assert_eq!(kind(Call::Unary), ErrorKind::MethodNotFound);
        assert_eq!(kind(Call::Streaming), ErrorKind::Device);
        assert_eq!(kind(Call::Native), ErrorKind::UnknownInstance);
    }

    #[test]
    fn a_status_without_a_message_still_makes_a_sentence() {
        let error = from_status(&Status::unavailable(""), Call::Unary);
        assert_eq!(error.message(), "the exporter answered UNAVAILABLE without a reason");
    }

    #[test]
    fn a_status_that_was_made_for_lack_of_an_answer_is_a_lost_connection() {
        let broken = io::Error::new(io::ErrorKind::BrokenPipe, "broken pipe");
        for code in [Code::Unknown, Code::Cancelled, Code::Internal, Code::Unavailable] {
            let mut status = Status::new(code, "h2 protocol error: error reading a body from connection");
            status.set_source(std::sync::Arc::new(io::Error::new(broken.kind(), broken.to_string())));
            let error = from_status(&status, Call::Unary);
            assert_eq!(error.kind(), ErrorKind::Disconnected);
            assert_eq!(error.message(), "the connection to the exporter was lost: broken pipe");
            let killed = io::Error::other(
                "peer closed connection without sending TLS close_notify: https://docs.rs/x",
            );
            assert_eq!(innermost(&killed), "the connection was closed without a word");
        }
    }

    #[test]
    fn pitfall_t13_long_messages_are_cut_between_characters() {
        for text in ["x".repeat(100_000), "ü".repeat(50_000), "日本".repeat(20_000), "a b\n".repeat(30_000)]
        {
            let status = legacy(&Error::device(text.clone()));
            let message = status.message();
            assert!(message.len() <= MAX_MESSAGE, "{}", message.len());
            assert!(message.ends_with(CUT));
            assert!(text.starts_with(message.trim_end_matches(CUT)));
            let mut headers = http::HeaderMap::new();
            status.add_header(&mut headers).expect("a header");
            let sent = headers.get("grpc-message").expect("a message").len();
            assert!(sent <= 8 * 1024, "{sent} bytes");
        }
        let fits = "y".repeat(MAX_MESSAGE);
        assert_eq!(legacy(&Error::device(fits.clone())).message(), fits);
    }

    proptest! {
        #[test]
        fn any_message_is_kept_or_cut(text in "\\PC{0,3000}") {
            let short = shorten(&text);
            prop_assert!(short.len() <= MAX_MESSAGE);
            prop_assert!(*short == text || text.starts_with(short.trim_end_matches(CUT)));
        }
    }
}
