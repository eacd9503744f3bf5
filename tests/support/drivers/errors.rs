//! The driver behind the recordings' `errors` instance: `compatibility/errors_driver.json`, method by method.
//!
//! Where the original raises an exception, this one answers with the kind of error that has the recorded status, and with
//! the same text. Where the original's text came from Python itself, the runtime's own error stands in its place.

use futures::stream;
use jumpstarter::log::{Logger, Severity};
use jumpstarter::types::{Bytes, Delay, Uuid, Value};
use jumpstarter::wire::value;
use jumpstarter::{Driver, Error, ErrorKind, Io, NoConfig, Open, Result, Stream, driver, interface, message};

/// Every way to answer and to fail.
#[interface(
    name = "errors",
    version = 1,
    package = "example",
    python = "jumpstarter.client.base.DriverClient"
)]
pub trait Errors {
    /// The arguments, as a list.
    async fn echo(&self, #[rest] args: Vec<Value>) -> Result<Vec<Value>>;
    /// The same, on a thread that may block.
    #[blocking]
    fn sync_echo(&self, #[rest] args: Vec<Value>) -> Result<Vec<Value>>;
    /// What Python calls the arguments' types.
    async fn types_of(&self, #[rest] args: Vec<Value>) -> Result<Vec<String>>;
    /// Types that travel as text.
    async fn rich(&self) -> Result<Rich>;
    /// The sum of two numbers.
    async fn add(&self, a: Value, b: Option<f64>) -> Result<f64>;
    /// A wrong value.
    async fn value_error(&self) -> Result<()>;
    /// The same, on a thread that may block.
    #[blocking]
    fn value_error_sync(&self) -> Result<()>;
    /// Something that is not supported.
    async fn not_implemented(&self) -> Result<()>;
    /// The same without a reason.
    async fn not_implemented_bare(&self) -> Result<()>;
    /// Something that took too long.
    async fn timeout_error(&self) -> Result<()>;
    /// The same without a reason.
    async fn fail_after(&self) -> Result<()>;
    /// A program that took too long, which the original does not count as a timeout.
    async fn subprocess_timeout(&self) -> Result<()>;
    /// Any other failure.
    async fn runtime_error(&self) -> Result<()>;
    /// The same without a reason.
    async fn runtime_error_empty(&self) -> Result<()>;
    /// Something that is not there.
    async fn key_error(&self) -> Result<()>;
    /// A file that is not there.
    async fn os_error(&self) -> Result<()>;
    /// A peer that does not listen.
    async fn connection_refused(&self) -> Result<()>;
    /// A condition that does not hold.
    async fn assertion(&self) -> Result<()>;
    /// A failure with a cause.
    async fn chained(&self) -> Result<()>;
    /// Two failures at once.
    async fn exception_group(&self) -> Result<()>;
    /// Something inside was given up.
    async fn cancelled(&self) -> Result<()>;
    /// A text that is not ASCII.
    async fn unicode_message(&self) -> Result<()>;
    /// A text of two lines.
    async fn multiline_message(&self) -> Result<()>;
    /// A text of so many characters.
    async fn long_message(&self, n: u32) -> Result<()>;
    /// A text that is no number, found by the driver itself.
    async fn pydantic_validation(&self) -> Result<()>;
    /// The number, which has to be whole.
    async fn validated(&self, n: i64, mode: Option<String>) -> Result<i64>;
    /// The end of something, outside of any stream.
    async fn stop_iteration(&self) -> Result<()>;
    /// A result that no value can hold.
    async fn unserializable(&self) -> Result<()>;
    /// A result that is no text.
    async fn bytes_not_utf8(&self) -> Result<Bytes>;
    /// A result that is no number.
    async fn nan(&self) -> Result<f64>;
    /// So many numbers.
    async fn count(&self, n: u64) -> Result<Stream<u64>>;
    /// The same, begun on a thread that may block.
    #[blocking]
    fn count_sync(&self, n: u64) -> Result<Stream<u64>>;
    /// So many numbers, then a wrong value.
    async fn count_then_fail(&self, n: u64) -> Result<Stream<u64>>;
    /// So many numbers, then another failure.
    async fn count_then_runtime_error(&self, n: u64) -> Result<Stream<u64>>;
    /// No numbers.
    async fn empty_stream(&self) -> Result<Stream<u64>>;
    /// A stream that is not supported.
    async fn stream_not_implemented(&self) -> Result<Stream<u64>>;
    /// Log lines at every level.
    async fn log(&self) -> Result<()>;
    /// A byte stream to a peer that does not listen.
    async fn connect_fails(&self) -> Result<Io>;
    /// A byte stream that cannot be opened because of a wrong value.
    async fn connect_value_error(&self) -> Result<Io>;
}

/// Types that travel as text.
#[message]
pub struct Rich {
    /// A UUID.
    pub u: Uuid,
    /// A length of time.
    pub t: Delay,
    /// A decimal number.
    pub d: String,
    /// Bytes that are text.
    pub b: Bytes,
    /// Values of several types.
    pub l: Vec<Value>,
}

/// Answers and fails in every way.
#[driver(type = "test-errors", provides(Errors), aliases("golden_drivers.Errors"))]
pub struct ErrorsDriver {
    logger: Logger,
}

impl Driver for ErrorsDriver {
    async fn open(_: NoConfig, cx: &mut Open) -> Result<Self> {
        Ok(Self { logger: cx.logger() })
    }
}

fn numbers_then(n: u64, end: Option<Error>) -> Stream<u64> {
    Stream::new(stream::iter((0..n).map(Ok).chain(end.map(Err))))
}

impl Errors for ErrorsDriver {
    async fn echo(&self, args: Vec<Value>) -> Result<Vec<Value>> {
        Ok(args)
    }

    fn sync_echo(&self, args: Vec<Value>) -> Result<Vec<Value>> {
        Ok(args)
    }

    async fn types_of(&self, args: Vec<Value>) -> Result<Vec<String>> {
        Ok(args.iter().map(|value| python_type(value).to_owned()).collect())
    }

    async fn rich(&self) -> Result<Rich> {
        Ok(Rich {
            u: Uuid::from_u128(1),
            t: Delay::from_secs(90.0).map_err(|error| Error::internal(error.to_string()))?,
            d: "1.10".to_owned(),
            b: Bytes::from_static(b"bytes"),
            l: vec![value::number(1.0), value::null(), value::boolean(true)],
        })
    }

    async fn add(&self, a: Value, b: Option<f64>) -> Result<f64> {
        let Some(prost_types::value::Kind::NumberValue(a)) = a.kind else {
            return Err(Error::device("can only concatenate str (not \"int\") to str"));
        };
        Ok(a + b.unwrap_or(10.0))
    }

    async fn value_error(&self) -> Result<()> {
        Err(Error::invalid_argument("bad value"))
    }

    fn value_error_sync(&self) -> Result<()> {
        Err(Error::invalid_argument("bad value, sync"))
    }

    async fn not_implemented(&self) -> Result<()> {
        Err(Error::unsupported_because("not here"))
    }

    async fn not_implemented_bare(&self) -> Result<()> {
        Err(Error::unsupported_because(""))
    }

    async fn timeout_error(&self) -> Result<()> {
        Err(Error::timeout("too slow"))
    }

    async fn fail_after(&self) -> Result<()> {
        Err(Error::timeout(""))
    }

    async fn subprocess_timeout(&self) -> Result<()> {
        Err(Error::device("Command '['sleep', '5']' timed out after 1 seconds"))
    }

    async fn runtime_error(&self) -> Result<()> {
        Err(Error::device("something broke"))
    }

    async fn runtime_error_empty(&self) -> Result<()> {
        Err(Error::device(""))
    }

    async fn key_error(&self) -> Result<()> {
        Err(Error::new(ErrorKind::Absent, "'k'"))
    }

    async fn os_error(&self) -> Result<()> {
        Err(Error::new(ErrorKind::Absent, "[Errno 2] No such file or directory: '/no/such/file'"))
    }

    async fn connection_refused(&self) -> Result<()> {
        Err(Error::disconnected("[Errno 111] Connection refused"))
    }

    async fn assertion(&self) -> Result<()> {
        Err(Error::device("one is not two"))
    }

    async fn chained(&self) -> Result<()> {
        let cause = Error::new(ErrorKind::Io, "inner");
        Err(Error::device(format!("outer (Caused by: {cause})")).caused_by(cause))
    }

    async fn exception_group(&self) -> Result<()> {
        Err(Error::device("group (2 sub-exceptions)"))
    }

    async fn cancelled(&self) -> Result<()> {
        Err(Error::cancelled("cancelled inside"))
    }

    async fn unicode_message(&self) -> Result<()> {
        Err(Error::device("caf\u{e9} 100% \u{4e16}\u{754c}"))
    }

    async fn multiline_message(&self) -> Result<()> {
        Err(Error::device("line 1\nline 2\r\n\ttabbed"))
    }

    async fn long_message(&self, n: u32) -> Result<()> {
        Err(Error::device("x".repeat(usize::try_from(n).unwrap_or_default())))
    }

    async fn pydantic_validation(&self) -> Result<()> {
        let number: i64 = "nope".parse()?;
        Err(Error::internal(format!("{number} should not be a number")))
    }

    async fn validated(&self, n: i64, _mode: Option<String>) -> Result<i64> {
        Ok(n)
    }

    async fn stop_iteration(&self) -> Result<()> {
        Err(Error::device("stop"))
    }

    async fn unserializable(&self) -> Result<()> {
        Err(Error::invalid_argument("this result has no form on the wire"))
    }

    async fn bytes_not_utf8(&self) -> Result<Bytes> {
        Ok(Bytes::from_static(b"\xff"))
    }

    async fn nan(&self) -> Result<f64> {
        Ok(f64::NAN)
    }

    async fn count(&self, n: u64) -> Result<Stream<u64>> {
        Ok(numbers_then(n, None))
    }

    fn count_sync(&self, n: u64) -> Result<Stream<u64>> {
        Ok(numbers_then(n, None))
    }

    async fn count_then_fail(&self, n: u64) -> Result<Stream<u64>> {
        Ok(numbers_then(n, Some(Error::invalid_argument("after the items"))))
    }

    async fn count_then_runtime_error(&self, n: u64) -> Result<Stream<u64>> {
        Ok(numbers_then(n, Some(Error::device("after the items"))))
    }

    async fn empty_stream(&self) -> Result<Stream<u64>> {
        Ok(numbers_then(0, None))
    }

    async fn stream_not_implemented(&self) -> Result<Stream<u64>> {
        Err(Error::unsupported_because(""))
    }

    async fn log(&self) -> Result<()> {
        let log = &self.logger;
        log.debug("a debug line");
        log.info(format!("an info line, arg={}", 42));
        log.warn("a warning line");
        log.error("an error line");
        log.log(Severity::Critical, "a critical line\nwith a second line", Vec::new());
        log.system(Severity::Warning, "from another logger");
        log.system(Severity::Info, "info from another logger");
        log.error("an exception line");
        Ok(())
    }

    async fn connect_fails(&self) -> Result<Io> {
        Err(Error::disconnected("[Errno 111] Connection refused"))
    }

    async fn connect_value_error(&self) -> Result<Io> {
        Err(Error::invalid_argument("bad stream"))
    }
}

fn python_type(value: &Value) -> &'static str {
    use prost_types::value::Kind;
    match &value.kind {
        None | Some(Kind::NullValue(_)) => "NoneType",
        Some(Kind::BoolValue(_)) => "bool",
        Some(Kind::NumberValue(_)) => "float",
        Some(Kind::StringValue(_)) => "str",
        Some(Kind::ListValue(_)) => "list",
        Some(Kind::StructValue(_)) => "dict",
    }
}
