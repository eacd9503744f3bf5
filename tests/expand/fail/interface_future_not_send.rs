//! A future that cannot move between threads is reported at the implementation.

use std::rc::Rc;

use jumpstarter::{Result, interface, task::yield_now};

/// Something that shines.
#[interface(name = "lamp", version = 1)]
pub trait Lamp {
    /// Shine.
    async fn shine(&self) -> Result<()>;
}

struct Mock;

impl Lamp for Mock {
    async fn shine(&self) -> Result<()> {
        let counted = Rc::new(1);
        yield_now().await;
        drop(counted);
        Ok(())
    }
}

fn main() {
    let _ = LampClient::local(Mock);
}
