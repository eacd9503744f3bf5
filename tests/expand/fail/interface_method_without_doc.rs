//! The compiler's own lint asks for the text that `--help` shows, once.
#![deny(missing_docs)]

use jumpstarter::{Result, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1)]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
    async fn dim(&self) -> Result<()>;
}

fn main() {}
