//! A byte stream has no arguments.

use jumpstarter::{Result, interface, Io};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
    /// Dim it.
    async fn dim(&self, port: u32) -> Result<Io>;
}

struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
    async fn dim(&self, _: u32) -> Result<Io> {
        Ok(Io::pair().0)
    }
}

fn main() {
    let lamp = LampClient::local(Mock);
    drop(async move { lamp.shine().await });
    assert_eq!(LampClient::describe().name, "lamp");
}
