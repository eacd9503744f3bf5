//! The caller fills this one.

use jumpstarter::{Result, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
    /// Dim it.
    async fn dim(&self, #[inject] level: f64) -> Result<()>;
}

struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
    async fn dim(&self, _: f64) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let lamp = LampClient::local(Mock);
    drop(async move { lamp.shine().await });
    assert_eq!(LampClient::describe().name, "lamp");
}
