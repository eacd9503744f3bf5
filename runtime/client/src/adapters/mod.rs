//! Byte streams of devices as something that other programs, people and scripts can use.
//!
//! | Adapter | Turns a byte stream into |
//! |---|---|
//! | [`TcpForward`] | a local TCP port, one stream for each connection |
//! | [`UnixForward`] | a local unix socket, one stream for each connection |
//! | [`UdpForward`] | a local UDP port, one stream for each source |
//! | [`DbusForward`] | a message bus for local programs |
//! | [`VncPage`] | a screen in a browser |
//! | [`console`] | the terminal in front of somebody |
//! | [`Expect`] | a conversation: send this, wait for that |

pub mod console;
pub mod dbus;
pub mod expect;
mod forward;
mod tcp;
pub mod udp;
mod unix;
mod vnc;

pub use dbus::DbusForward;
pub use expect::{Expect, Found, Pattern};
pub use forward::{Failure, bridge};
pub use tcp::TcpForward;
pub use udp::UdpForward;
pub use unix::UnixForward;
pub use vnc::VncPage;
