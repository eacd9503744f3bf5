//! Objects as leasing sees them: what they are called, and which of two is newer.

use std::sync::Arc;

use jiff::Timestamp;
use jumpstarter_api::{Client, Exporter, ExporterAccessPolicy, Lease, ObjectMeta, ResourceExt as _};

/// The name of an object, within one namespace.
pub type Name = Arc<str>;

/// Which kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A client.
    Client,
    /// An exporter.
    Exporter,
    /// A lease.
    Lease,
    /// An access policy.
    Policy,
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
}

impl Key {
    /// The object of this kind and name.
    pub fn new(kind: Kind, name: impl Into<Name>) -> Self {
        Self { kind, name: name.into() }
    }
}

/// An object.
#[derive(Clone, Debug)]
pub enum Object {
    /// A client.
    Client(Arc<Client>),
    /// An exporter.
    Exporter(Arc<Exporter>),
    /// A lease.
    Lease(Arc<Lease>),
    /// An access policy.
    Policy(Arc<ExporterAccessPolicy>),
}

impl Object {
    /// Its kind and name.
    pub fn key(&self) -> Key {
        match self {
            Self::Client(client) => Key::new(Kind::Client, client.name_any()),
            Self::Exporter(exporter) => Key::new(Kind::Exporter, exporter.name_any()),
            Self::Lease(lease) => Key::new(Kind::Lease, lease.name_any()),
            Self::Policy(policy) => Key::new(Kind::Policy, policy.name_any()),
        }
    }
}

impl Object {
    pub(crate) fn version(&self) -> &str {
        version(match self {
            Self::Client(client) => &client.metadata,
            Self::Exporter(exporter) => &exporter.metadata,
            Self::Lease(lease) => &lease.metadata,
            Self::Policy(policy) => &policy.metadata,
        })
    }
}

macro_rules! from {
    ($($kind:ident $type:ty),*) => {
        $(impl From<$type> for Object {
            fn from(object: $type) -> Self {
                Self::$kind(Arc::new(object))
            }
        })*
    };
}
from!(Client Client, Exporter Exporter, Lease Lease, Policy ExporterAccessPolicy);

/// The version of an object; empty if it has none.
pub(crate) fn version(meta: &ObjectMeta) -> &str {
    meta.resource_version.as_deref().unwrap_or_default()
}

pub(crate) fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// Whether `new` tells something that is not known from `old`. Versions are numbers that grow, from one object to the next of
/// its name as well; should a store have others, whatever differs is taken as newer, and a wrong guess costs a refused write.
pub(crate) fn is_newer(new: &ObjectMeta, old: &ObjectMeta) -> bool {
    match (version(new).parse::<u64>(), version(old).parse::<u64>()) {
        (Ok(new), Ok(old)) => new > old,
        _ => version(new) != version(old) || uid(new) != uid(old),
    }
}

/// When a lease was made.
pub(crate) fn created(lease: &Lease) -> Timestamp {
    lease.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// Since when a lease waits: since it was made, or since the begin that it asked for.
pub(crate) fn since(lease: &Lease) -> Timestamp {
    let created = created(lease);
    lease.spec.begin_time.as_ref().map_or(created, |begin| begin.0.max(created))
}

/// What an exporter says of the lease that it was given to: name and UID.
pub(crate) fn holder_text(lease: &Lease) -> String {
    format!("{}/{}", lease.name_any(), uid(&lease.metadata))
}
