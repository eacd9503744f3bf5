//! The state, and what it is told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::{Client, Exporter, ExporterAccessPolicy, Lease, ObjectMeta, ResourceExt as _};
use jumpstarter_core::selector::Labels;

use crate::{
    access::Policies,
    class::{self, ClassId, Classes, State, Turn},
    deadlines::Deadlines,
    effect::{Effect, Note, Outcome, Settings, Ticket},
    object::{Key, Kind, Name, Object, is_newer},
    presence::Heard,
    times::after,
};

/// Whoever looks at something so long after it was due has not been able to look at anything.
const LATE: SignedDuration = SignedDuration::from_secs(1);

/// Who gets which exporter. One for each namespace.
#[derive(Debug, Default)]
pub struct Leasing {
    pub(crate) settings: Settings,
    pub(crate) clients: HashMap<Name, Arc<Client>>,
    pub(crate) policies: Policies,
    pub(crate) exporters: BTreeMap<Name, ExporterEntry>,
    /// Exporters that are connected now, and how often. That is known of those that nobody has told of yet as well.
    pub(crate) connected: HashMap<Name, usize>,
    /// Those that are not over, or whose end is not written down completely.
    pub(crate) leases: BTreeMap<Name, LeaseEntry>,
    pub(crate) classes: Classes,
    /// What an exporter says about its holder → exporters.
    pub(crate) claims: BTreeMap<String, BTreeSet<Name>>,
    /// Exporter → leases that say that they have it.
    pub(crate) assigned: HashMap<Name, BTreeSet<Name>>,
    /// Objects that somebody names and that are not there: read afresh, or seen going.
    pub(crate) absent: HashSet<Key>,
    pub(crate) looking: HashSet<Key>,
    pub(crate) deadlines: Deadlines,
    pub(crate) dirty_exporters: BTreeSet<Name>,
    pub(crate) dirty_leases: BTreeSet<Name>,
    /// Leases that have come into the queue and have not been matched with what is free.
    pub(crate) fresh: BTreeSet<Turn>,
    /// Exporters that have become free and have not been matched with who waits.
    pub(crate) freed: BTreeSet<Name>,
    /// Leases that must be told that they wait, unless they need not.
    pub(crate) untold: BTreeSet<Name>,
    pub(crate) flights: HashMap<Ticket, Flight>,
    next_ticket: u64,
    pub(crate) effects: Vec<Effect>,
}

/// Everything there is, as it was read.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The clients.
    pub clients: Vec<Arc<Client>>,
    /// The access policies.
    pub policies: Vec<Arc<ExporterAccessPolicy>>,
    /// The exporters.
    pub exporters: Vec<Arc<Exporter>>,
    /// The leases that do not carry the label that says that they are over. They must be read **after** the exporters: a
    /// lease that an exporter names and that is not among these is then known to be over.
    pub leases: Vec<Arc<Lease>>,
}

#[derive(Debug)]
pub(crate) struct ExporterEntry {
    pub(crate) object: Arc<Exporter>,
    pub(crate) labels: Labels,
    /// When it was heard of, beside what the object says.
    pub(crate) heard: Option<Timestamp>,
    /// Since when it is known to be offline.
    pub(crate) offline_since: Option<Timestamp>,
    pub(crate) state: State,
    /// The lease that this exporter is being given to.
    pub(crate) claiming: Option<Name>,
    /// A holder that is over, as the exporter names it.
    pub(crate) over: Option<String>,
    pub(crate) pace: Pace,
}

#[derive(Debug)]
pub(crate) struct LeaseEntry {
    pub(crate) object: Arc<Lease>,
    pub(crate) turn: Option<(ClassId, Turn)>,
    /// The exporter that is being given to it.
    pub(crate) claiming: Option<Name>,
    /// Its exporter has been read afresh since it said that it has it.
    pub(crate) exporter_is_fresh: bool,
    /// When its client last asked about it, if it has.
    pub(crate) heard: Option<Timestamp>,
    pub(crate) pace: Pace,
}

