//! What is known, and by which names it is found again.

use std::{collections::BTreeSet, sync::Arc};

use jumpstarter_api::{Exporter, Lease};
use jumpstarter_core::selector::Labels;

use crate::{
    class::{ClassId, State},
    effect::Effect,
    leasing::{ExporterEntry, LeaseEntry, Leasing, Pace},
    object::{Key, Kind, Name, holder_text, is_newer, uid},
};

impl Leasing {
    /// All leases of a client have to be looked at.
    pub(crate) fn leases_of(&mut self, client: &str) {
        let of = |(_, entry): &(&Name, &LeaseEntry)| entry.object.spec.client_ref.name == *client;
        self.dirty_leases.extend(self.leases.iter().filter(of).map(|(name, _)| name.clone()));
    }

    /// All classes are built anew.
    pub(crate) fn everything_may_differ(&mut self) {
        self.classes.clear();
        self.fresh.clear();
        for entry in self.leases.values_mut() {
            entry.turn = None;
        }
        self.dirty_leases.extend(self.leases.keys().cloned());
        self.dirty_exporters.extend(self.exporters.keys().cloned());
        self.freed.extend(self.exporters.keys().cloned());
    }

    pub(crate) fn put_exporter(&mut self, name: Name, object: Arc<Exporter>) {
        let labels: Labels = object.metadata.labels.clone().unwrap_or_default();
        let old = self.exporters.get(&name).map(|entry| Arc::clone(&entry.object));
        if let Some(old) = &old {
            if !is_newer(&object.metadata, &old.metadata) {
                return;
            }
            if uid(&object.metadata) != uid(&old.metadata) {
                self.drop_exporter(&name);
            }
        }
        if let Some(entry) = self.exporters.get_mut(&name) {
            let moved = entry.labels != labels || entry.object.is_enabled() != object.is_enabled();
            let holder = |exporter: &Exporter| exporter.holder().map(|(lease, uid)| format!("{lease}/{uid}"));
            let (before, after) = (holder(&entry.object), holder(&object));
            entry.object = object;
            entry.labels = labels;
            if before != after {
                self.unclaim(before.as_deref(), &name);
                self.claim_index(after, &name);
                self.dirty_leases.extend(self.assigned.get(&name).into_iter().flatten().cloned());
            }
            if moved {
                self.moved(&name);
            }
        } else {
            let holder = object.holder().map(|(lease, uid)| format!("{lease}/{uid}"));
            self.claim_index(holder, &name);
            self.exporters.insert(
                name.clone(),
                ExporterEntry {
                    object,
                    labels,
                    heard: None,
                    offline_since: None,
                    state: State::Offline,
                    claiming: None,
                    over: None,
                    pace: Pace::default(),
                },
            );
            self.moved(&name);
            // Leases that wait for it, or have it.
            self.dirty_leases.extend(self.assigned.get(&name).into_iter().flatten().cloned());
        }
        self.absent.remove(&Key::new(Kind::Exporter, name.clone()));
        self.dirty_exporters.insert(name);
    }

    fn claim_index(&mut self, holder: Option<String>, name: &Name) {
        if let Some(holder) = holder {
            let lease: Name = holder.split('/').next().unwrap_or_default().into();
            self.claims.entry(holder).or_default().insert(name.clone());
            if self.leases.contains_key(&lease) {
                self.dirty_leases.insert(lease);
            }
        }
    }

    fn unclaim(&mut self, holder: Option<&str>, name: &Name) {
        if let Some(holder) = holder
            && let Some(all) = self.claims.get_mut(holder)
        {
            all.remove(name);
            if all.is_empty() {
                self.claims.remove(holder);
            }
        }
    }

    /// An exporter may belong to other classes than before.
    fn moved(&mut self, name: &Name) {
        let Some(entry) = self.exporters.get(name) else { return };
        let exporter = entry.as_member(name);
        let free = entry.state == State::Free;
        let hopeless = self.classes.update(exporter, true, &self.policies);
        self.waiters_of(hopeless);
        if free {
            self.freed.insert(name.clone());
        }
    }

    /// Those who wait in these classes have to be looked at.
    pub(crate) fn waiters_of(&mut self, classes: Vec<ClassId>) {
        for id in classes {
            let queue = self.classes.get(id).map(|class| class.queue.iter().map(|turn| turn.lease.clone()));
            self.dirty_leases.extend(queue.into_iter().flatten());
        }
    }

