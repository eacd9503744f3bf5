//! A command that is not asynchronous, and one with an unknown key.

use jumpstarter::{Result, commands, interface};

/// Something that shines.
#[interface(name = "lamp", version = 1, package = "example")]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

#[commands]
impl LampClient {
    /// Nothing.
    pub fn nothing(&self) -> Result<()> {
        Ok(())
    }

    /// Shine often.
    pub async fn often(&self, #[arg(lang)] count: u32) -> Result<()> {
        for _ in 0..count {
            self.shine().await?;
        }
        Ok(())
    }

    fn helper(&self) {}
}

fn main() {
    let _ = |lamp: LampClient| { lamp.helper(); lamp.nothing() };
}
