//! A message, with everything that fields can have.

use std::collections::BTreeMap;

use jumpstarter::message;

/// A partition.
#[message]
#[reserved(2, "start")]
#[derive(Clone, Default)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Its size.
    #[default = 512]
    #[unit = "B"]
    pub size: u64,
    /// Words about it.
    #[tag = 9]
    pub labels: BTreeMap<String, String>,
    pub r#type: Option<String>,
    /// Partitions within.
    pub inner: Vec<Partition>,
}
