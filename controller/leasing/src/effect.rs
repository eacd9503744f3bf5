//! What leasing wants to be done, and how it learns what came of it.

use std::time::Duration;

use serde_json::Value;

use crate::object::{Key, Name, Object};

/// What differs between labs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// An exporter that has not been heard of for this long is offline.
    pub offline_after: Duration,
    /// An exporter that has been offline for this long loses its lease. Without it a lease goes on to its end.
    pub lost_after: Option<Duration>,
    /// A lease whose client holds it ends when that client has not asked about it for this long. Without it a lease goes on
    /// to its end.
    pub abandoned_after: Option<Duration>,
}

impl Default for Settings {
    /// One minute, as in the existing controller, and five, for either side.
    fn default() -> Self {
        Self {
            offline_after: Duration::from_mins(1),
            lost_after: Some(Duration::from_mins(5)),
            abandoned_after: Some(Duration::from_mins(5)),
        }
    }
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Change an object. The answer goes to [`written`](crate::Leasing::written).
    Write(Write),
    /// Read an object afresh, past any cache. The answer goes to [`looked`](crate::Leasing::looked).
    Look(Key),
    /// Nothing to do: something happened that people and counters want to know.
    Note(Note),
}

/// Which write an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// A change of one object, on the condition that it is still as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Names this write in the answer.
    pub ticket: Ticket,
    /// Which object.
    pub key: Key,
    /// The resource version that it must have. Otherwise nothing is written, and that is the answer.
    pub version: String,
    /// Which part it changes; stores keep the two apart.
    pub part: Part,
    /// A JSON merge patch for the object (RFC 7396): only what changes, so that nothing of anybody else is lost.
    pub patch: Value,
}

/// A part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Everything but the status: here, labels, annotations and owners.
    Main,
    /// The status.
    Status,
}

/// What came of a write.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was done; the object as it is now.
    Written(Object),
    /// It was not, because the object was not as it had been; as it is now, or nothing if there is none any more.
    Conflict(Option<Object>),
    /// Nobody knows. It is tried again, if it is still wanted then.
    Failed,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A lease got an exporter.
    Acquired {
        /// Which lease.
        lease: Name,
        /// Whose it is.
        client: Name,
        /// Which exporter.
        exporter: Name,
        /// The number of the lease on that exporter.
        epoch: u64,
        /// How long it had waited.
        waited: Duration,
    },
    /// A lease is over; the reason as in its condition.
    Ended {
        /// Which lease.
        lease: Name,
        /// Whose it is.
        client: Name,
        /// Which exporter it had, if any.
        exporter: Option<Name>,
        /// `Released`, `Expired`, `ExporterLost`, `ExporterDeleted`, `ClientLost`, or why it could not be satisfied.
        reason: String,
        /// Whether it never had an exporter, because none will do.
        refused: bool,
    },
    /// An exporter is there, or not any more.
    Online {
        /// Which exporter.
        exporter: Name,
        /// Whether it is.
        online: bool,
    },
}
