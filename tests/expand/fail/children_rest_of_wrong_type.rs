//! Everything else is not one client.

use jumpstarter::{Children, Result, children, interface};

/// Something with a switch.
#[interface(name = "switch", version = 1, package = "example")]
pub trait Switch {
    /// Switch it on.
    async fn on(&self) -> Result<()>;
}

/// What a board is made of.
#[children]
pub struct Parts {
    /// All others.
    #[child(rest)]
    pub others: SwitchClient,
}

fn main() {
    let _ = |parts: Parts, switch: SwitchClient, others: Children| (parts, switch, others);
    let _ = <Parts as jumpstarter::ChildSet>::SPECS;
}
