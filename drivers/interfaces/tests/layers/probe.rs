//! Lengths of time and JSON at every place where a value can be.

use std::collections::BTreeMap;

use jumpstarter::{Delay, Result, Stream, interface, message};
use prost_types::Value;

/// Says again what it is told.
#[interface(name = "probe", version = 1, package = "org.example")]
pub(crate) trait Probe {
    /// Lengths of time.
    async fn wait(
        &self,
        time: Delay,
        at_most: Option<Delay>,
        #[default = "1s"] pause: Delay,
    ) -> Result<Delay>;
    /// Several lengths of time.
    async fn waits(&self, times: Vec<Delay>, named: BTreeMap<String, Delay>) -> Result<Stream<Delay>>;
    /// The shortest and the longest.
    async fn range(&self, times: Vec<Delay>) -> Result<BTreeMap<String, Delay>>;
    /// A length of time, perhaps.
    async fn perhaps(&self, time: Option<Delay>) -> Result<Option<Delay>>;
    /// JSON.
    async fn say(&self, what: Value, named: BTreeMap<String, Value>, more: Vec<Value>) -> Result<Value>;
    /// JSON, many times.
    async fn repeat(&self, what: Value) -> Result<Stream<Vec<Value>>>;
    /// Both inside of a message.
    async fn both(&self, both: Both) -> Result<Both>;
}

/// Lengths of time and JSON.
#[message]
pub(crate) struct Both {
    /// One of each.
    pub(crate) time: Delay,
    /// JSON.
    pub(crate) what: Value,
    /// Absent or not.
    pub(crate) later: Option<Delay>,
    /// Several.
    pub(crate) times: Vec<Delay>,
    /// By name.
    pub(crate) named: BTreeMap<String, Delay>,
    /// Several of the other.
    pub(crate) anything: Vec<Value>,
    /// By name.
    pub(crate) by_name: BTreeMap<String, Value>,
}
