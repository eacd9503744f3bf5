//! What is to be done about a lease.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::{
    Lease, Reference, ResourceExt as _, condition,
    labels::{LEASE_ENDED, LEASE_ENDED_VALUE},
    lease::{INVALID, PENDING, READY, UNSATISFIABLE},
    patch, time,
};
use jumpstarter_core::selector::Labels;
use serde_json::json;

use crate::{
    access::Approval,
    class::{Class, ClassId, ClassKey, Turn},
    effect::{Note, Part},
    exporters::Holder,
    leasing::Leasing,
    object::{Key, Kind, Name, created, holder_text, since, uid},
    times::{self, after, expiry, planned_end},
    words::{self, Words, words},
};

/// What becomes of a lease.
enum Next {
    /// It is over, because this condition says so already.
    Over,
    /// It is over; `Ready` is false for this reason.
    End(Words),
    /// It cannot be; this condition is true for this reason.
    Refuse(&'static str, Words),
    /// It gets this exporter.
    Begin(Name),
    /// It has an exporter, until then.
    Run(Option<Timestamp>),
    /// It is not to begin before then.
    Later(Timestamp),
    /// It waits for what its class waits for.
    Wait(ClassId),
    /// It is not known yet: an object has to be read afresh, or a write is under way.
    Unknown,
}

impl Leasing {
    pub(crate) fn settle_lease(&mut self, name: &Name, now: Timestamp) {
        let Some(entry) = self.leases.get(name) else { return };
        let lease = Arc::clone(&entry.object);
        if lease.is_ended() {
            self.settle_ended(name, &lease, now);
            return;
        }
        let mut next = self.next(name, &lease, now);
        let abandoned_at = self.abandoned_at(name, &lease);
        if abandoned_at.is_some_and(|at| at <= now)
            && matches!(next, Next::Run(_) | Next::Later(_) | Next::Wait(_))
        {
            let heard = self.last_heard(name, &lease);
            next = Next::End(words("ClientLost", words::abandoned(&lease.spec.client_ref.name, heard)));
        }
        let mut due = None;
        match &next {
            Next::Wait(class) => self.wait(name, *class, &lease, planned_end(&lease.spec), &mut due),
            Next::Run(until) => {
                self.dequeue(name);
                due = *until;
            }
            Next::Later(begin) => {
                self.dequeue(name);
                due = Some(*begin);
            }
            _ => self.dequeue(name),
        }
        let again = self.leases.get(name).and_then(|entry| entry.pace.not_before).filter(|at| *at > now);
        let due = [due, again, abandoned_at.filter(|at| *at > now)].into_iter().flatten().min();
        self.deadlines.set(Key::new(Kind::Lease, name.clone()), due);
        if self.leases.get(name).is_some_and(|entry| entry.pace.blocked(now)) {
            return;
        }
        match next {
            Next::Over => self.end(name, &lease, None, now),
            Next::End(words) => self.end(name, &lease, Some((READY, false, words)), now),
            Next::Refuse(condition, words) => self.end(name, &lease, Some((condition, true, words)), now),
            Next::Begin(exporter) => self.begin(name, &lease, &exporter, now),
            Next::Run(_) | Next::Later(_) | Next::Wait(_) | Next::Unknown => {}
        }
    }

    /// When nobody has held a lease for too long that is to be held. One that nobody holds waits for nobody.
    fn abandoned_at(&self, name: &Name, lease: &Lease) -> Option<Timestamp> {
        let patience = self.settings.abandoned_after.filter(|_| lease.is_held())?;
        let heard = self.last_heard(name, lease);
        Some(after(heard, SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX)))
    }

    /// When the client of a lease was last heard of: it asked for it at least.
    fn last_heard(&self, name: &Name, lease: &Lease) -> Timestamp {
        let heard = self.leases.get(name).and_then(|entry| entry.heard);
        heard.unwrap_or_else(|| created(lease))
    }

