//! Byte streams of devices as something that other programs, people and scripts can use.
//!
//! | Adapter | Turns a byte stream into |
//! |---|---|
//! | [`TcpForward`] | a local TCP port, one stream for each connection |
//! | [`UnixForward`] | a local unix socket, one stream for each connection |
//! | [`console`] | the terminal in front of somebody |
//! | [`Expect`] | a conversation: send this, wait for that |

pub mod console;
pub mod expect;
mod forward;
mod tcp;
mod unix;

pub use expect::{Expect, Found, Pattern};
pub use forward::{Failure, bridge};
pub use tcp::TcpForward;
pub use unix::UnixForward;
