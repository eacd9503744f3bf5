//! A name that is written otherwise.

use jumpstarter::{Result, interface};

/// Something that shines.
#[interface(name = "MyLamp", version = 0)]
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
