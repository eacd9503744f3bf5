//! A command that hides a method.

use jumpstarter::{Result, commands, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

#[commands]
impl LampClient {
    /// Shine twice.
    #[export(name = "shine")]
    pub async fn shine_twice(&self) -> Result<()> {
        self.shine().await?;
        self.shine().await
    }
}

fn main() {
    drop(async move |lamp: LampClient| lamp.shine_twice().await);
}
