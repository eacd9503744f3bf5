//! Leases, as their client has them: which client one is, asking for a lease, waiting, holding it, tunnels to the devices
//! that it is for, and giving it back.
//!
//! ```text
//! Access ──► Controller ──► Acquiring ──► Held ──► Tunnels ──► Session / Socket
//!  (files,    (one channel,   (asks,        (its end is   (dial, then   (devices in this process,
//!   variables)  every call)     waits)        watched)      the router)   or for other programs)
//! ```
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`config`] | which client this is: files, aliases, variables |
//! | [`controller`] | one channel to the controller, and its calls |
//! | [`lease`] | what a lease says of itself |
//! | [`acquire`] | asking for one, and waiting |
//! | [`held`] | holding one: its end, more time, giving it back |
//! | [`tunnel`] | byte streams to the exporter, through a router |
//! | [`socket`] | the same for other programs, behind a private socket |
//! | [`session`] | when an exporter is ready, and when it has cleaned up |
//! | [`leased`] | all of it for a test in Rust |
//! | `dial` | which failures pass, and how long to wait for that |
//! | [`waits`] | telling somebody that an answer takes its time |
//! | `words` | what a controller refuses, in words |
//! | `background` | the threads that all this runs on |
//!
//! Everything runs on threads of its own, so a lease outlives the runtime of the test that asked for it long enough to be
//! given back. Resumption of tunnels, direct paths and fencing have their place between [`tunnel`] and `dial`: what a dial
//! answers decides what a tunnel is made of, and nothing above knows.

#![forbid(unsafe_code)]

pub mod acquire;
mod background;
pub mod config;
pub mod controller;
mod dial;
pub mod held;
pub mod lease;
pub mod leased;
pub mod session;
pub mod socket;
pub mod tunnel;
pub mod waits;
mod words;

pub use acquire::{Acquiring, Observer, Progress, Wanted};
pub use config::{Access, Choice, Chosen, Unusable, choose};
pub use controller::Controller;
pub use held::{Held, Over, Term};
pub use lease::{Lease, Standing};
pub use leased::{Leased, Request};
pub use session::Session;
pub use socket::Socket;
pub use tunnel::Tunnels;
pub use waits::Waits;
