//! A file for a method that answers many times.

use jumpstarter::{Result, interface, Source, Stream};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
    /// Dim it.
    async fn dim(&self, image: Source) -> Result<Stream<u32>>;
}

struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        Ok(())
    }
    async fn dim(&self, _: Source) -> Result<Stream<u32>> {
        Ok(Stream::from_values([1]))
    }
}

fn main() {
    let lamp = LampClient::local(Mock);
    drop(async move { lamp.shine().await });
    assert_eq!(LampClient::describe().name, "lamp");
}
