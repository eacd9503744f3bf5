//! Drivers that remember what happened to them.

use std::sync::{Mutex, PoisonError};

use jumpstarter::{
    Children, Driver, DriverFactory, Error, Open, Result, children, config, driver, interface,
};
use jumpstarter_exporter::Registry;

/// What happened, in order. Tests that read it run one after another, by [`story`].
static STORY: Mutex<Vec<String>> = Mutex::new(Vec::new());
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The right to read the story; it begins empty.
pub async fn story() -> tokio::sync::MutexGuard<'static, ()> {
    let turn = TURN.lock().await;
    STORY.lock().unwrap_or_else(PoisonError::into_inner).clear();
    turn
}

/// What happened so far.
pub fn told() -> Vec<String> {
    STORY.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn tell(what: impl Into<String>) {
    STORY.lock().unwrap_or_else(PoisonError::into_inner).push(what.into());
}

/// Says its name.
#[interface(name = "named", version = 1, package = "org.example", python = "example.client.Named")]
pub trait Named {
    /// Its name.
    async fn name(&self) -> Result<String>;
}

/// How a probe behaves.
#[config]
pub struct ProbeConfig {
    /// What it calls itself.
    pub name: String,
    /// Fail to open, with these words.
    pub fail: Option<String>,
    /// Fail to open while this file is there.
    pub fail_while: Option<String>,
}

/// A driver that remembers.
#[driver(type = "probe", provides(Named), config = ProbeConfig, aliases("example.driver.Probe"))]
pub struct Probe {
    name: String,
}

impl Driver for Probe {
    async fn open(config: ProbeConfig, _: &mut Open) -> Result<Self> {
        if let Some(words) = config.fail {
            return Err(Error::device(words));
        }
        if config.fail_while.is_some_and(|path| std::path::Path::new(&path).exists()) {
            return Err(Error::device("the plug is out"));
        }
        tell(format!("open {}", config.name));
        Ok(Self { name: config.name })
    }

    async fn reset(&self) -> Result<()> {
        tell(format!("reset {}", self.name));
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        tell(format!("close {}", self.name));
        Ok(())
    }
}

impl Named for Probe {
    async fn name(&self) -> Result<String> {
        Ok(self.name.clone())
    }
}

/// Children of a pair.
#[children]
pub struct Two {
    /// The first.
    pub first: NamedClient,
    /// The second, if there is one.
    #[child(also("other"))]
    pub second: Option<NamedClient>,
}

/// Asks its children for their names while it opens.
#[driver(type = "pair", provides(Named), children = Two)]
pub struct Pair {
    name: String,
}

impl Driver for Pair {
    async fn open(_: jumpstarter::NoConfig, cx: &mut Open<Two>) -> Result<Self> {
        let Two { first, second } = cx.children()?;
        let mut name = first.name().await?;
        if let Some(second) = second {
            name = format!("{name}+{}", second.name().await?);
        }
        tell(format!("open pair of {name}"));
        Ok(Self { name })
    }
}

impl Named for Pair {
    async fn name(&self) -> Result<String> {
        Ok(self.name.clone())
    }
}

/// Something without an interface.
#[driver(type = "mute", provides(), children = Whatever, open = Default::default)]
#[derive(Default)]
pub struct Mute {}

/// Any children.
#[children]
pub struct Whatever {
    /// All of them; declared so that the file may have some, and never looked at.
    #[allow(dead_code)]
    #[child(rest)]
    pub all: Children,
}

/// The drivers of these tests.
pub const DRIVERS: &[&dyn DriverFactory] = &[Probe::DRIVER, Pair::DRIVER, Mute::DRIVER];

/// A program that has only them.
pub fn registry() -> Registry {
    Registry::new(&[DRIVERS])
}
