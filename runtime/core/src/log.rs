//! What drivers say while they work, on its way to whoever listens.

use std::{cell::Cell, fmt, marker::PhantomData, sync::Arc};

use uuid::Uuid;

/// How important a record is. The names are the ones on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Details for somebody who searches.
    Debug,
    /// What happens.
    Info,
    /// Something is odd.
    Warning,
    /// Something failed.
    Error,
    /// Nothing works any more.
    Critical,
}

impl Severity {
    /// The name on the wire. Upper case: a lower-case name ends the log of an upstream client.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// A driver.
    Driver,
    /// The hook before a lease.
    BeforeLeaseHook,
    /// The hook after a lease.
    AfterLeaseHook,
    /// The exporter itself.
    System,
}

/// One line, or a few that belong together.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// The driver instance, if one is speaking.
    pub uuid: Option<Uuid>,
    /// How important.
    pub severity: Severity,
    /// Who.
    pub source: LogSource,
    /// What.
    pub message: String,
    /// The driver's public name, for example `mock-power`; empty if unknown.
    pub driver_type: String,
    /// The method being carried out; empty if none.
    pub operation: String,
    /// Further facts, for example `progress.done`.
    pub fields: Vec<(String, String)>,
}

/// Takes records. Must not block: it is called from driver code.
pub trait LogSink: Send + Sync {
    /// Takes one record.
    fn log(&self, record: LogRecord);
}

thread_local! {
    static DOING: Cell<Option<(Uuid, &'static str)>> = const { Cell::new(None) };
}

/// As long as this is there, the driver instance carries out a method on this thread: what its [`Logger`] says here is said about
/// that method, although the driver has had the logger since it was opened.
#[derive(Debug)]
pub struct Doing {
    before: Option<(Uuid, &'static str)>,
    /// It belongs to its thread.
    _here: PhantomData<*const ()>,
}

impl Doing {
    /// Begins: this instance, this method.
    pub fn begin(uuid: Uuid, operation: &'static str) -> Self {
        Self::resume(Some((uuid, operation)))
    }

    /// What is being carried out on this thread, to be resumed on another one.
    pub fn current() -> Option<(Uuid, &'static str)> {
        DOING.get()
    }

    /// Goes on with what was [`current`](Self::current) elsewhere.
    pub fn resume(what: Option<(Uuid, &'static str)>) -> Self {
        Self { before: DOING.replace(what), _here: PhantomData }
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        DOING.set(self.before);
    }
}

impl Voice {
    /// Its own method, or the one that its driver carries out here and now. Another driver's is none of its business.
    fn operation_now(&self) -> String {
        match Doing::current() {
            Some((uuid, operation)) if self.operation.is_empty() && Some(uuid) == self.uuid => {
                operation.to_owned()
            }
            _ => self.operation.clone(),
        }
    }
}

/// A driver's or call's way to say something to whoever uses the device.
#[derive(Clone, Default)]
pub struct Logger(Option<Arc<Voice>>);

struct Voice {
    sink: Arc<dyn LogSink>,
    uuid: Option<Uuid>,
    driver_type: String,
    operation: String,
}

impl Logger {
    /// Speaks for a driver instance.
    pub fn for_driver(sink: Arc<dyn LogSink>, uuid: Uuid, driver_type: impl Into<String>) -> Self {
        Self(Some(Arc::new(Voice {
            sink,
            uuid: Some(uuid),
            driver_type: driver_type.into(),
            operation: String::new(),
        })))
    }

    /// The same voice while it carries out a method.
    #[must_use]
    pub fn during(&self, operation: &str) -> Self {
        Self(self.0.as_ref().map(|voice| {
            Arc::new(Voice {
                sink: voice.sink.clone(),
                uuid: voice.uuid,
                driver_type: voice.driver_type.clone(),
                operation: operation.to_owned(),
            })
        }))
    }

    /// Says something, with further facts.
    pub fn log(&self, severity: Severity, message: impl Into<String>, fields: Vec<(String, String)>) {
        if let Some(voice) = &self.0 {
            voice.sink.log(LogRecord {
                uuid: voice.uuid,
                severity,
                source: LogSource::Driver,
                message: message.into(),
                driver_type: voice.driver_type.clone(),
                operation: voice.operation_now(),
                fields,
            });
        }
    }

    /// Passes on what something else said that the driver uses, a library for example: it comes from the exporter, not
    /// from the device.
    pub fn system(&self, severity: Severity, message: impl Into<String>) {
        if let Some(voice) = &self.0 {
            voice.sink.log(LogRecord {
                uuid: None,
                severity,
                source: LogSource::System,
                message: message.into(),
                driver_type: String::new(),
                operation: String::new(),
                fields: Vec::new(),
            });
        }
    }

    /// Details for somebody who searches.
    pub fn debug(&self, message: impl Into<String>) {
        self.log(Severity::Debug, message, Vec::new());
    }

    /// What happens.
    pub fn info(&self, message: impl Into<String>) {
        self.log(Severity::Info, message, Vec::new());
    }

    /// Something is odd.
    pub fn warn(&self, message: impl Into<String>) {
        self.log(Severity::Warning, message, Vec::new());
    }

    /// Something failed.
    pub fn error(&self, message: impl Into<String>) {
        self.log(Severity::Error, message, Vec::new());
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logger")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<(String, String)>>);

    impl LogSink for Heard {
        fn log(&self, record: LogRecord) {
            self.0.lock().unwrap().push((record.message, record.operation));
        }
    }

    #[test]
    fn what_a_driver_says_while_it_carries_out_a_method_is_about_that_method() {
        let heard = Arc::new(Heard::default());
        let [uuid, other] = [1, 2].map(Uuid::from_u128);
        let logger = Logger::for_driver(heard.clone(), uuid, "mock-power");
        logger.info("opened");
        {
            let _on = Doing::begin(uuid, "on");
            logger.info("on");
            logger.during("cycle").info("its own");
            Logger::for_driver(heard.clone(), other, "other").info("a child");
            {
                let _inner = Doing::begin(other, "read");
                logger.info("called back");
            }
            logger.info("on again");
            let doing = Doing::current();
            let elsewhere = logger.clone();
            std::thread::spawn(move || {
                elsewhere.info("on a thread that knows nothing");
                let _on = Doing::resume(doing);
                elsewhere.info("on another thread");
            })
            .join()
            .unwrap();
        }
        logger.info("idle");
        let said = heard.0.lock().unwrap().clone();
        let expected = [
            ("opened", ""),
            ("on", "on"),
            ("its own", "cycle"),
            ("a child", ""),
            ("called back", ""),
            ("on again", "on"),
            ("on a thread that knows nothing", ""),
            ("on another thread", "on"),
            ("idle", ""),
        ];
        assert_eq!(said, expected.map(|(message, operation)| (message.to_owned(), operation.to_owned())));
    }
}