    fn next(&mut self, name: &Name, lease: &Lease, now: Timestamp) -> Next {
        if lease.is(UNSATISFIABLE) || lease.is(INVALID) {
            return Next::Over;
        }
        if lease.spec.release {
            return Next::End(words("Released", "the lease was released"));
        }
        if let Some(exporter) = lease.exporter() {
            return self.next_of_assigned(name, lease, &exporter.into(), now);
        }
        if self.leases.get(name).is_some_and(|entry| entry.claiming.is_some()) {
            return Next::Unknown;
        }
        // An exporter that is given to it already, here or before a restart.
        let claims = self.claims.get(&holder_text(lease)).into_iter().flatten();
        let claimed =
            claims.into_iter().find(|exporter| self.holder(exporter) == Holder::Lease(name.clone()));
        if let Some(exporter) = claimed {
            return Next::Begin(exporter.clone());
        }
        if planned_end(&lease.spec).is_some_and(|end| end <= now) {
            return Next::End(words("Expired", "the time of the lease passed before it got an exporter"));
        }
        if let Some(begin) = lease.spec.begin_time.as_ref().filter(|begin| begin.0 > now) {
            return Next::Later(begin.0);
        }
        if lease.spec.selector.is_empty() && lease.wanted_exporter().is_none() {
            let message = "the selector is empty; say which exporter, by labels or by name";
            return Next::Refuse(INVALID, words("InvalidSelector", message));
        }
        self.next_of_class(lease)
    }

