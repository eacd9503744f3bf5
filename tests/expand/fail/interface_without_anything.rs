//! Neither name nor version.

use jumpstarter::{Result, interface};

/// Something that shines.
#[interface]
pub trait LampPost {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

fn main() {
    assert_eq!(LampPostClient::describe().name, "lamp-post");
}
