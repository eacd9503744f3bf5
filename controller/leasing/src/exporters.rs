//! What is to be done about an exporter.

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::{ExporterState, Reference, labels, patch};
use serde_json::{Value, json};

use crate::{
    class::State,
    effect::{Effect, Note, Part, Write},
    leasing::Leasing,
    object::{Key, Kind, Name, holder_text, uid, version},
    presence::{self, Presence},
    times::after,
};

/// Who has an exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    Lease(Name),
    /// It names a lease that is not known.
    Unknown(Name),
}

impl Leasing {
    /// Who has an exporter: the lease that it names, as long as that one is not over and has not got another; or else a lease
    /// that says so itself, as those do that another controller gave it to.
    pub(crate) fn holder(&self, name: &Name) -> Holder {
        let Some(entry) = self.exporters.get(name) else { return Holder::Nobody };
        if let Some((lease, named_uid)) = entry.object.holder() {
            if let Some((lease_name, known)) = self.leases.get_key_value(lease) {
                let lease = &known.object;
                let elsewhere = lease.exporter().is_some_and(|exporter| *exporter != **name);
                if uid(&lease.metadata) == named_uid && !lease.is_ended() && !elsewhere {
                    return Holder::Lease(lease_name.clone());
                }
            } else if entry.over.as_deref().and_then(|over| over.split_once('/')) != Some((lease, named_uid))
            {
                return Holder::Unknown(lease.into());
            }
        }
        let Some(assigned) = self.assigned.get(name) else { return Holder::Nobody };
        let status = entry.object.status.as_ref();
        let served = Reference::name(status.and_then(|status| status.lease_ref.as_ref()));
        let served = served.and_then(|lease| assigned.get(lease));
        served.or_else(|| assigned.first()).map_or(Holder::Nobody, |lease| Holder::Lease(lease.clone()))
    }

    pub(crate) fn settle_exporter(&mut self, name: &Name, now: Timestamp) {
        let Some(entry) = self.exporters.get(name) else { return };
        let presence = presence::presence(&entry.object, self.heard(name), self.settings.offline_after, now);
        let told = entry.object.status.as_ref();
        let said_offline = told.and_then(|status| status.exporter_status) == Some(ExporterState::Offline);
        let online = presence.seen.is_some() && !presence.lost && !said_offline;
        let holder = self.holder(name);
        match &holder {
            Holder::Unknown(lease) => self.look(Key::new(Kind::Lease, lease.clone())),
            // It may not know yet that it has this exporter.
            Holder::Lease(lease)
                if self.leases.get(lease).is_some_and(|lease| lease.object.exporter().is_none()) =>
            {
                self.dirty_leases.insert(lease.clone());
            }
            Holder::Lease(_) | Holder::Nobody => {}
        }
        self.presence_changed(name, online, &holder, presence, now);
        self.state_changed(name, online, &holder, now);
        self.write_exporter(name, &holder, presence, now);
    }