/// Writes to one object go one after the other, and slower when they fail.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    pub(crate) flying: Option<Ticket>,
    pub(crate) failures: u32,
    pub(crate) not_before: Option<Timestamp>,
}

impl Pace {
    /// Whether nothing may be written now.
    pub(crate) fn blocked(&self, now: Timestamp) -> bool {
        self.flying.is_some() || self.not_before.is_some_and(|at| at > now)
    }

    fn failed(&mut self, now: Timestamp) {
        // 1 s, doubling to half a minute.
        let wait = Duration::from_secs(1 << self.failures.min(5)).min(Duration::from_secs(30));
        self.failures += 1;
        self.not_before = Some(after(now, SignedDuration::try_from(wait).unwrap_or_default()));
    }
}

/// A write that is under way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) key: Key,
    /// What has happened when it is done.
    pub(crate) note: Option<Note>,
    /// The version that the object must have.
    version: String,
    /// Whether the object was seen going meanwhile.
    gone: bool,
}

impl Leasing {
    /// Knowing nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Everything there is, at the start and whenever a watch could not go on. What is known and not in it is gone. Writes
    /// that are under way stay so.
    ///
    /// An exporter that was online gets a whole period to be heard of, and so does the client of a lease: whoever watched them
    /// may have been the one that was away.
    pub fn load(&mut self, snapshot: Snapshot, now: Timestamp) {
        let all: HashSet<Key> = snapshot
            .exporters
            .iter()
            .map(|object| Key::new(Kind::Exporter, object.name_any()))
            .chain(snapshot.leases.iter().map(|object| Key::new(Kind::Lease, object.name_any())))
            .collect();
        let known = self.exporters.keys().map(|name| Key::new(Kind::Exporter, name.clone()));
        let known = known.chain(self.leases.keys().map(|name| Key::new(Kind::Lease, name.clone())));
        for key in known.filter(|key| !all.contains(key)).collect::<Vec<_>>() {
            self.remove(&key);
        }
        self.clients.clear();
        self.policies.clear();
        self.absent.clear();
        for client in snapshot.clients {
            self.clients.insert(client.name_any().into(), client);
        }
        for policy in snapshot.policies {
            self.policies.put(policy.name_any().into(), &policy);
        }
        self.deadlines.clear();
        self.everything_may_differ();
        for exporter in snapshot.exporters {
            let online = exporter.is_online();
            let name: Name = exporter.name_any().into();
            self.put_exporter(name.clone(), exporter);
            if let Some(entry) = self.exporters.get_mut(&name).filter(|_| online) {
                entry.heard = entry.heard.max(Some(now));
            }
        }
        for lease in snapshot.leases {
            let name: Name = lease.name_any().into();
            self.put_lease(name.clone(), lease);
            self.asked_about(&name, now);
        }
        for entry in self.exporters.values_mut() {
            let holder = entry.object.holder();
            if holder.is_some_and(|(lease, _)| !self.leases.contains_key(lease)) {
                entry.over = holder.map(|(lease, uid)| format!("{lease}/{uid}"));
            }
        }
    }

    /// An object is new, or has changed. What is older than what is known is ignored.
    pub fn apply(&mut self, object: Object) {
        let key = object.key();
        self.absent.remove(&key);
        self.looking.remove(&key);
        match object {
            Object::Client(client) => {
                let old = self.clients.get(&key.name);
                if old.is_some_and(|old| !is_newer(&client.metadata, &old.metadata)) {
                    return;
                }
                let moved = old.is_none_or(|old| old.metadata.labels != client.metadata.labels);
                self.clients.insert(key.name.clone(), client);
                if moved {
                    self.leases_of(&key.name);
                }
            }
            Object::Policy(policy) => {
                self.policies.put(key.name, &policy);
                self.everything_may_differ();
            }
            Object::Exporter(exporter) => self.put_exporter(key.name, exporter),
            Object::Lease(lease) => self.put_lease(key.name, lease),
        }
    }

