//! What a lease says of itself.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use jumpstarter_protocol::client::v1 as wire;

use crate::controller::short;

/// A lease, as it was when it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lease {
    /// Its namespace.
    pub namespace: String,
    /// Its name in it.
    pub name: String,
    /// Which exporters would do.
    pub selector: String,
    /// The only exporter that would do.
    pub exporter_name: String,
    /// Whose it is.
    pub client: String,
    /// The exporter that it got; empty until then.
    pub exporter: String,
    /// How long was asked for.
    pub duration: Option<SignedDuration>,
    /// How long it has lasted so far, or did.
    pub effective_duration: Option<SignedDuration>,
    /// When it is to begin, if not at once.
    pub begin: Option<Timestamp>,
    /// When it is to end, if that was asked for.
    pub end: Option<Timestamp>,
    /// When it began.
    pub effective_begin: Option<Timestamp>,
    /// When it ended.
    pub effective_end: Option<Timestamp>,
    /// What has become of it; the latest is the last.
    pub conditions: Vec<Condition>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// What the exporter gets to know about the occasion.
    pub context: BTreeMap<String, String>,
    /// Whether an exporter that is disabled will do.
    pub allow_disabled: bool,
    /// Labels of the selector that will go away, with what to use instead.
    pub deprecated_labels: BTreeMap<String, String>,
}

/// Something that has become of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// `Pending`, `Ready`, `Unsatisfiable`, `Invalid`.
    pub kind: String,
    /// `True` or `False`.
    pub status: String,
    /// For programs.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// Where a lease stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits, for this reason.
    Waiting(String),
    /// It has its exporter.
    Ready,
    /// It has no chance, for this reason.
    Unsatisfiable(String),
    /// It has none now; a controller that knows no queue says so of exporters that are away for the moment.
    Again(String),
    /// It makes no sense, for this reason.
    Invalid(String),
    /// It is over, for this reason.
    Over(String),
}

impl Lease {
    /// Where it stands. For each type the first condition counts, in the order in which existing clients look.
    pub fn standing(&self) -> Standing {
        let find = |kind: &str| self.conditions.iter().find(|condition| condition.kind == kind);
        let is = |kind: &str, status: &str| find(kind).filter(|condition| condition.status == status);
        let words = |condition: &Condition| {
            if condition.message.is_empty() { condition.reason.clone() } else { condition.message.clone() }
        };
        if self.effective_end.is_some() {
            let why = is("Ready", "False").map(words).filter(|why| !why.is_empty());
            return Standing::Over(why.unwrap_or_else(|| "it has ended".to_owned()));
        }
        if is("Ready", "True").is_some() {
            return Standing::Ready;
        }
        if let Some(condition) = is("Unsatisfiable", "True") {
            return match condition.reason.as_str() {
                "NoExporter" => Standing::Again(words(condition)),
                _ => Standing::Unsatisfiable(words(condition)),
            };
        }
        if let Some(condition) = is("Invalid", "True") {
            return Standing::Invalid(words(condition));
        }
        if let Some(condition) = is("Pending", "False").or_else(|| is("Ready", "False")) {
            return Standing::Over(words(condition));
        }
        let waits = find("Pending").map(words).filter(|why| !why.is_empty());
        Standing::Waiting(waits.unwrap_or_else(|| match self.scheduled(Timestamp::now()) {
            Some(begin) => {
                let local = begin.to_zoned(TimeZone::system());
                format!("it begins at {}", local.strftime("%Y-%m-%d %H:%M:%S"))
            }
            None => "for an exporter".to_owned(),
        }))
    }

    /// When it is to begin, if that is later than this and nothing has come of it yet.
    pub fn scheduled(&self, now: Timestamp) -> Option<Timestamp> {
        let waits = self.effective_begin.is_none() && self.effective_end.is_none();
        self.begin.filter(|begin| waits && *begin > now)
    }

    /// Why it is over, if it is.
    pub fn over(&self) -> Option<String> {
        match self.standing() {
            Standing::Over(why) | Standing::Unsatisfiable(why) | Standing::Invalid(why) => Some(why),
            Standing::Waiting(_) | Standing::Ready | Standing::Again(_) => None,
        }
    }

    /// When it ends, or did, as far as that is known.
    pub fn ends(&self) -> Option<Timestamp> {
        let begin = self.effective_begin.or(self.begin);
        let lasts = begin.zip(self.duration).and_then(|(begin, lasts)| begin.checked_add(lasts).ok());
        self.effective_end.or(self.end).or(lasts)
    }

    /// How long it lasts from the moment in which it was asked for. The controller says how long it has lasted, so its
    /// clock and ours need not agree.
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        let there = match (self.effective_begin, self.effective_duration, self.effective_end) {
            (Some(begin), Some(lasted), None) => begin.checked_add(lasted).unwrap_or(now),
            _ => now,
        };
        let left = self.ends()?.duration_since(there);
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
    }

    /// What it asks for, in words.
    pub fn asks_for(&self) -> String {
        asks_for(&self.selector, &self.exporter_name)
    }
}

/// What a lease asks for, in words.
pub(crate) fn asks_for(selector: &str, exporter: &str) -> String {
    let selector = selector.trim();
    match (selector.is_empty() || selector == "<none>", exporter.is_empty()) {
        (true, false) => format!("exporter {exporter}"),
        (false, false) => format!("exporter {exporter} with {selector}"),
        _ => format!("selector {selector}"),
    }
}

