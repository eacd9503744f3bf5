//! The one error type that crosses a driver's boundary, and what kind of trouble it stands for.
//!
//! A driver author mostly writes `Error::device("…")` or lets `?` convert; the kind decides which status a caller
//! on the wire sees and which exit code a command ends with. Translation to a gRPC status happens in
//! `jumpstarter-transport`, nowhere else.

use std::{borrow::Cow, error::Error as StdError, fmt, io, sync::Arc};

/// What driver methods and the runtime return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something did not work, with a message fit for the person who asked for it.
///
/// Messages are lower-case fragments without a full stop. The cause, where there is one, is in
/// [`source`](StdError::source) and is never repeated in the message.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    /// What clients of the existing implementation are told instead.
    upstream: Option<Cow<'static, str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kinds of trouble every driver, session and client can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The device or driver cannot do this at all. The only kind that becomes UNIMPLEMENTED.
    Unsupported,
    /// An argument has the wrong type or value; names the argument.
    InvalidArgument,
    /// Too many or too few arguments; upstream answers UNKNOWN to these.
    ArgumentCount,
    /// The driver has no method of this name, or it is not of the kind that was asked for.
    MethodNotFound,
    /// No driver instance has this uuid in this session, or the uuid cannot be read.
    UnknownInstance,
    /// A resource handle that was never issued, was used already, or belongs to another driver.
    UnknownResource,
    /// Something with a time limit took too long.
    Timeout,
    /// The operating system or the device refused access.
    Permission,
    /// Somebody else is using it.
    Busy,
    /// A connection was refused, reset or lost.
    Disconnected,
    /// A file, device node or other thing with a name is not there.
    Absent,
    /// Another input or output error.
    Io,
    /// The exporter does not take driver calls in its present status.
    NotReady,
    /// The operation was cancelled.
    Cancelled,
    /// Data ended before its end was announced, or does not have the length or digest that was announced.
    Truncated,
    /// Wrong or missing credentials.
    Unauthenticated,
    /// A configuration file or value is wrong.
    Configuration,
    /// The person asked for something that makes no sense, for example an unknown device name.
    Usage,
    /// A mistake in a driver or in this framework.
    Internal,
    /// The device reported a failure, or anything that fits nowhere else.
    Device,
}

/// Who has to act: the coarse class behind exit codes and test reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The device under test, or its driver.
    Device,
    /// Network, exporter, controller: everything between the caller and the device.
    Infrastructure,
    /// A file or setting.
    Configuration,
    /// What the caller typed or passed.
    Usage,
}

impl ErrorClass {
    /// Its name, as test reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Infrastructure => "infrastructure",
            Self::Configuration => "configuration",
            Self::Usage => "usage",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ErrorKind {
    /// The class this kind belongs to.
    pub fn class(self) -> ErrorClass {
        match self {
            Self::Disconnected
            | Self::NotReady
            | Self::Cancelled
            | Self::Truncated
            | Self::Internal
            | Self::Unauthenticated
            // Whoever may not do something has no broken device.
            | Self::Permission => ErrorClass::Infrastructure,
            Self::Configuration => ErrorClass::Configuration,
            Self::Usage
            | Self::InvalidArgument
            | Self::ArgumentCount
            | Self::MethodNotFound
            | Self::UnknownInstance
            | Self::UnknownResource => ErrorClass::Usage,
            _ => ErrorClass::Device,
        }
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<Cow<'static, str>>) -> Self { Self::new(ErrorKind::$kind, message) })*
        }
    };
}

constructors! {
    /// The device failed, or any failure that only this driver knows.
    device => Device;
    /// An argument is wrong; the message names it.
    invalid_argument => InvalidArgument;
    /// Something with a time limit took too long.
    timeout => Timeout;
    /// Somebody else is using it.
    busy => Busy;
    /// A connection was refused, reset or lost.
    disconnected => Disconnected;
    /// Data ended early, or is not what was announced.
    truncated => Truncated;
    /// A configuration value is wrong.
    configuration => Configuration;
    /// What was asked for makes no sense.
    usage => Usage;
    /// A mistake in a driver or in the framework.
    internal => Internal;
    /// The operation was cancelled.
    cancelled => Cancelled;
    /// The exporter does not take calls now.
    not_ready => NotReady;
}

