//! Names that are taken.

use jumpstarter::{Result, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
    /// Where it is.
    async fn local(&self) -> Result<()>;
    /// What it is.
    async fn describe(&self) -> Result<()>;
}

struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
    async fn local(&self) -> Result<()> {
        Ok(())
    }
    async fn describe(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let lamp = LampClient::local(Mock);
    drop(async move { lamp.shine().await });
    assert_eq!(LampClient::describe().name, "lamp");
}
