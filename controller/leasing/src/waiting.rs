//! Where a lease is in the queue, why it waits, and for how long.
//!
//! Nothing of this is stored: it changes with every lease that comes or goes. It is put into the message of the condition
//! when somebody reads the lease.

use std::{cmp::Reverse, collections::BinaryHeap};

use jiff::{SignedDuration, Timestamp};
use jumpstarter_api::{Condition, Lease, ResourceExt as _, condition, lease::PENDING};

use crate::{
    class::{Class, ClassId, Member, State, Turn},
    leasing::Leasing,
    times,
    words::{self, Because, about},
};

/// What there is to say about a lease that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place: 1 is next.
    pub position: usize,
    /// How many wait for the exporters that it can use, itself included.
    pub of: usize,
    /// Why it waits.
    pub because: Because,
    /// When the first lease of those exporters ends, as far as that is known.
    pub first_ends: Option<Timestamp>,
    /// When it will get an exporter, if leases last as long as they were asked for and nobody comes that goes before it.
    pub estimate: Option<Timestamp>,
    /// All of it in one line.
    pub message: String,
}

impl Leasing {
    /// What there is to say about a lease that waits; nothing about others.
    pub fn waiting(&self, lease: &str, now: Timestamp) -> Option<Waiting> {
        let entry = self.leases.get(lease)?;
        let (class_id, turn) = entry.turn.as_ref()?;
        let class = self.classes.get(*class_id)?;
        let because = Because::of(&class.counts);
        let (ahead, of) = self.classes.ahead(*class_id, turn);
        let ends = self.ends(*class_id, now);
        let first_ends = ends.iter().copied().min().filter(|_| because == Because::NotAvailable);
        let estimate = self.estimate(*class_id, turn, ahead, ends);
        let own = self.waits_for_itself(class, &entry.object);
        let mut parts = vec![words::pending(&class.counts, own).message];
        if let Some(first) = first_ends {
            let which = if class.counts.online == 1 { "it" } else { "the first" };
            parts.push(format!("{which} ends in {}", about(first.duration_since(now))));
        }
        let wait = estimate
            .filter(|_| ahead > 0)
            .map(|at| format!(", about {} to wait", about(at.duration_since(now))));
        parts.push(format!("place {} of {of}{}", ahead + 1, wait.unwrap_or_default()));
        let message = parts.join("; ");
        Some(Waiting { position: ahead + 1, of, because, first_ends, estimate, message })
    }

    /// The conditions of a lease as somebody who reads it now should see them: stored ones, with what there is to say about
    /// the wait.
    pub fn conditions(&self, lease: &Lease, now: Timestamp) -> Vec<Condition> {
        let mut conditions =
            lease.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        if let Some(waiting) = self.waiting(&lease.name_any(), now) {
            let reason = waiting.because.reason();
            let generation = lease.metadata.generation;
            condition::set(&mut conditions, PENDING, true, reason, &waiting.message, generation, now);
        }
        conditions
    }

    /// Whether the only exporter of a class that is online has another lease of the client that waits for it.
    pub(crate) fn waits_for_itself(&self, class: &Class, lease: &Lease) -> bool {
        if class.counts.online != 1 {
            return false;
        }
        let usable = |member: &Member| member.approval().is_some() && member.state != State::Offline;
        let holder = || {
            let (name, _) = class.members.iter().find(|(_, member)| usable(member))?;
            let holder = self.leases.get(self.assigned.get(name)?.first()?)?;
            Some(&holder.object.spec.client_ref.name)
        };
        holder().is_some_and(|client| *client == lease.spec.client_ref.name)
    }

    /// When the leases end that have the exporters of a class. An exporter that nobody has frees soon; one that is offline
    /// may never.
    fn ends(&self, class: ClassId, now: Timestamp) -> Vec<Timestamp> {
        let Some(class) = self.classes.get(class) else { return Vec::new() };
        let usable = class.members.iter().filter(|(_, member)| member.approval().is_some());
        let online = usable.filter(|(_, member)| member.state != State::Offline);
        let end = |exporter: &str| {
            let lease = self.assigned.get(exporter)?.first()?;
            times::expiry(&self.leases.get(lease)?.object)
        };
        online.map(|(name, _)| end(name).map_or(now, |end| end.max(now))).collect()
    }

    /// Everybody ahead takes the exporter that frees next, for as long as was asked for.
    fn estimate(&self, class: ClassId, turn: &Turn, ahead: usize, ends: Vec<Timestamp>) -> Option<Timestamp> {
        let mut free: BinaryHeap<_> = ends.into_iter().map(Reverse).collect();
        let mut before = self.durations_before(class, turn);
        // Those of other classes are taken for average ones.
        let others = ahead.saturating_sub(before.len());
        let sum: SignedDuration =
            before.iter().fold(SignedDuration::ZERO, |sum, one| sum.saturating_add(*one));
        let count = i32::try_from(before.len()).unwrap_or(i32::MAX);
        let own = self.leases.get(&turn.lease).map(|entry| times::requested(&entry.object.spec).signed());
        let average = if count == 0 { own.unwrap_or_default() } else { sum / count };
        before.extend(std::iter::repeat_n(average, others));
        for duration in before {
            let Reverse(next) = free.pop()?;
            free.push(Reverse(times::after(next, duration)));
        }
        free.pop().map(|Reverse(next)| next)
    }

    fn durations_before(&self, class: ClassId, turn: &Turn) -> Vec<SignedDuration> {
        let Some(class) = self.classes.get(class) else { return Vec::new() };
        let before = class.queue.range(..turn).filter_map(|turn| self.leases.get(&turn.lease));
        before.map(|entry| times::requested(&entry.object.spec).signed()).collect()
    }
}