    fn next_of_assigned(&mut self, name: &Name, lease: &Lease, exporter: &Name, now: Timestamp) -> Next {
        let begun = lease.status.as_ref().is_some_and(|status| status.begin_time.is_some());
        if !begun {
            return Next::Begin(exporter.clone());
        }
        let until = expiry(lease);
        if until.is_some_and(|until| until <= now) {
            return Next::End(words("Expired", "the time of the lease is over"));
        }
        let Some(entry) = self.exporters.get(exporter) else {
            let key = Key::new(Kind::Exporter, exporter.clone());
            if self.absent.contains(&key) {
                let message = format!("exporter `{exporter}` was deleted");
                return Next::End(words("ExporterDeleted", message));
            }
            self.look(key);
            return Next::Run(until);
        };
        // An exporter names whom it was given to for as long as that lease lasts. One that names another is not the one that
        // this lease got: it was deleted and made anew meanwhile. (Unless this view of it is an old one.)
        let text = holder_text(lease);
        if entry.object.holder().is_some_and(|named| Some(named) != text.split_once('/')) {
            if self.leases.get(name).is_some_and(|entry| entry.exporter_is_fresh) {
                let message =
                    format!("exporter `{exporter}` was made anew, and the new one belongs to another lease");
                return Next::End(words("ExporterDeleted", message));
            }
            self.look(Key::new(Kind::Exporter, exporter.clone()));
            return Next::Run(until);
        }
        if let (Some(since), Some(patience)) = (entry.offline_since, self.settings.lost_after) {
            let patience = SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX);
            if after(since, patience) <= now {
                let message = format!("exporter `{exporter}` went offline and did not come back");
                return Next::End(words("ExporterLost", message));
            }
        }
        Next::Run(until)
    }

    fn next_of_class(&mut self, lease: &Lease) -> Next {
        let selector = match lease.spec.selector.to_selector() {
            Ok(selector) => selector,
            Err(error) => return Next::Refuse(INVALID, words("InvalidSelector", error.message())),
        };
        let client_name = lease.spec.client_ref.name.as_str();
        let client = if self.policies.is_open() {
            None
        } else if let Some(client) = self.clients.get(client_name) {
            Some(client.metadata.labels.clone().unwrap_or_default())
        } else {
            let key = Key::new(Kind::Client, client_name);
            if self.absent.contains(&key) {
                let message =
                    format!("client `{client_name}` does not exist, and access policies ask who it is");
                return Next::Refuse(UNSATISFIABLE, words("NoAccess", message));
            }
            self.look(key);
            return Next::Unknown;
        };
        let exporter: Option<Name> = lease.wanted_exporter().map(Into::into);
        if let Some(wanted) = &exporter
            && !self.exporters.contains_key(wanted)
        {
            let key = Key::new(Kind::Exporter, wanted.clone());
            if !self.absent.contains(&key) {
                self.look(key);
                return Next::Unknown;
            }
        }
        let duration = self.policies.look_at_durations().then(|| times::requested(&lease.spec));
        let key = ClassKey {
            selector: lease.spec.selector.clone(),
            exporter,
            allow_disabled: lease.spec.allow_disabled,
            client,
            duration,
        };
        // For one that is named, the others need not be looked at.
        let named = key.exporter.as_ref().map(|name| self.exporters.get_key_value(name).into_iter());
        let all = named.is_none().then(|| self.exporters.iter());
        let exporters = named.into_iter().flatten().chain(all.into_iter().flatten());
        let exporters = exporters.map(|(name, entry)| entry.as_member(name));
        let id = self.classes.of(key.clone(), selector, &self.policies, exporters);
        let Some(class) = self.classes.get(id) else { return Next::Unknown };
        match self.refusal(class) {
            Some(words) => Next::Refuse(UNSATISFIABLE, words),
            None => Next::Wait(id),
        }
    }

    fn refusal(&self, class: &Class) -> Option<Words> {
        let exists = class.key.exporter.as_ref().is_none_or(|wanted| self.exporters.contains_key(wanted));
        let nobody = Labels::new();
        let client = class.key.client.as_ref().unwrap_or(&nobody);
        let enabled = || {
            let enabled = class.members.iter().filter(|(_, member)| member.enabled);
            enabled.filter_map(|(name, _)| self.exporters.get(name)).map(|entry| &entry.labels)
        };
        let longest = || self.policies.longest(enabled(), client);
        words::refusal(class, exists, longest, || self.policies.advice(enabled(), client))
    }

    /// Puts a lease into the queue, or leaves it there.
    fn wait(
        &mut self,
        name: &Name,
        class: ClassId,
        lease: &Lease,
        end: Option<Timestamp>,
        due: &mut Option<Timestamp>,
    ) {
        *due = end;
        let place = (class, Turn { since: since(lease), lease: name.clone() });
        if self.leases.get(name).is_some_and(|entry| entry.turn.as_ref() != Some(&place)) {
            self.dequeue(name);
            self.classes.enqueue(class, place.1.clone());
            self.fresh.insert(place.1.clone());
            if let Some(entry) = self.leases.get_mut(name) {
                entry.turn = Some(place);
            }
        }
        if !lease.is(PENDING) {
            self.untold.insert(name.clone());
        }
    }

    /// Says in a lease that it waits. That is said once: what changes while it waits is told to whoever asks.
    pub(crate) fn tell_that_it_waits(&mut self, name: &Name, now: Timestamp) {
        let Some(entry) = self.leases.get(name) else { return };
        let Some((class_id, _)) = &entry.turn else { return };
        if entry.pace.blocked(now) || entry.object.is(PENDING) {
            return;
        }
        let Some(class) = self.classes.get(*class_id) else { return };
        let words = words::pending(&class.counts, self.waits_for_itself(class, &entry.object));
        let mut new = (*entry.object).clone();
        let generation = new.metadata.generation;
        let status = new.status.get_or_insert_default();
        condition::set(&mut status.conditions, PENDING, true, words.reason, &words.message, generation, now);
        let patch = patch::between(&*entry.object, &new);
        self.write(Kind::Lease, name, Part::Status, patch, None);
    }

    fn begin(&mut self, name: &Name, lease: &Lease, exporter: &Name, now: Timestamp) {
        let mut new = lease.clone();
        let generation = lease.metadata.generation;
        let approval = self.approval(lease, exporter);
        let status = new.status.get_or_insert_default();
        if status.exporter_ref.is_none() {
            status.exporter_ref = Some(Reference::to(&**exporter));
            status.priority = approval.priority;
            status.spot_access = approval.spot;
        }
        status.begin_time = Some(time::whole(now));
        let message = format!("exporter `{exporter}` has been acquired");
        condition::set(&mut status.conditions, READY, true, "Ready", &message, generation, now);
        let patch = patch::between(lease, &new);
        let waited = Duration::try_from(now.duration_since(since(lease))).unwrap_or_default();
        let epoch = self.exporters.get(exporter).map_or(0, |entry| entry.object.lease_epoch());
        let client = lease.spec.client_ref.name.as_str().into();
        let note = Note::Acquired { lease: name.clone(), client, exporter: exporter.clone(), epoch, waited };
        self.write(Kind::Lease, name, Part::Status, patch, Some(note));
    }

    /// How a lease has its exporter. Policies that changed since do not take it away.
    fn approval(&self, lease: &Lease, exporter: &str) -> Approval {
        let nobody = Labels::new();
        let client = self.clients.get(lease.spec.client_ref.name.as_str());
        let client = client.and_then(|client| client.metadata.labels.as_ref()).unwrap_or(&nobody);
        let labels = self.exporters.get(exporter).map_or(&nobody, |entry| &entry.labels);
        self.policies.approve(labels, client, times::requested(&lease.spec)).unwrap_or_default()
    }

    fn end(&mut self, name: &Name, lease: &Lease, why: Option<(&str, bool, Words)>, now: Timestamp) {
        let mut new = lease.clone();
        let generation = lease.metadata.generation;
        let status = new.status.get_or_insert_default();
        status.ended = true;
        status.end_time = Some(time::whole(now));
        let mut reason = "Ended".to_owned();
        let mut refused = true;
        if let Some((kind, so, words)) = why {
            condition::set(&mut status.conditions, kind, so, words.reason, &words.message, generation, now);
            words.reason.clone_into(&mut reason);
            refused = so;
        }
        let patch = patch::between(lease, &new);
        let client = lease.spec.client_ref.name.as_str().into();
        let exporter = lease.exporter().map(Name::from);
        let note = Note::Ended { lease: name.clone(), client, exporter, reason, refused };
        self.write(Kind::Lease, name, Part::Status, patch, Some(note));
    }

    /// A lease that is over gets the label that says so, and with its exporter it will be gone.
    fn settle_ended(&mut self, name: &Name, lease: &Lease, now: Timestamp) {
        self.dequeue(name);
        if lease.labels().contains_key(LEASE_ENDED) {
            self.drop_lease(name);
            return;
        }
        let Some(entry) = self.leases.get(name) else { return };
        let again = entry.pace.not_before.filter(|at| *at > now);
        let blocked = entry.pace.blocked(now);
        self.deadlines.set(Key::new(Kind::Lease, name.clone()), again);
        if blocked {
            return;
        }
        let mut metadata = json!({ "labels": { LEASE_ENDED: LEASE_ENDED_VALUE } });
        let owned = lease.owner_references().iter().any(|owner| owner.controller == Some(true));
        let exporter = lease.exporter().and_then(|exporter| self.exporters.get(exporter)).filter(|_| !owned);
        if let Some(exporter) = exporter {
            let mut owners = serde_json::to_value(lease.owner_references()).unwrap_or_default();
            if let Some(owners) = owners.as_array_mut() {
                owners.push(json!({
                    "apiVersion": "jumpstarter.dev/v1alpha1",
                    "kind": "Exporter",
                    "name": exporter.object.name_any(),
                    "uid": uid(exporter.meta()),
                    "controller": true,
                    "blockOwnerDeletion": true,
                }));
            }
            metadata["ownerReferences"] = owners;
        }
        self.write(Kind::Lease, name, Part::Main, json!({ "metadata": metadata }), None);
    }
}
