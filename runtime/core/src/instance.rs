//! [`Instance`]: one open driver in a session's tree.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::{Result, dispatch::Provided, log::Logger};

/// What can be asked of every driver, whatever it provides.
pub trait Lifecycle: Send + Sync {
    /// Brings the device back to where a new user expects it.
    fn reset(&self) -> BoxFuture<'_, Result<()>>;
    /// Gives the device back.
    fn close(&self) -> BoxFuture<'_, Result<()>>;
}

/// One open driver: identity, what it says about itself, what it provides, and its children.
pub struct Instance {
    /// Identity within the session.
    pub uuid: Uuid,
    /// The driver's public name, for example `mock-power`.
    pub type_name: String,
    /// Class path of the Python client, for upstream's clients.
    pub client: String,
    /// Labels besides `jumpstarter.dev/client` and `jumpstarter.dev/name`.
    pub labels: BTreeMap<String, String>,
    /// What the configuration says about it.
    pub description: Option<String>,
    /// Help texts for commands, from the configuration.
    pub methods_description: BTreeMap<String, String>,
    /// The interfaces.
    pub provides: Vec<Provided>,
    /// Children with the names they have here, in order. The same instance can be a child in several places.
    pub children: Vec<(String, Arc<Instance>)>,
    /// Reset and close.
    pub lifecycle: Arc<dyn Lifecycle>,
    /// How it speaks.
    pub logger: Logger,
    /// Set when a call panicked: the driver's state is in doubt until it was reset.
    pub suspect: AtomicBool,
}

impl Instance {
    /// The child with this name.
    pub fn child(&self, name: &str) -> Option<&Arc<Instance>> {
        self.children.iter().find(|(child, _)| child == name).map(|(_, instance)| instance)
    }

    /// The instance at the end of a path of names, for example `board.power`.
    pub fn find(self: &Arc<Self>, path: &str) -> Option<Arc<Instance>> {
        path.split('.')
            .filter(|name| !name.is_empty())
            .try_fold(self.clone(), |at, name| at.child(name).cloned())
    }

    /// Marks or clears doubt about the driver's state.
    pub fn set_suspect(&self, suspect: bool) {
        self.suspect.store(suspect, Ordering::Relaxed);
    }

    /// Whether a call panicked since the last reset.
    pub fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("uuid", &self.uuid)
            .field("type", &self.type_name)
            .field("provides", &self.provides)
            .field("children", &self.children)
            .finish_non_exhaustive()
    }
}