    /// An object is gone.
    pub fn remove(&mut self, key: &Key) {
        for flight in self.flights.values_mut().filter(|flight| flight.key == *key) {
            flight.gone = true;
        }
        self.looking.remove(key);
        match key.kind {
            Kind::Client => {
                self.clients.remove(&key.name);
                self.is_absent(key.clone());
                self.leases_of(&key.name);
            }
            Kind::Policy => {
                if self.policies.remove(&key.name) {
                    self.everything_may_differ();
                }
            }
            Kind::Exporter => self.drop_exporter(&key.name),
            Kind::Lease => {
                self.drop_lease(&key.name);
                // Exporters that name it are told that it is over, even if it was never known here. (`0` follows `/`.)
                let named = format!("{}/", key.name)..format!("{}0", key.name);
                let claims: Vec<_> =
                    self.claims.range(named).map(|(holder, all)| (holder.clone(), all.clone())).collect();
                for (holder, exporters) in claims {
                    self.is_over(&holder, exporters);
                }
            }
        }
    }

    /// An exporter has been heard of. Nothing is written for that alone.
    pub fn seen(&mut self, exporter: &str, now: Timestamp) {
        if let Some((name, entry)) = self.exporters.get_key_value(exporter) {
            // Only what turns over needs a step: the rest is found out when it would be due.
            if entry.offline_since.is_some() {
                self.dirty_exporters.insert(name.clone());
            }
            if let Some(entry) = self.exporters.get_mut(exporter) {
                entry.heard = Some(now);
            }
        }
    }

    /// The client of a lease has asked about it. Nothing is written for that, and no step is needed: that nobody has is found
    /// out when it would be due.
    pub fn asked_about(&mut self, lease: &str, now: Timestamp) {
        if let Some(entry) = self.leases.get_mut(lease) {
            entry.heard = entry.heard.max(Some(now));
        }
    }

    /// Whoever asked may not have been heard: this program or its machine did not run, or the clock was set. Every client that
    /// holds a lease has its whole time again.
    pub fn was_away(&mut self, now: Timestamp) {
        for (name, entry) in self.leases.iter_mut().filter(|(_, entry)| entry.object.is_held()) {
            entry.heard = Some(now);
            self.dirty_leases.insert(name.clone());
        }
    }

    /// An exporter has connected. It is there until as many of its connections are gone ([`Leasing::parted`]); whatever time
    /// passes meanwhile, nothing is to be done for that.
    pub fn connected(&mut self, exporter: &str, now: Timestamp) {
        *self.connected.entry(exporter.into()).or_default() += 1;
        self.connection_changed(exporter, now);
    }

    /// A connection of an exporter is gone. From now on it has its time to be heard of again.
    pub fn parted(&mut self, exporter: &str, now: Timestamp) {
        if let Some(count) = self.connected.get_mut(exporter) {
            *count -= 1;
            if *count == 0 {
                self.connected.remove(exporter);
            }
        }
        self.connection_changed(exporter, now);
    }

    fn connection_changed(&mut self, exporter: &str, now: Timestamp) {
        self.seen(exporter, now);
        if let Some((name, _)) = self.exporters.get_key_value(exporter) {
            self.dirty_exporters.insert(name.clone());
        }
    }

    /// When an exporter was heard of, beside what its object says.
    pub(crate) fn heard(&self, exporter: &Name) -> Heard {
        if self.connected.contains_key(exporter) {
            return Heard::Connected;
        }
        self.exporters.get(exporter).and_then(|entry| entry.heard).map_or(Heard::Never, Heard::At)
    }

