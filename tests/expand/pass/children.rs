//! Every kind of child.

use jumpstarter::{Children, Result, children, interface};

/// Something with a switch.
#[interface(name = "switch", version = 1, package = "example")]
pub trait Switch {
    /// Switch it on.
    async fn on(&self) -> Result<()>;
}

/// What a board is made of.
#[children]
pub struct BoardParts {
    /// Its supply.
    #[child(also("supply", "psu"))]
    pub power: SwitchClient,
    /// A fan, if there is one.
    pub fan: Option<SwitchClient>,
    /// Made by the board.
    #[child(made, name = "led-1")]
    pub led: SwitchClient,
    /// All others.
    #[child(rest)]
    pub others: Children,
}