impl Error {
    /// An error of this kind with this message.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), upstream: None, source: None }))
    }

    /// The device or driver cannot do this. Meant for default bodies of interface methods.
    pub fn unsupported() -> Self {
        Self::new(ErrorKind::Unsupported, "not supported by this driver")
    }

    /// Like [`Error::unsupported`], saying what is missing.
    pub fn unsupported_because(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Keeps the cause, so that logs can print the whole chain.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Puts words before the message: `opening /dev/ttyUSB0: permission denied`.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message).into();
        if let Some(upstream) = &mut self.0.upstream {
            *upstream = format!("{what}: {upstream}").into();
        }
        self
    }

    /// Has callers of the existing implementation's methods be told these words in place of the message: for errors whose
    /// text its clients show and compare.
    #[must_use]
    pub fn told_upstream_as(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.0.upstream = Some(text.into());
        self
    }

    /// The same message under another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What kind of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message for the caller, without its causes.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What callers of the existing implementation's methods are told: the message, unless the error has other words for
    /// them.
    pub fn upstream_message(&self) -> &str {
        self.0.upstream.as_deref().unwrap_or(&self.0.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?}", self.0.kind, self.0.message)?;
        if let Some(source) = &self.0.source {
            write!(f, ", caused by {source}")?;
        }
        f.write_str(")")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as K;
        // An error that travelled through `io::Error` (adapters of AsyncRead) comes out as it went in.
        if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return ours.clone();
        }
        let kind = match error.kind() {
            K::TimedOut => ErrorKind::Timeout,
            K::PermissionDenied => ErrorKind::Permission,
            K::NotFound => ErrorKind::Absent,
            K::ConnectionRefused
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::NotConnected
            | K::BrokenPipe
            | K::HostUnreachable
            | K::NetworkUnreachable => ErrorKind::Disconnected,
            K::UnexpectedEof => ErrorKind::Truncated,
            K::ResourceBusy | K::AddrInUse => ErrorKind::Busy,
            K::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        Self::new(kind, error.to_string()).caused_by(error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        use io::ErrorKind as K;
        let kind = match error.kind() {
            ErrorKind::Timeout => K::TimedOut,
            ErrorKind::Permission => K::PermissionDenied,
            ErrorKind::Absent => K::NotFound,
            ErrorKind::Disconnected => K::ConnectionAborted,
            ErrorKind::Truncated => K::UnexpectedEof,
            ErrorKind::Busy => K::ResourceBusy,
            ErrorKind::Unsupported => K::Unsupported,
            _ => K::Other,
        };
        io::Error::new(kind, error)
    }
}

macro_rules! argument_errors {
    ($($source:ty),* $(,)?) => {
        $(impl From<$source> for Error {
            fn from(error: $source) -> Self { Self::new(ErrorKind::InvalidArgument, error.to_string()).caused_by(error) }
        })*
    };
}

argument_errors!(
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::net::AddrParseError,
    serde_json::Error,
    url::ParseError,
    uuid::Error,
);

impl From<fmt::Error> for Error {
    fn from(error: fmt::Error) -> Self {
        Self::internal(error.to_string())
    }
}

/// Adds words to the errors of a `Result` on their way up.
pub trait Context<T> {
    /// Puts `what` before the message of the error.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_io_error() {
        let before = Error::truncated("cut at byte 7");
        let io: io::Error = before.into();
        assert_eq!(io.kind(), io::ErrorKind::UnexpectedEof);
        let after = Error::from(io);
        assert_eq!((after.kind(), after.message()), (ErrorKind::Truncated, "cut at byte 7"));
    }

    #[test]
    fn whoever_may_not_do_something_has_no_broken_device() {
        for kind in [ErrorKind::Permission, ErrorKind::Unauthenticated] {
            assert_eq!(kind.class(), ErrorClass::Infrastructure);
        }
    }

    #[test]
    fn context_stands_before_the_message() {
        let error: Result<()> =
            Err(io::Error::from(io::ErrorKind::PermissionDenied)).context("opening /dev/x");
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission);
        assert!(error.message().starts_with("opening /dev/x: "), "{error}");
    }
}
