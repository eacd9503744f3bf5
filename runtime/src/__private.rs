//! Everything that the attributes print names of. Not for people, and not stable.

pub use std::{
    borrow::Cow,
    clone::Clone,
    fmt::Debug,
    future::Future,
    marker::{Send, Sized, Sync},
    option::Option::{self, None, Some},
    result::Result::{Err, Ok},
    sync::Arc,
    unreachable, vec,
    vec::Vec,
};

pub use bytes::Bytes;
pub use prost_types::Value;
pub use schemars;
pub use serde;

pub use jumpstarter_core::{
    Result,
    client::{Client, Target},
    command::{ClientEntry, Command, CommandOption},
    describe::{
        EnumSpec, Exclusive, Field, Framing, Interface, Kind, MessageSpec, Method, Param, Role, Type,
        assert_no_shared_names,
    },
    dispatch::{Args, Argument, Calling, Outcome, Provided, Rest, Returned, blocking, calling, unknown},
    driver::{
        COMPOSITE_CLIENT, Child, ChildSet, ChildSpec, Children, Config, Driver, DriverFactory, DriverSpec,
        DriverTypes, Factory, Hostable, Need, NoChildren, NoConfig, Open, Others,
    },
    generated::*,
    wire::{Depth, Reading, Wire, WireError, WireType, encode_message, take_delimited},
};

pub use std::process::ExitCode;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::Termination,
};

use jumpstarter_core::{Error, ErrorClass};

pub use crate::junit::Test;
use crate::junit::{self, Failure, Reporting};

/// Runs a test on a runtime of its own; several threads, as in an exporter.
pub fn run_test<T: Termination + 'static>(test: Test, body: impl Future<Output = T>) -> ExitCode {
    run(test, async {
        let outcome = body.await;
        report(&outcome);
        Ok(outcome)
    })
}

/// Runs something on a runtime of its own.
pub fn block_on<T>(body: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(body),
        Err(error) => panic!("no runtime for this test: {error}"),
    }
}

/// Something around a test that failed: what, and why.
struct Around(&'static str, Error);

/// Runs a test to its end, and writes down what came of it where that is asked for.
fn run<T: Termination + 'static>(test: Test, body: impl Future<Output = Result<T, Around>>) -> ExitCode {
    let reporting = Reporting::begin(test);
    // Whatever a test leaves in pieces is seen by nobody after it.
    match catch_unwind(AssertUnwindSafe(|| block_on(body))) {
        Ok(Ok(outcome)) => {
            let error = error_of(&outcome);
            let error =
                error.map(|error| Failure { class: error.kind().class(), message: error.to_string() });
            // Prints what others return as errors, as the harness would.
            let code = outcome.report();
            let failure = match (test.should_panic, code == ExitCode::SUCCESS) {
                (Some(_), _) => Some(Failure::of_device("it did not panic")),
                (None, true) => None,
                (None, false) => Some(error.unwrap_or_else(|| {
                    Failure::of_device("it returned an error, which is in what it printed")
                })),
            };
            finish(reporting, failure.as_ref());
            code
        }
        Ok(Err(Around(what, error))) => {
            let class = error.kind().class();
            let message = format!("{what}: {error}");
            finish(reporting, Some(&Failure { class, message: message.clone() }));
            tell(class);
            panic!("{message}")
        }
        Err(panic) => {
            finish(reporting, junit::of_panic(&test, &*panic).as_ref());
            resume_unwind(panic)
        }
    }
}

/// Writes a report, if it is asked for. One that cannot be written must not be missed.
#[expect(clippy::print_stderr, reason = "the harness of tests catches what is printed")]
fn finish(reporting: Option<Reporting>, failure: Option<&Failure>) {
    match reporting.map(|reporting| reporting.end(failure)) {
        None | Some(Ok(())) => {}
        // The test says more than its report.
        Some(Err(error)) if failure.is_some() => eprintln!("{error}"),
        Some(Err(error)) => panic!("{error}"),
    }
}

fn error_of<T: 'static>(outcome: &T) -> Option<&Error> {
    let outcome: &dyn Any = outcome;
    outcome.downcast_ref::<Result<()>>()?.as_ref().err()
}

/// Says who has to act if a test failed with an error of ours.
fn report<T: 'static>(outcome: &T) -> bool {
    let error = error_of(outcome);
    if let Some(error) = error {
        tell(error.kind().class());
    }
    error.is_some()
}

/// A line of its own, which programs that gather results of tests keep with the test.
#[expect(
    clippy::print_stderr,
    reason = "the harness of tests catches what is printed, and shows it if they fail"
)]
fn tell(class: ErrorClass) {
    eprintln!("jumpstarter.kind: {class}");
}

/// Tests that lease an exporter.
#[cfg(feature = "client")]
pub mod leasing {
    use std::process::{ExitCode, Termination};

    use jumpstarter_core::{Delay, Result};
    use jumpstarter_lease::{Leased, leased::Request};

    use super::{Around, Test, report, run};

    /// Runs a test with an exporter that has this.
    #[expect(clippy::print_stderr, reason = "the harness of tests catches what is printed")]
    pub fn run_test<T: Termination + 'static>(
        test: Test,
        wants: &[(&str, &str)],
        body: impl AsyncFnOnce(&Leased) -> T,
    ) -> ExitCode {
        run(test, async {
            let request = request(wants).map_err(|error| Around("the attribute of this test", error))?;
            let leased = request.await.map_err(|error| Around("no exporter for this test", error))?;
            // A panic drops it, and that gives it back.
            let outcome = body(&leased).await;
            let failed = report(&outcome);
            match leased.release().await {
                Err(error) if failed => eprintln!("giving the lease back: {error}"),
                Err(error) => return Err(Around("giving the lease back", error)),
                Ok(()) => {}
            }
            Ok(outcome)
        })
    }

    fn request(wants: &[(&str, &str)]) -> Result<Request> {
        let length = |key: &str, text: &str| {
            let length: Result<Delay, _> = text.parse();
            length.map(Delay::get).map_err(|_| {
                jumpstarter_core::Error::usage(format!(
                    "`{key} = {text:?}` is no length of time: write `10m`"
                ))
            })
        };
        let mut request = crate::lease();
        for (key, text) in wants {
            request = match *key {
                "selector" => request.selector(*text),
                "exporter" => request.exporter(*text),
                "client" => request.client(*text),
                "duration" => request.duration(length(key, text)?),
                _ => request.timeout(length(key, text)?),
            };
        }
        Ok(request)
    }
}
