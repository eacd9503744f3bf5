//! Leases on a whole lab in this process, with an exporter of the test's own behind it.
//!
//! | Module | What is shown |
//! |---|---|
//! | `lab` | the lab, who is in it, and a way to it that can be cut |
//! | `rig` | an exporter that does what the wire asks of one, and no more |
//! | `leases` | asking, waiting, holding, giving back |
//! | `tunnels` | what comes through, and what is said when nothing does |
//! | `session` | a session that is kept, and one that cleans up, when its tunnel is lost |
//! | `clients` | which client is used |

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod clients;
mod lab;
mod leases;
mod rig;
mod session;
mod tunnels;