fn time(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| SystemTime::try_from(time).ok()).and_then(|time| Timestamp::try_from(time).ok())
}

fn duration(duration: Option<prost_types::Duration>) -> Option<SignedDuration> {
    let duration = duration?;
    Some(
        SignedDuration::from_secs(duration.seconds)
            .saturating_add(SignedDuration::from_nanos(i64::from(duration.nanos))),
    )
}

pub(crate) fn to_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

pub(crate) fn to_time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

impl From<wire::Lease> for Lease {
    fn from(lease: wire::Lease) -> Self {
        let of = |name: Option<String>| name.as_deref().map(short).unwrap_or_default().to_owned();
        let condition = |condition: jumpstarter_protocol::v1::Condition| Condition {
            since: condition.last_transition_time.as_ref().and_then(|at| {
                Timestamp::new(at.seconds.unwrap_or_default(), at.nanos.unwrap_or_default()).ok()
            }),
            kind: condition.r#type.unwrap_or_default(),
            status: condition.status.unwrap_or_default(),
            reason: condition.reason.unwrap_or_default(),
            message: condition.message.unwrap_or_default(),
        };
        Self {
            namespace: lease.name.split('/').nth(1).unwrap_or_default().to_owned(),
            name: short(&lease.name).to_owned(),
            selector: lease.selector,
            exporter_name: lease.exporter_name.unwrap_or_default(),
            client: of(lease.client),
            exporter: of(lease.exporter),
            duration: duration(lease.duration),
            effective_duration: duration(lease.effective_duration),
            begin: time(lease.begin_time),
            end: time(lease.end_time),
            effective_begin: time(lease.effective_begin_time),
            effective_end: time(lease.effective_end_time),
            conditions: lease.conditions.into_iter().map(condition).collect(),
            tags: lease.tags.into_iter().collect(),
            context: lease.context.into_iter().collect(),
            allow_disabled: lease.allow_disabled,
            deprecated_labels: lease.deprecated_labels.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(conditions: &[(&str, &str, &str, &str)]) -> Lease {
        let condition = |(kind, status, reason, message): &(&str, &str, &str, &str)| Condition {
            kind: (*kind).to_owned(),
            status: (*status).to_owned(),
            reason: (*reason).to_owned(),
            message: (*message).to_owned(),
            since: None,
        };
        Lease { conditions: conditions.iter().map(condition).collect(), ..Lease::default() }
    }

    #[test]
    fn pitfall_k7_all_conditions_count_in_their_order() {
        let pending = ("Pending", "True", "NotAvailable", "1 exporter matches, all leased");
        for (conditions, standing) in [
            (vec![], Standing::Waiting("for an exporter".to_owned())),
            (vec![pending], Standing::Waiting("1 exporter matches, all leased".to_owned())),
            // It is still pending by the letter, and had its exporter all the same.
            (vec![pending, ("Ready", "True", "Ready", "")], Standing::Ready),
            (vec![pending, ("Ready", "False", "Released", "gone")], Standing::Over("gone".to_owned())),
            (vec![("Unsatisfiable", "True", "NoAccess", "no")], Standing::Unsatisfiable("no".to_owned())),
            (
                vec![("Invalid", "True", "InvalidSelector", "")],
                Standing::Invalid("InvalidSelector".to_owned()),
            ),
            (vec![("Pending", "False", "x", "odd")], Standing::Over("odd".to_owned())),
        ] {
            assert_eq!(lease(&conditions).standing(), standing, "{conditions:?}");
        }
    }

    #[test]
    fn one_that_is_scheduled_says_when_it_begins() {
        let begin = Timestamp::now().checked_add(SignedDuration::from_hours(2)).expect("a time");
        let lease = Lease { begin: Some(begin), ..Lease::default() };
        let local = begin.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        assert_eq!(lease.standing(), Standing::Waiting(format!("it begins at {local}")));
        assert_eq!(lease.scheduled(begin), None);
        let begun = Lease { effective_begin: Some(begin), ..lease };
        assert_eq!(begun.scheduled(Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn pitfall_k5_an_old_controllers_no_exporter_means_not_now() {
        let lease = lease(&[("Unsatisfiable", "True", "NoExporter", "none online")]);
        assert_eq!(lease.standing(), Standing::Again("none online".to_owned()));
        assert_eq!(lease.over(), None);
    }

    #[test]
    fn what_remains_does_not_depend_on_our_clock() {
        let begin = Timestamp::from_second(1_000_000).expect("a time");
        let lease = Lease {
            effective_begin: Some(begin),
            duration: Some(SignedDuration::from_secs(600)),
            effective_duration: Some(SignedDuration::from_secs(100)),
            ..Lease::default()
        };
        for wrong in [0, 1_000_100, 9_000_000] {
            let now = Timestamp::from_second(wrong).expect("a time");
            assert_eq!(lease.remaining(now), Some(Duration::from_secs(500)));
        }
        let over = Lease { effective_end: Some(begin), ..lease };
        assert_eq!(over.remaining(Timestamp::from_second(2_000_000).expect("a time")), Some(Duration::ZERO));
        assert_eq!(over.standing(), Standing::Over("it has ended".to_owned()));
    }
}