    /// What came of a write.
    pub fn written(&mut self, ticket: Ticket, outcome: Outcome, now: Timestamp) {
        let Some(flight) = self.flights.remove(&ticket) else { return };
        let key = flight.key;
        let claimed = match key.kind {
            Kind::Exporter => self.exporters.get_mut(&key.name).and_then(|entry| {
                entry.pace.flying = None;
                entry.claiming.take()
            }),
            Kind::Lease => {
                if let Some(entry) = self.leases.get_mut(&key.name) {
                    entry.pace.flying = None;
                }
                None
            }
            Kind::Client | Kind::Policy => None,
        };
        if let Some(lease) = claimed {
            if let Some(entry) = self.leases.get_mut(&lease) {
                entry.claiming = None;
            }
            self.dirty_leases.insert(lease);
        }
        if let Some(pace) = self.pace_of(&key) {
            match outcome {
                Outcome::Failed => pace.failed(now),
                _ => *pace = Pace::default(),
            }
        }
        match key.kind {
            Kind::Exporter => self.dirty_exporters.insert(key.name.clone()),
            _ => self.dirty_leases.insert(key.name.clone()),
        };
        match outcome {
            Outcome::Written(object) => {
                self.effects.extend(flight.note.map(Effect::Note));
                // What was written and then seen going is gone, whichever news came first.
                if !flight.gone {
                    self.apply(object);
                }
            }
            Outcome::Conflict(Some(object)) => {
                // A refusal although the object is as it was said to be: to insist at once would be to insist for ever.
                let unfounded = object.version() == flight.version;
                self.apply(object);
                if unfounded && let Some(pace) = self.pace_of(&key) {
                    pace.failed(now);
                }
            }
            Outcome::Conflict(None) => self.remove(&key),
            Outcome::Failed => {}
        }
    }

    pub(crate) fn pace_of(&mut self, key: &Key) -> Option<&mut Pace> {
        match key.kind {
            Kind::Exporter => self.exporters.get_mut(&key.name).map(|entry| &mut entry.pace),
            _ => self.leases.get_mut(&key.name).map(|entry| &mut entry.pace),
        }
    }

    /// What there was when an object was read afresh.
    pub fn looked(&mut self, key: &Key, found: Option<Object>) {
        let asked = self.looking.remove(key);
        if let Some(object) = found {
            self.apply(object);
            for lease in
                self.assigned.get(&key.name).into_iter().flatten().filter(|_| key.kind == Kind::Exporter)
            {
                if let Some(entry) = self.leases.get_mut(lease) {
                    entry.exporter_is_fresh = true;
                }
            }
        } else if asked {
            self.remove(key);
            self.absent.insert(key.clone());
        } else {
            // News has come meanwhile, and knows better than a look that began before it.
            return;
        }
        match key.kind {
            Kind::Lease => {}
            Kind::Exporter => {
                let named = |(_, entry): &(&Name, &LeaseEntry)| {
                    let lease = &entry.object;
                    [lease.exporter(), lease.wanted_exporter()].contains(&Some(&*key.name))
                };
                let names: Vec<_> = self.leases.iter().filter(named).map(|(name, _)| name.clone()).collect();
                self.dirty_leases.extend(names);
            }
            Kind::Client | Kind::Policy => self.leases_of(&key.name),
        }
    }

    /// When there is something to do although nothing happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.next()
    }

    /// What is to be done now. To be called after anything was told, and at [`next_deadline`](Self::next_deadline).
    pub fn step(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.deadlines.next().is_some_and(|due| after(due, LATE) < now) {
            self.was_away(now);
        }
        while let Some(key) = self.deadlines.pop(now) {
            match key.kind {
                Kind::Exporter => self.dirty_exporters.insert(key.name),
                _ => self.dirty_leases.insert(key.name),
            };
        }
        loop {
            if let Some(name) = self.dirty_exporters.pop_first() {
                self.settle_exporter(&name, now);
            } else if let Some(name) = self.dirty_leases.pop_first() {
                self.settle_lease(&name, now);
            } else if !self.assign(now) {
                break;
            }
        }
        for name in std::mem::take(&mut self.untold) {
            self.tell_that_it_waits(&name, now);
        }
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn takeoff(&mut self, key: Key, version: String, note: Option<Note>) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.flights.insert(ticket, Flight { key, note, version, gone: false });
        ticket
    }
}

impl ExporterEntry {
    pub(crate) fn as_member<'a>(&'a self, name: &'a Name) -> class::Exporter<'a> {
        class::Exporter { name, labels: &self.labels, enabled: self.object.is_enabled(), state: self.state }
    }

    pub(crate) fn meta(&self) -> &ObjectMeta {
        &self.object.metadata
    }
}
