//! Log lines of a session in this process, on their way to standard error.

use jumpstarter_protocol::v1::{LogSource, LogStreamResponse};

/// Shows a line. Unless everything is wanted, drivers and exporter are heard only when something is wrong: what they say
/// all the time would look as if the command in front had said it.
pub(crate) fn line(line: &LogStreamResponse, everything: bool) {
    let (source, hook) = match line.source() {
        LogSource::Driver => ("exporter:driver", false),
        LogSource::BeforeLeaseHook => ("exporter:beforeLease", true),
        LogSource::AfterLeaseHook => ("exporter:afterLease", true),
        LogSource::System | LogSource::Unspecified => ("exporter:system", false),
    };
    let message = line.message.as_str();
    match line.severity.as_str() {
        "ERROR" | "CRITICAL" => tracing::error!(source, "{message}"),
        "WARNING" => tracing::warn!(source, "{message}"),
        "DEBUG" if everything => tracing::debug!(source, "{message}"),
        _ if everything || hook => tracing::info!(source, "{message}"),
        _ => {}
    }
}
