//! Leases as rows and as data for programs, and times as people read them.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use jumpstarter_lease::{Lease, Standing, lease::Condition};
use serde::Serialize;

use crate::{
    output::{self, Format, Room},
    report::Stop,
    style::{self, printable},
};

/// Columns of leases.
const LEASE: [&str; 7] = ["NAME", "SELECTOR", "EXPIRES AT", "REMAINING", "CLIENT", "EXPORTER", "TAGS"];

/// A moment in local time: `2026-11-20 22:43:48`.
pub(crate) fn local(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long something still lasts: `1d 2h 59m`, whole minutes.
pub(crate) fn remaining(left: Duration) -> String {
    let minutes = left.as_secs() / 60;
    let (days, hours, rest) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    let mut parts = Vec::new();
    for (count, unit) in [(days, "d"), (hours, "h")] {
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }
    if rest > 0 || parts.is_empty() {
        parts.push(format!("{rest}m"));
    }
    parts.join(" ")
}

/// About how long, in words: `5 minutes`, `40 seconds`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = if seconds >= 90 { ((seconds + 30) / 60, "minute") } else { (seconds, "second") };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// `k=v,k=v`.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let mut pairs: Vec<_> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    printable(&pairs.join(","))
}

/// Where a lease stands, in a few words.
fn status(lease: &Lease, now: Timestamp) -> &'static str {
    match lease.standing() {
        Standing::Ready => "Ready",
        Standing::Waiting(_) if lease.scheduled(now).is_some() => "Scheduled",
        Standing::Waiting(_) | Standing::Again(_) => "Pending",
        Standing::Unsatisfiable(_) => "Unsatisfiable",
        Standing::Invalid(_) => "Invalid",
        Standing::Over(_) => "Ended",
    }
}

fn row(lease: &Lease, now: Timestamp, wide: bool) -> Vec<String> {
    let left = lease.ends().map(|ends| {
        let left = lease.remaining(now).unwrap_or_default();
        if ends <= now && left.is_zero() { "expired".to_owned() } else { remaining(left) }
    });
    let mut row = vec![
        printable(&lease.name),
        printable(&lease.selector),
        lease.ends().map(local).unwrap_or_default(),
        left.unwrap_or_default(),
        printable(&lease.client),
        printable(&lease.exporter),
        pairs(&lease.tags),
    ];
    if wide {
        row.push(status(lease, now).to_owned());
        let why = match lease.standing() {
            Standing::Ready => String::new(),
            Standing::Waiting(why)
            | Standing::Again(why)
            | Standing::Unsatisfiable(why)
            | Standing::Invalid(why)
            | Standing::Over(why) => printable(&why),
        };
        row.push(why);
    }
    row
}

/// Prints leases as a table.
pub(crate) fn leases(leases: &[Lease], wide: bool, room: Room) -> Result<(), Stop> {
    let now = Timestamp::now();
    let mut titles = LEASE.to_vec();
    if wide {
        titles.extend(["STATUS", "REASON"]);
    }
    let rows: Vec<_> = leases.iter().map(|lease| row(lease, now, wide)).collect();
    output::resources(&titles, &rows, room)
}

/// Prints one lease as it was asked for.
pub(crate) fn lease(lease: &Lease, format: Format) -> Result<(), Stop> {
    deprecated(std::slice::from_ref(lease));
    match format {
        Format::Json => output::json(&Shown::of(lease)),
        Format::Yaml => output::sorted_yaml(&Shown::of(lease)),
        Format::Name => output::line(&lease.name),
        Format::Table(room) => leases(std::slice::from_ref(lease), false, room),
    }
}

/// Says when a lease begins that does so later.
pub(crate) fn begins(lease: &Lease) {
    let now = Timestamp::now();
    if let Some(begin) = lease.scheduled(now) {
        let left = Duration::try_from(begin.duration_since(now)).unwrap_or_default();
        output::notice(&format!(
            "Lease {} begins at {}, in {}.",
            printable(&lease.name),
            local(begin),
            if left.as_secs() < 60 { span(left) } else { remaining(left) }
        ));
    }
}

/// Says which labels of selectors will go away.
pub(crate) fn deprecated(leases: &[Lease]) {
    for lease in leases {
        for label in lease.deprecated_labels.keys() {
            output::notice(&format!(
                "{} selector label '{}' on lease '{}' is deprecated",
                style::warning(),
                printable(label),
                printable(&lease.name)
            ));
        }
    }
}

/// A lease for programs, with the keys of existing clients.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'a> {
    namespace: &'a str,
    name: &'a str,
    selector: &'a str,
    exporter_name: Option<&'a str>,
    tags: &'a BTreeMap<String, String>,
    context: &'a BTreeMap<String, String>,
    /// Seconds.
    duration: Option<f64>,
    effective_duration: Option<f64>,
    begin_time: Option<String>,
    client: &'a str,
    exporter: &'a str,
    conditions: Vec<ShownCondition<'a>>,
    effective_begin_time: Option<String>,
    effective_end_time: Option<String>,
    deprecated_labels: &'a BTreeMap<String, String>,
}

/// A condition, as protobuf's JSON has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownCondition<'a> {
    r#type: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_transition_time: Option<Moment>,
    reason: &'a str,
    message: &'a str,
}

#[derive(Debug, Serialize)]
struct Moment {
    /// 64-bit numbers are text in protobuf's JSON.
    seconds: String,
    nanos: i32,
}

impl<'a> ShownCondition<'a> {
    fn of(condition: &'a Condition) -> Self {
        Self {
            r#type: &condition.kind,
            status: &condition.status,
            last_transition_time: condition
                .since
                .map(|at| Moment { seconds: at.as_second().to_string(), nanos: at.subsec_nanosecond() }),
            reason: &condition.reason,
            message: &condition.message,
        }
    }
}

impl<'a> Shown<'a> {
    pub(crate) fn of(lease: &'a Lease) -> Self {
        let seconds = |duration: Option<SignedDuration>| duration.map(|duration| duration.as_secs_f64());
        let time = |moment: Option<Timestamp>| moment.map(|moment| format!("{moment:.6}"));
        Self {
            namespace: &lease.namespace,
            name: &lease.name,
            selector: &lease.selector,
            exporter_name: Some(lease.exporter_name.as_str()).filter(|name| !name.is_empty()),
            tags: &lease.tags,
            context: &lease.context,
            duration: seconds(lease.duration),
            effective_duration: seconds(lease.effective_duration),
            begin_time: time(lease.begin),
            client: &lease.client,
            exporter: &lease.exporter,
            conditions: lease.conditions.iter().map(ShownCondition::of).collect(),
            effective_begin_time: time(lease.effective_begin),
            effective_end_time: time(lease.effective_end),
            deprecated_labels: &lease.deprecated_labels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_said_in_whole_minutes_without_parts_that_are_nothing() {
        for (seconds, text) in [
            (0, "0m"),
            (59, "0m"),
            (60, "1m"),
            (3600, "1h"),
            (6540, "1h 49m"),
            (97_140, "1d 2h 59m"),
            (86_400, "1d"),
        ] {
            assert_eq!(remaining(Duration::from_secs(seconds)), text);
        }
        assert_eq!(span(Duration::from_secs(299)), "5 minutes");
        assert_eq!(span(Duration::from_secs(1)), "1 second");
    }
}
