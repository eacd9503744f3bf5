//! A key that nobody knows.

use jumpstarter::{Result, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, pyton = "example.client.LampClient")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;

}

struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }

}

fn main() {
    let lamp = LampClient::local(Mock);
    drop(async move { lamp.shine().await });
    assert_eq!(LampClient::describe().name, "lamp");
}
