//! A stream of streams.

use jumpstarter::{Result, interface, Stream};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
    /// Dim it.
    async fn dim(&self) -> Result<Stream<Stream<u32>>>;
}

struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
    async fn dim(&self) -> Result<Stream<Stream<u32>>> {
        Ok(Stream::from_values(Vec::new()))
    }
}

fn main() {
    let lamp = LampClient::local(Mock);
    drop(async move { lamp.shine().await });
    assert_eq!(LampClient::describe().name, "lamp");
}
