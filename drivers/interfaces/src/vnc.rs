//! The screen of a device.

use jumpstarter::{Result, interface};

/// A screen that a VNC server shows, behind the child `tcp`.
#[interface(name = "vnc-screen", version = 1, python = "jumpstarter_driver_vnc.client.VNClient")]
pub trait VncScreen {
    /// Whether a page that shows it asks for an encrypted connection unless the user says otherwise.
    async fn get_default_encrypt(&self) -> Result<bool>;
}
