//! All mistakes of one compile are shown together.

use jumpstarter::{Result, interface};

/// Something that shines.
#[interface(name = "lamp", verison = 1)]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
    /// Dim it.
    fn dim(&self) -> Result<()>;
    /// Paint it.
    async fn paint(&self, colour: &str) -> Result<()>;
    /// Break it.
    async fn smash(&mut self) -> Result<()>;
}

struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
    fn dim(&self) -> Result<()> {
        Ok(())
    }
    async fn paint(&self, _: &str) -> Result<()> {
        Ok(())
    }
    async fn smash(&mut self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let lamp = LampClient::local(Mock);
    drop(async move { lamp.shine().await });
    assert_eq!(LampClient::describe().name, "lamp");
}
