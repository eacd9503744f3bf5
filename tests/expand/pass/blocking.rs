//! A method that blocks its thread.

use jumpstarter::{Result, interface};

/// Waits without being asynchronous.
#[interface(name = "waiting", version = 1, package = "example")]
pub trait Waiting {
    /// Add, slowly.
    #[blocking]
    fn add(&self, a: i64, b: i64) -> Result<i64>;
}
