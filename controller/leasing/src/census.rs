//! How many there are of what.

use crate::{class::State, leasing::Leasing};

/// Leases that are not over, and exporters, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Leases that wait.
    pub pending: usize,
    /// Leases that have an exporter.
    pub active: usize,
    /// Exporters that do not answer.
    pub offline: usize,
    /// Exporters that nobody has, and that can be had.
    pub free: usize,
    /// Exporters that nobody has, and that are not ready.
    pub busy: usize,
    /// Exporters that a lease has.
    pub leased: usize,
}

impl Leasing {
    /// Counts. Takes time in proportion to what there is.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for entry in self.leases.values().filter(|entry| !entry.object.is_ended()) {
            *(if entry.object.exporter().is_some() { &mut census.active } else { &mut census.pending }) += 1;
        }
        for entry in self.exporters.values() {
            *(match entry.state {
                State::Offline => &mut census.offline,
                State::Held => &mut census.leased,
                State::NotReady => &mut census.busy,
                State::Free => &mut census.free,
            }) += 1;
        }
        census
    }
}
