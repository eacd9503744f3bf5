//! There is no `dyn Lamp`; a client takes its place.

use jumpstarter::{Result, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1)]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

fn main() {
    let _: Option<Box<dyn Lamp>> = None;
}
