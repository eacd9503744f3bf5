//! What clients and exporters ask of a lease: to make one, to change it, to hand it over, to end it.
//!
//! Each is a function from what is there to what is to be written, or to a refusal with the code and the words that clients
//! of the existing controller know. Whether the caller is who it says is not decided here.

use std::collections::BTreeMap;

use jumpstarter_api::{
    GoDuration, LabelSelector, Lease, LeaseSpec, ObjectMeta, Reference, ResourceExt as _,
    labels::{self, LEASE_HELD},
};

use crate::times::Times;

/// Which status code a refusal has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Clients show the words of these.
    Unknown,
    /// What was asked for makes no sense.
    InvalidArgument,
    /// Not in the state in which the lease is.
    FailedPrecondition,
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// As which status.
    pub code: Code,
    /// In which words.
    pub message: String,
}

fn refuse<T>(code: Code, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

/// A lease that somebody asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Which exporters will do.
    pub selector: LabelSelector,
    /// The one exporter that will do.
    pub exporter: Option<String>,
    /// When.
    pub times: Times,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What it is for.
    pub context: BTreeMap<String, String>,
    /// Whether the one exporter will do even when it is disabled.
    pub allow_disabled: bool,
    /// Whether its client will hold it: look at it until it gives it back.
    pub held: bool,
}

/// A new lease of this name for this client. `most_tags` is what the lab allows.
pub fn create(name: &str, client: &str, wanted: Wanted, most_tags: usize) -> Result<Lease, Refusal> {
    let exporter = wanted.exporter.filter(|exporter| !exporter.is_empty());
    if wanted.selector.is_empty() && exporter.is_none() {
        return refuse(Code::InvalidArgument, "one of selector or exporter_name is required");
    }
    if let Err(error) = labels::check_tags(&wanted.tags, most_tags) {
        return refuse(Code::InvalidArgument, error.message());
    }
    let times = wanted.times.settle().or_else(|error| refuse(Code::Unknown, error.to_string()))?;
    let labels = labels::of_lease(&wanted.selector, &wanted.tags);
    let mut spec = LeaseSpec {
        client_ref: Reference::to(client),
        selector: wanted.selector,
        exporter_ref: exporter.map(Reference::to),
        tags: wanted.tags,
        context: wanted.context,
        allow_disabled: wanted.allow_disabled,
        ..LeaseSpec::default()
    };
    times.put(&mut spec);
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: (!labels.is_empty()).then_some(labels),
        annotations: wanted.held.then(|| [(LEASE_HELD.to_owned(), "true".to_owned())].into()),
        ..ObjectMeta::default()
    };
    Ok(Lease { metadata, spec, status: None })
}

/// What is to change in a lease. Absent is: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// Another begin.
    pub begin: Option<jiff::Timestamp>,
    /// Another duration.
    pub duration: Option<GoDuration>,
    /// Another end.
    pub end: Option<jiff::Timestamp>,
    /// Another client, and whether there is such a one.
    pub client: Option<(&'a str, bool)>,
    /// Nobody holds it any more: it is there for whoever asks for it by its name.
    pub left: bool,
}

/// A lease with changes that `caller` asks for.
pub fn update(lease: &Lease, caller: &str, changes: Changes<'_>) -> Result<Lease, Refusal> {
    if lease.spec.client_ref.name != caller {
        return refuse(Code::Unknown, "UpdateLease permission denied");
    }
    let mut new = lease.clone();
    let asked = Times { begin: changes.begin, duration: changes.duration, end: changes.end };
    if asked != Times::default() {
        let bad = |error: crate::times::BadTimes| refuse::<Times>(Code::Unknown, error.to_string());
        // What is asked for must make sense on its own, and with what is there.
        let asked = asked.settle().or_else(bad)?;
        let mut merged = Times::of(&lease.spec);
        if let Some(begin) = asked.begin {
            if lease.exporter().is_some() && merged.begin != Some(begin) {
                return refuse(Code::Unknown, "cannot update BeginTime: lease has already started");
            }
            merged.begin = Some(begin);
        }
        merged.duration = asked.duration.or(merged.duration);
        merged.end = asked.end.or(merged.end);
        merged.settle().or_else(bad)?.put(&mut new.spec);
    }
    if let Some((client, exists)) = changes.client.filter(|(client, _)| !client.is_empty()) {
        if lease.exporter().is_none() {
            return refuse(Code::Unknown, "cannot transfer lease: lease has not started yet");
        }
        if lease.is_ended() {
            return refuse(Code::Unknown, "cannot transfer lease: lease has already ended");
        }
        if !exists {
            let message = format!("target client not found: clients.jumpstarter.dev \"{client}\" not found");
            return refuse(Code::Unknown, message);
        }
        new.spec.client_ref = Reference::to(client);
    }
    let handed_over = new.spec.client_ref != lease.spec.client_ref;
    if let Some(annotations) = new.metadata.annotations.as_mut().filter(|_| changes.left || handed_over) {
        // Another client has not said that it will hold it.
        annotations.remove(LEASE_HELD);
    }
    Ok(new)
}

/// A lease that `caller`, a client, deletes: it is released. `full_name` is what clients call it.
pub fn delete(lease: &Lease, caller: &str, full_name: &str) -> Result<Lease, Refusal> {
    if lease.spec.client_ref.name != caller {
        return refuse(Code::Unknown, "DeleteLease permission denied");
    }
    if lease.spec.release {
        // Clients delete at exit what the exporter may have released: they know these words.
        let message = format!("lease \"{full_name}\" has already been released");
        return refuse(Code::FailedPrecondition, message);
    }
    Ok(released(lease))
}

/// A lease that a client releases in the old way. Nothing if that is done already.
pub fn release(lease: &Lease, caller: &str) -> Result<Option<Lease>, Refusal> {
    if lease.spec.client_ref.name != caller {
        return refuse(Code::Unknown, "ReleaseLease permission denied");
    }
    Ok((!lease.spec.release && !lease.is_ended()).then(|| released(lease)))
}

/// A lease that its exporter gives back. Nothing if that is done already.
pub fn give_back(lease: &Lease, exporter: &str) -> Result<Option<Lease>, Refusal> {
    if lease.exporter() != Some(exporter) {
        // Some other codes would make the exporter think that this controller is too old, for ever.
        let message = format!("lease \"{}\" is not held by exporter \"{exporter}\"", lease.name_any());
        return refuse(Code::FailedPrecondition, message);
    }
    Ok((!lease.spec.release && !lease.is_ended()).then(|| released(lease)))
}

fn released(lease: &Lease) -> Lease {
    let mut new = lease.clone();
    new.spec.release = true;
    new
}
