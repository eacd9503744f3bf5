//! A byte stream that may be absent.

use jumpstarter::{Result, interface, Io};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
    /// Dim it.
    async fn dim(&self) -> Result<Option<Io>>;
}

struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
    async fn dim(&self) -> Result<Option<Io>> {
        Ok(None)
    }
}

fn main() {
    let lamp = LampClient::local(Mock);
    drop(async move { lamp.shine().await });
    assert_eq!(LampClient::describe().name, "lamp");
}
