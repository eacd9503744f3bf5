//! One description cannot stand for many traits.

use jumpstarter::{Result, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1)]
pub trait Lamp<T> {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

fn main() {}