    /// When to look again, and since when it is offline.
    fn presence_changed(
        &mut self,
        name: &Name,
        online: bool,
        holder: &Holder,
        presence: Presence,
        now: Timestamp,
    ) {
        let Some(entry) = self.exporters.get_mut(name) else { return };
        let mut due = presence.lost_at.filter(|_| online);
        if online {
            entry.offline_since = None;
        } else {
            let since = *entry.offline_since.get_or_insert(now);
            // Whoever has it is to lose it.
            if let (Holder::Lease(lease), Some(patience)) = (holder, self.settings.lost_after) {
                let patience = SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX);
                let at = after(since, patience);
                if at <= now {
                    self.dirty_leases.insert(lease.clone());
                } else {
                    due = Some(at);
                }
            }
        }
        let again = entry.pace.not_before.filter(|at| *at > now);
        let due = [due, again].into_iter().flatten().min();
        self.deadlines.set(Key::new(Kind::Exporter, name.clone()), due);
    }

    fn state_changed(&mut self, name: &Name, online: bool, holder: &Holder, now: Timestamp) {
        let Some(entry) = self.exporters.get_mut(name) else { return };
        let status = entry.object.status.as_ref();
        let told = status.and_then(|status| status.exporter_status);
        let ready = matches!(told, None | Some(ExporterState::Available | ExporterState::Unspecified))
            // It must have been told that it is not leased before it is leased again.
            && Reference::name(status.and_then(|status| status.lease_ref.as_ref())).is_none();
        let registered = status.is_some_and(|status| !status.devices.is_empty());
        // Its lease has been given back, which only has to be written down: it will be free in a moment.
        let released = matches!(holder, Holder::Lease(lease)
            if self.leases.get(lease).is_some_and(|lease| lease.object.spec.release));
        let held = entry.claiming.is_some() || (*holder != Holder::Nobody && !released);
        let state = if !online || !registered {
            State::Offline
        } else if held {
            State::Held
        } else if released || !ready || entry.pace.blocked(now) {
            State::NotReady
        } else {
            State::Free
        };
        if state == entry.state {
            return;
        }
        entry.state = state;
        let hopeless = self.classes.update(entry.as_member(name), false, &self.policies);
        if state == State::Free {
            self.freed.insert(name.clone());
        } else {
            self.freed.remove(name);
        }
        self.waiters_of(hopeless);
    }

    fn write_exporter(&mut self, name: &Name, holder: &Holder, presence: Presence, now: Timestamp) {
        let Some(entry) = self.exporters.get(name) else { return };
        if entry.pace.blocked(now) || matches!(holder, Holder::Unknown(_)) {
            return;
        }
        let assigned = match holder {
            Holder::Lease(lease) => self.leases.get(lease).map(|lease| &lease.object),
            _ => None,
        };
        let assigned = assigned.filter(|lease| lease.exporter() == Some(name));
        // Given by another controller: from now on it is known by whom it is held, and the lease has a number.
        if let Some(lease) = assigned
            && entry.object.holder() != holder_text(lease).split_once('/')
        {
            let holder = holder_text(lease);
            let patch = claim(entry.object.lease_epoch().saturating_add(1), &holder);
            self.write(Kind::Exporter, name, Part::Main, patch, None);
            return;
        }
        let mut status = presence::settle(&entry.object, presence, now);
        status.lease_ref =
            assigned.map(|lease| Reference::to(lease.metadata.name.clone().unwrap_or_default()));
        if entry.object.status.as_ref() == Some(&status) {
            return;
        }
        let mut new = (*entry.object).clone();
        new.status = Some(status);
        let patch = patch::between(&*entry.object, &new);
        let (was, is) = (entry.object.is_online(), new.is_online());
        let note = (was != is).then(|| Note::Online { exporter: name.clone(), online: is });
        self.write(Kind::Exporter, name, Part::Status, patch, note);
        // While it is being written to, nobody can be given it.
        self.dirty_exporters.insert(name.clone());
    }

    /// Asks for a write of an object that is known and that no other write is under way for.
    pub(crate) fn write(&mut self, kind: Kind, name: &Name, part: Part, patch: Value, note: Option<Note>) {
        let key = Key::new(kind, name.clone());
        let meta = match kind {
            Kind::Exporter => self.exporters.get(name).map(|entry| &entry.object.metadata),
            _ => self.leases.get(name).map(|entry| &entry.object.metadata),
        };
        let Some(version) = meta.map(|meta| version(meta).to_owned()) else { return };
        let ticket = self.takeoff(key.clone(), version.clone(), note);
        if let Some(pace) = self.pace_of(&key) {
            pace.flying = Some(ticket);
        }
        self.effects.push(Effect::Write(Write { ticket, key, version, part, patch }));
    }
}

/// The patch that gives an exporter to a lease.
pub(crate) fn claim(epoch: u64, holder: &str) -> Value {
    json!({ "metadata": { "annotations": {
        labels::LEASE_EPOCH: epoch.to_string(),
        labels::LEASE_HOLDER: holder,
    } } })
}
