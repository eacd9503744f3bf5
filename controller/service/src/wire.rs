//! Resources as messages.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::{
    Condition, ConditionStatus, Exporter, ExporterState, Lease, ResourceExt as _, selector,
};
use jumpstarter_leasing::{requests::Wanted, times::Times};
use jumpstarter_protocol::{client::v1 as client, v1};
use tonic::Status;

use crate::names;

/// A moment.
pub fn time(moment: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: moment.as_second(), nanos: moment.subsec_nanosecond() }
}

/// A duration.
pub fn duration(duration: SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs(), nanos: duration.subsec_nanos() }
}

/// The zero time of Go is what its programs write when they mean none.
fn moment(time: &prost_types::Timestamp) -> Result<Option<Timestamp>, Status> {
    if time.seconds == jumpstarter_api::time::ZERO_IN_GO && time.nanos == 0 {
        return Ok(None);
    }
    let moment = Timestamp::new(time.seconds, time.nanos);
    moment.map(Some).map_err(|error| Status::unknown(format!("not a time: {error}")))
}

/// A duration from the wire.
pub fn length(duration: &prost_types::Duration) -> SignedDuration {
    SignedDuration::from_secs(duration.seconds)
        .saturating_add(SignedDuration::from_nanos(i64::from(duration.nanos)))
}

/// A condition.
pub fn condition(condition: &Condition) -> v1::Condition {
    let time = &condition.last_transition_time.0;
    v1::Condition {
        r#type: Some(condition.kind.clone()),
        status: Some(
            match condition.status {
                ConditionStatus::True => "True",
                ConditionStatus::False => "False",
                ConditionStatus::Unknown => "Unknown",
            }
            .to_owned(),
        ),
        observed_generation: condition.observed_generation,
        last_transition_time: Some(v1::Time {
            seconds: Some(time.as_second()),
            nanos: Some(time.subsec_nanosecond()),
        }),
        reason: Some(condition.reason.clone()),
        message: Some(condition.message.clone()),
    }
}

/// A lease, with its conditions as whoever reads it now should see them.
pub fn lease(namespace: &str, lease: &Lease, conditions: &[Condition], now: Timestamp) -> client::Lease {
    let spec = &lease.spec;
    let status = lease.status.as_ref();
    let begun = status.and_then(|status| status.begin_time.as_ref()).map(|time| time.0);
    // Without a begin there is no end: clients take a lease with an end for one that was had.
    let ended =
        status.and_then(|status| status.end_time.as_ref()).map(|time| time.0).filter(|_| begun.is_some());
    let lasted = begun.map(|begun| ended.unwrap_or(now).duration_since(begun).max(SignedDuration::ZERO));
    let selector = spec.selector.to_selector().map(|selector| selector.to_string());
    client::Lease {
        name: names::full(namespace, "leases", &lease.name_any()),
        // What cannot be read matches nothing; the conditions say so.
        selector: selector.unwrap_or_else(|error| error.message().to_owned()),
        duration: spec.duration.map(|of| duration(of.signed())),
        effective_duration: lasted.map(duration),
        begin_time: spec.begin_time.as_ref().map(|at| time(at.0)),
        effective_begin_time: begun.map(time),
        end_time: spec.end_time.as_ref().map(|at| time(at.0)),
        effective_end_time: ended.map(time),
        client: Some(names::full(namespace, "clients", &spec.client_ref.name)),
        exporter: lease.exporter().map(|name| names::full(namespace, "exporters", name)),
        conditions: conditions.iter().map(condition).collect(),
        exporter_name: lease.wanted_exporter().map(str::to_owned),
        tags: spec.tags.clone().into_iter().collect(),
        allow_disabled: spec.allow_disabled,
        context: spec.context.clone().into_iter().collect(),
        deprecated_labels: HashMap::new(),
        // A word to a controller, not from one.
        held: None,
    }
}

/// An exporter.
pub fn exporter(namespace: &str, exporter: &Exporter) -> client::Exporter {
    let status = exporter.status.as_ref();
    client::Exporter {
        name: names::full(namespace, "exporters", &exporter.name_any()),
        labels: exporter.labels().clone().into_iter().collect(),
        online: exporter.is_online(),
        status: exporter.state().map_or(v1::ExporterStatus::Unspecified, ExporterState::to_wire).into(),
        status_message: status.and_then(|status| status.status_message.clone()).unwrap_or_default(),
        // Said even when it is so by default: clients hide what does not say it.
        enabled: Some(exporter.is_enabled()),
        deprecated_labels: HashMap::new(),
    }
}

/// The times of a lease that somebody asks for or wants to change.
///
/// # Errors
/// `UNKNOWN`, when one is beyond what times can be.
pub fn times(lease: &client::Lease) -> Result<Times, Status> {
    let read = |time: &Option<prost_types::Timestamp>| -> Result<Option<Timestamp>, Status> {
        time.as_ref().map(moment).transpose().map(Option::flatten)
    };
    Ok(Times {
        begin: read(&lease.begin_time)?,
        duration: lease.duration.as_ref().map(|of| length(of).into()),
        end: read(&lease.end_time)?,
    })
}

/// A lease that somebody asks for.
///
/// # Errors
/// `UNKNOWN`, when its selector or its times make no sense.
pub fn wanted(lease: client::Lease) -> Result<Wanted, Status> {
    let times = times(&lease)?;
    let selector = selector::of_lease(&lease.selector).map_err(|error| Status::unknown(error.message()))?;
    Ok(Wanted {
        selector,
        exporter: lease.exporter_name.filter(|name| !name.is_empty()),
        times,
        tags: lease.tags.into_iter().collect(),
        context: lease.context.into_iter().collect(),
        allow_disabled: lease.allow_disabled,
        held: lease.held.unwrap_or_default(),
    })
}

/// A selector in the old form.
pub fn selector(selector: &jumpstarter_api::LabelSelector) -> v1::LabelSelector {
    v1::LabelSelector {
        match_expressions: selector
            .match_expressions
            .iter()
            .map(|part| v1::LabelSelectorRequirement {
                key: part.key.clone(),
                operator: part.operator.clone(),
                values: part.values.clone(),
            })
            .collect(),
        match_labels: selector.match_labels.clone().into_iter().collect(),
    }
}

/// A selector from the old form.
pub fn from_selector(selector: v1::LabelSelector) -> jumpstarter_api::LabelSelector {
    jumpstarter_api::LabelSelector {
        match_expressions: selector
            .match_expressions
            .into_iter()
            .map(|part| selector::Expression { key: part.key, operator: part.operator, values: part.values })
            .collect(),
        match_labels: selector.match_labels.into_iter().collect(),
    }
}
