//! What loses positions.

use jumpstarter::config;

/// A port.
#[config]
pub struct PortConfig {
    /// More keys.
    #[serde(flatten)]
    pub more: More,
}

/// More keys.
#[config]
#[serde(untagged)]
pub enum More {
    /// One.
    One,
}

fn main() {
    let _ = PortConfig { more: More::One };
}
