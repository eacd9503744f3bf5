//! Commands belong to the client alone.

use jumpstarter::{Result, commands, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

/// Something else.
pub struct Mock;

#[commands]
impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let _ = LampClient::local(Mock);
}
