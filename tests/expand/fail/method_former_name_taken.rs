//! A former name that another method has.

use jumpstarter::{Result, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
    /// Dim it.
    #[renamed_from = "shine"]
    async fn dim(&self) -> Result<()>;
    /// Blink.
    #[renamed_from = "flash"]
    async fn blink(&self) -> Result<()>;
    /// Flicker.
    #[renamed_from("strobe", "flash")]
    async fn flicker(&self) -> Result<()>;
}

struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
    async fn dim(&self) -> Result<()> {
        Ok(())
    }
    async fn blink(&self) -> Result<()> {
        Ok(())
    }
    async fn flicker(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let lamp = LampClient::local(Mock);
    drop(async move { lamp.shine().await });
    assert_eq!(LampClient::describe().name, "lamp");
}
