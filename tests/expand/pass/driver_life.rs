//! A driver with children and a life of its own.

use jumpstarter::{Driver, NoConfig, Open, Result, children, driver, interface};

/// Something with a switch.
#[interface(name = "switch", version = 1, package = "example")]
pub trait Switch {
    /// Switch it on.
    async fn on(&self) -> Result<()>;
}

/// Something that boots.
#[interface(name = "board", version = 1, package = "example")]
pub trait Board {
    /// Boot it.
    async fn boot(&self) -> Result<()>;
}

/// What it is made of.
#[children]
pub struct BoardParts {
    /// Its supply.
    pub power: SwitchClient,
}

/// A board with a supply.
#[driver(type = "board", provides(Board, Switch), children = BoardParts, client = "example.client.BoardClient")]
pub struct DemoBoard {
    parts: BoardParts,
}

impl Driver for DemoBoard {
    async fn open(_: NoConfig, cx: &mut Open<BoardParts>) -> Result<Self> {
        Ok(Self { parts: cx.children()? })
    }

    async fn reset(&self) -> Result<()> {
        self.parts.power.on().await
    }
}

impl Board for DemoBoard {
    async fn boot(&self) -> Result<()> {
        self.on().await
    }
}

impl Switch for DemoBoard {
    async fn on(&self) -> Result<()> {
        self.parts.power.on().await
    }
}
