//! Gives exporters to leases.

use jiff::Timestamp;

use crate::{
    class::State,
    effect::Part,
    exporters,
    leasing::Leasing,
    object::{Kind, Name, holder_text},
};

impl Leasing {
    /// Brings together who waits and what is free. Returns whether that leaves something to be looked at.
    ///
    /// As long as nothing is under way, no exporter is free that somebody waits for. So only those have to be looked at that
    /// have come or have become free since.
    pub(crate) fn assign(&mut self, now: Timestamp) -> bool {
        let mut done = false;
        while let Some(turn) = self.fresh.pop_first() {
            let lease = turn.lease;
            // Whoever is first for an exporter gets it; that may be somebody else, and then the next exporter is tried.
            while let Some(exporter) = self.first_free(&lease) {
                if !self.give_away(&exporter, now) {
                    break;
                }
                done = true;
            }
        }
        while let Some(exporter) = self.freed.pop_first() {
            done |= self.give_away(&exporter, now);
        }
        done
    }

    fn first_free(&self, lease: &str) -> Option<Name> {
        let (class, _) = self.leases.get(lease)?.turn.as_ref()?;
        let (_, name) = self.classes.get(*class)?.free.first()?;
        Some(name.clone())
    }

    /// Gives a free exporter to whoever is first for it.
    fn give_away(&mut self, exporter: &Name, now: Timestamp) -> bool {
        let free = self.exporters.get(exporter).is_some_and(|entry| entry.state == State::Free);
        if !free {
            return false;
        }
        let Some((turn, _)) = self.classes.next_for(exporter) else { return false };
        self.dequeue(&turn.lease);
        let Some(lease) = self.leases.get_mut(&turn.lease) else { return false };
        lease.claiming = Some(exporter.clone());
        let holder = holder_text(&lease.object);
        let Some(entry) = self.exporters.get_mut(exporter) else { return false };
        entry.claiming = Some(turn.lease);
        let epoch = entry.object.lease_epoch().saturating_add(1);
        self.write(Kind::Exporter, exporter, Part::Main, exporters::claim(epoch, &holder), None);
        self.settle_exporter(exporter, now);
        true
    }
}
