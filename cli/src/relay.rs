//! Log lines of a session in this process, on their way to standard error.

use std::collections::HashMap;

use jumpstarter_protocol::v1::{LogSource, LogStreamResponse};
use tracing::Level;

use crate::logging::{self, Record};

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
    let level = match line.severity.as_str() {
        "ERROR" | "CRITICAL" => Level::ERROR,
        "WARNING" => Level::WARN,
        "DEBUG" if everything => Level::DEBUG,
        _ if everything || hook => Level::INFO,
        _ => return,
    };
    if let Some(records) = logging::records() {
        return records.write(record(line, level, source));
    }
    match level {
        Level::ERROR => tracing::error!(source, "{message}"),
        Level::WARN => tracing::warn!(source, "{message}"),
        Level::DEBUG => tracing::debug!(source, "{message}"),
        _ => tracing::info!(source, "{message}"),
    }
}

/// The same as a record, with everything that is known of it.
fn record(line: &LogStreamResponse, level: Level, source: &str) -> Record {
    let driver_type = line.driver_type.as_deref().unwrap_or_default();
    let logger = match line.source() {
        LogSource::Driver if driver_type.is_empty() => "driver".to_owned(),
        LogSource::Driver => format!("driver.{driver_type}"),
        LogSource::BeforeLeaseHook => "hook.beforeLease".to_owned(),
        LogSource::AfterLeaseHook => "hook.afterLease".to_owned(),
        LogSource::System | LogSource::Unspecified => "session".to_owned(),
    };
    let said = line.timestamp.as_ref().and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok());
    Record {
        at: said.unwrap_or_else(jiff::Timestamp::now),
        level,
        logger,
        source: source.to_owned(),
        message: line.message.clone(),
        facts: [
            ("uuid", line.uuid.as_str()),
            ("driver_type", driver_type),
            ("operation", line.operation.as_deref().unwrap_or_default()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect(),
        further: further(&line.structured_fields),
    }
}

/// What a driver calls its facts, it decides alone, so those go last, and in the order of their names.
fn further(fields: &HashMap<String, String>) -> Vec<(String, String)> {
    let mut fields: Vec<_> = fields.clone().into_iter().collect();
    fields.sort();
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(source: LogSource) -> LogStreamResponse {
        LogStreamResponse {
            uuid: "7c5e7f0e-1111-4222-8333-444455556666".into(),
            severity: "WARNING".into(),
            message: "sending on".into(),
            source: Some(source.into()),
            driver_type: Some("http-power".into()),
            operation: Some("on".into()),
            timestamp: Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }),
            structured_fields: HashMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]),
            told_before: None,
        }
    }

    #[test]
    fn a_record_of_a_driver_keeps_what_the_driver_said_and_when() {
        let record = record(&said(LogSource::Driver), Level::WARN, "exporter:driver");
        assert_eq!((record.logger.as_str(), record.level), ("driver.http-power", Level::WARN));
        assert_eq!(record.at.to_string(), "1970-01-01T00:00:01.5Z");
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let facts = [
            ("uuid", "7c5e7f0e-1111-4222-8333-444455556666"),
            ("driver_type", "http-power"),
            ("operation", "on"),
        ];
        assert_eq!(record.facts, pairs(&facts));
        assert_eq!(record.further, pairs(&[("a", "1"), ("b", "2")]));
    }

    #[test]
    fn the_logger_is_whoever_spoke() {
        let logger = |line: &LogStreamResponse| record(line, Level::INFO, "").logger;
        assert_eq!(logger(&said(LogSource::BeforeLeaseHook)), "hook.beforeLease");
        assert_eq!(logger(&said(LogSource::AfterLeaseHook)), "hook.afterLease");
        assert_eq!(logger(&said(LogSource::System)), "session");
        assert_eq!(logger(&LogStreamResponse { driver_type: None, ..said(LogSource::Driver) }), "driver");
    }
}
