//! Names that two children share, and a key that nobody knows.

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
    /// The supply.
    #[child(also("supply"))]
    pub power: SwitchClient,
    /// Another.
    pub supply: SwitchClient,
    /// A fan.
    #[child(optional)]
    pub fan: SwitchClient,
    /// All others.
    #[child(rest)]
    pub others: Children,
    /// All others again.
    #[child(rest)]
    pub more: Children,
}

fn main() {
    let _ = |parts: Parts, switch: SwitchClient, others: Children| (parts, switch, others);
    let _ = <Parts as jumpstarter::ChildSet>::SPECS;
}
