//! The compiler says this one itself.

use jumpstarter::message;

/// A partition.
#[message]
pub struct Partition {
    /// The one within.
    pub inner: Option<Partition>,
}

fn main() {
    
}
