//! The controller: `ControllerService` and `ClientService` over a store.
//!
//! ```text
//!  client ──► ClientService ─────┐            ┌── Leasing (pure) ──┐
//!             (leases, lists)    ├──► store ──┤                    ├──► store
//!  exporter ► ControllerService ─┘            └── the lab's task ──┘
//!             (status, tunnels)        every change is an event, and nobody polls
//! ```
//!
//! A call changes objects in the store and nothing else. One task ([`Lab::run`]) watches the store, tells
//! [`Leasing`](jumpstarter_leasing::Leasing) what has happened, and writes what it decides. Whoever waits for an object (an
//! exporter for its lease, a client for its exporter) is woken when it changes, and reads it then; so a slow reader misses
//! states in between, and holds up nobody.
//!
//! Codes and words are those that unmodified clients and exporters (0.9.0) depend on: errors of the store are `UNKNOWN`, because
//! they show the words of no other code.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`lab`] | objects, who waits for what, and the task around leasing |
//! | [`journal`] | what the log says of leases |
//! | [`stored`] | objects of the store as resources, and back |
//! | [`caller`] | who calls, and whether he may |
//! | [`listeners`] | dialled tunnels on their way to exporters |
//! | [`routers`] | which router a tunnel goes through |
//! | [`exporters`] | `ControllerService` |
//! | [`clients`] | `ClientService` |
//! | [`metrics`] | what is counted |
//! | [`names`] | `namespaces/…/leases/…` |
//! | [`time`] | what time it is, and waiting for another |
//! | [`wire`] | resources as messages |

#![forbid(unsafe_code)]

pub mod caller;
pub mod clients;
pub mod exporters;
pub mod journal;
pub mod lab;
pub mod listeners;
pub mod metrics;
pub mod names;
pub mod routers;
pub mod stored;
pub mod time;
pub mod wire;

pub use caller::Callers;
pub use clients::Clients;
pub use exporters::Exporters;
pub use lab::Lab;
pub use listeners::Listeners;
pub use routers::{Route, Routers};
pub use time::Clock;
