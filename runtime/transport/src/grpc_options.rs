//! What the `grpcOptions` of a file change of our connections: gRPC's channel arguments by their names.
//!
//! They are those of gRPC's core library (`include/grpc/impl/channel_arg_names.h`). Most of them set up what only that library
//! has; the ones that are about the connection itself hold here as well:
//!
//! | Option | Meaning |
//! |---|---|
//! | `grpc.keepalive_time_ms` | after how much silence the other side is asked whether it is there, in milliseconds |
//! | `grpc.keepalive_timeout_ms` | how long it has for the answer, in milliseconds |
//! | `grpc.keepalive_permit_without_calls` | whether it is asked also while nothing goes on; it always is |

use std::time::Duration;

use jumpstarter_core::{Error, Result, config::GrpcOption};

use crate::connect::Liveness;

const ASK_AFTER: &str = "grpc.keepalive_time_ms";
const ANSWER_WITHIN: &str = "grpc.keepalive_timeout_ms";
const WITHOUT_CALLS: &str = "grpc.keepalive_permit_without_calls";

/// `INT_MAX`, which means "never" in gRPC's core library.
const NEVER: i64 = i32::MAX as i64;

/// What was read of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcOptions {
    ask_after: Option<Duration>,
    answer_within: Option<Duration>,
    unused: Vec<String>,
}

impl GrpcOptions {
    /// Reads them.
    ///
    /// # Errors
    /// When one that means something here has a value that means nothing; names it and says what to write.
    pub fn read<'a>(options: impl IntoIterator<Item = (&'a String, &'a GrpcOption)>) -> Result<Self> {
        let mut read = Self::default();
        for (name, value) in options {
            match name.as_str() {
                ASK_AFTER => read.ask_after = Some(milliseconds(name, value)?),
                ANSWER_WITHIN => read.answer_within = Some(milliseconds(name, value)?),
                WITHOUT_CALLS if number(value).is_some_and(|value| value != 0) => {}
                _ => read.unused.push(name.clone()),
            }
        }
        Ok(read)
    }

    /// Those that have no effect here, in the order of the file.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// How a connection is checked that would be checked in this way without them.
    #[must_use]
    pub fn liveness(&self, usual: Liveness) -> Liveness {
        Liveness {
            ask_after: self.ask_after.unwrap_or(usual.ask_after),
            answer_within: self.answer_within.unwrap_or(usual.answer_within),
        }
    }
}

fn number(value: &GrpcOption) -> Option<i64> {
    match value {
        GrpcOption::Int(number) => Some(*number),
        GrpcOption::Text(text) => text.trim().parse().ok(),
    }
}

fn milliseconds(name: &str, value: &GrpcOption) -> Result<Duration> {
    let number = number(value).and_then(|number| u64::try_from(number.min(NEVER)).ok()).filter(|it| *it > 0);
    number.map(Duration::from_millis).ok_or_else(|| {
        Error::configuration(format!(
            "`grpcOptions`: {name} is a number of milliseconds and more than 0: write for example `{name}: 20000`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, GrpcOption)]) -> Result<GrpcOptions> {
        let options: Vec<_> =
            options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        GrpcOptions::read(options.iter().map(|(name, value)| (name, value)))
    }

    #[test]
    fn what_is_about_the_connection_holds_and_the_rest_is_named() {
        let read = read(&[
            ("grpc.keepalive_time_ms", GrpcOption::Int(5000)),
            ("grpc.keepalive_timeout_ms", GrpcOption::Text("1500".to_owned())),
            ("grpc.keepalive_permit_without_calls", GrpcOption::Int(1)),
            ("grpc.lb_policy_name", GrpcOption::Text("round_robin".to_owned())),
        ]);
        let read = read.expect("options");
        let wanted =
            Liveness { ask_after: Duration::from_secs(5), answer_within: Duration::from_millis(1500) };
        assert_eq!(read.liveness(Liveness::WATCHED), wanted);
        assert_eq!(read.unused(), ["grpc.lb_policy_name"]);
    }

    #[test]
    fn without_them_everything_is_as_usual() {
        assert_eq!(read(&[]).expect("none").liveness(Liveness::QUIET), Liveness::QUIET);
    }

    #[test]
    fn a_time_that_is_none_is_refused_with_what_to_write() {
        for value in [GrpcOption::Int(0), GrpcOption::Int(-1), GrpcOption::Text("20s".to_owned())] {
            let error = read(&[("grpc.keepalive_time_ms", value)]).expect_err("no time");
            assert!(error.message().contains("write for example `grpc.keepalive_time_ms: 20000`"), "{error}");
        }
    }

    #[test]
    fn what_means_never_elsewhere_is_a_very_long_time() {
        let read = read(&[("grpc.keepalive_time_ms", GrpcOption::Int(i64::MAX))]).expect("options");
        assert!(read.liveness(Liveness::QUIET).ask_after > Duration::from_hours(500));
    }
}