    pub(crate) fn drop_exporter(&mut self, name: &Name) {
        let Some(entry) = self.exporters.remove(name) else { return };
        let holder = entry.object.holder().map(|(lease, uid)| format!("{lease}/{uid}"));
        self.unclaim(holder.as_deref(), name);
        let key = Key::new(Kind::Exporter, name.clone());
        self.deadlines.set(key.clone(), None);
        self.is_absent(key);
        self.freed.remove(name);
        let hopeless = self.classes.remove(name);
        self.waiters_of(hopeless);
        self.dirty_leases.extend(self.assigned.get(name).into_iter().flatten().cloned());
        if let Some(lease) = entry.claiming {
            if let Some(entry) = self.leases.get_mut(&lease) {
                entry.claiming = None;
            }
            self.dirty_leases.insert(lease);
        }
    }

    pub(crate) fn put_lease(&mut self, name: Name, object: Arc<Lease>) {
        let old = self.leases.get(&name).map(|entry| Arc::clone(&entry.object));
        if let Some(old) = &old {
            if !is_newer(&object.metadata, &old.metadata) {
                return;
            }
            if uid(&object.metadata) != uid(&old.metadata) {
                self.drop_lease(&name);
            }
        }
        let exporter: Option<Name> = object.exporter().filter(|_| !object.is_ended()).map(Into::into);
        let before: Option<Name> =
            old.as_ref().filter(|old| !old.is_ended()).and_then(|old| old.exporter()).map(Into::into);
        if let Some(entry) = self.leases.get_mut(&name) {
            entry.object = object;
        } else {
            let entry = LeaseEntry {
                object,
                turn: None,
                claiming: None,
                exporter_is_fresh: false,
                heard: None,
                pace: Pace::default(),
            };
            self.leases.insert(name.clone(), entry);
        }
        // Whoever names it as the holder has to know what has become of it.
        let holder = self.leases.get(&name).map(|entry| holder_text(&entry.object));
        let claims = holder.and_then(|holder| self.claims.get(&holder)).into_iter().flatten();
        self.dirty_exporters.extend(claims.cloned());
        if before != exporter {
            self.assign_index(before, exporter, &name);
        } else if let Some(exporter) = exporter {
            self.dirty_exporters.insert(exporter);
        }
        self.dirty_leases.insert(name);
    }

    fn assign_index(&mut self, before: Option<Name>, after: Option<Name>, lease: &Name) {
        if let Some(before) = before {
            if let Some(all) = self.assigned.get_mut(&before) {
                all.remove(lease);
                if all.is_empty() {
                    self.assigned.remove(&before);
                }
            }
            self.dirty_exporters.insert(before);
        }
        if let Some(after) = after {
            self.assigned.entry(after.clone()).or_default().insert(lease.clone());
            self.dirty_exporters.insert(after);
        }
    }

    /// Forgets a lease that is over or gone.
    pub(crate) fn drop_lease(&mut self, name: &Name) {
        self.dequeue(name);
        let Some(entry) = self.leases.remove(name) else { return };
        self.untold.remove(name);
        self.deadlines.set(Key::new(Kind::Lease, name.clone()), None);
        let holder = holder_text(&entry.object);
        let claims = self.claims.get(&holder).cloned().unwrap_or_default();
        self.is_over(&holder, claims);
        if let Some(exporter) = entry.object.exporter() {
            let exporter: Name = exporter.into();
            self.assign_index(Some(exporter), None, name);
        }
        // Nobody may be left who needs to know that these are not there.
        let lease = &entry.object;
        for exporter in [lease.exporter(), lease.wanted_exporter()].into_iter().flatten() {
            self.absent.remove(&Key::new(Kind::Exporter, exporter));
        }
        self.absent.remove(&Key::new(Kind::Client, lease.spec.client_ref.name.as_str()));
    }

    pub(crate) fn dequeue(&mut self, name: &Name) {
        if let Some((class, turn)) = self.leases.get_mut(name).and_then(|entry| entry.turn.take()) {
            self.classes.dequeue(class, &turn);
            self.fresh.remove(&turn);
        }
    }

    /// An object is not there. That need only be known while a lease names it.
    pub(crate) fn is_absent(&mut self, key: Key) {
        let named = self.leases.values().any(|entry| {
            let lease = &entry.object;
            match key.kind {
                Kind::Exporter => [lease.exporter(), lease.wanted_exporter()].contains(&Some(&*key.name)),
                _ => lease.spec.client_ref.name == *key.name,
            }
        });
        if named {
            self.absent.insert(key);
        }
    }

    /// Reads an object afresh, once.
    pub(crate) fn look(&mut self, key: Key) {
        if self.looking.insert(key.clone()) {
            self.effects.push(Effect::Look(key));
        }
    }

    /// A lease that exporters name is over.
    pub(crate) fn is_over(&mut self, holder: &str, exporters: BTreeSet<Name>) {
        for name in exporters {
            if let Some(entry) = self.exporters.get_mut(&name) {
                entry.over = Some(holder.to_owned());
                self.dirty_exporters.insert(name);
            }
        }
    }
}
