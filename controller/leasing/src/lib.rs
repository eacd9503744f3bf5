//! Who gets which exporter, when, and why not.
//!
//! Everything here is a function of objects and time. A shell around it reads and watches the objects, tells what it sees,
//! does what it is asked to, and comes back when something is due:
//!
//! ```text
//!             load, apply, remove, seen ──►┌─────────┐──► effects: writes on condition of a version, looks, notes
//!  shell                                   │ Leasing │
//!             written, looked ────────────►└─────────┘──► next_deadline: when to come back although nothing happened
//! ```
//!
//! # Nobody holds an exporter twice
//!
//! An exporter is given to a lease by one write to the *exporter*, on the condition that it is as it was when that was
//! decided. The same write names the lease ([`LEASE_HOLDER`]) and raises the number of the lease on that exporter
//! ([`LEASE_EPOCH`]). Only then the lease is told, on the condition that it, too, is as it was. Whoever finds an exporter
//! given to a lease that is not over leaves it alone, or finishes what another began. So it does not matter how old the view
//! is that a decision was made from, or whether another controller is at work: a stale decision ends in a refused write.
//!
//! ```
//! use jumpstarter_leasing::{Effect, Leasing, Outcome, Settings, Snapshot};
//!
//! # fn write(_: &jumpstarter_leasing::Write) -> Outcome { Outcome::Failed }
//! # fn read(_: &jumpstarter_leasing::Key) -> Option<jumpstarter_leasing::Object> { None }
//! # let now: jiff::Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
//! let mut leasing = Leasing::new(Settings::default());
//! leasing.load(Snapshot::default(), now);
//! // Whenever something was told, and when it is `next_deadline()`:
//! for effect in leasing.step(now) {
//!     match effect {
//!         Effect::Write(wanted) => leasing.written(wanted.ticket, write(&wanted), now),
//!         Effect::Look(key) => leasing.looked(&key, read(&key)),
//!         Effect::Note(note) => println!("{note:?}"),
//!     }
//! }
//! ```
//!
//! An object that names another, unknown one is no reason to act: it may only be news that has not arrived. It is read afresh
//! first ([`Effect::Look`]).
//!
//! # The queue
//!
//! A lease that cannot have an exporter now waits. An exporter that frees goes to whoever is first for it: of the highest
//! priority that access policies give there, then whoever waits longest. Place and estimate are computed when somebody asks
//! ([`Leasing::waiting`]); stored is only that it waits.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`leasing`](mod@leasing) | the state, and what it is told |
//! | `index` | what is known, and by which names it is found again |
//! | `assign`, `exporters`, `leases` | the steps |
//! | `class` | the index behind the queue |
//! | [`census`] | how many there are of what |
//! | [`waiting`] | place, reason and estimate |
//! | [`access`] | policies |
//! | [`times`] | begin, duration, end |
//! | [`presence`] | whether an exporter is there |
//! | [`requests`] | what clients and exporters ask of a lease |
//! | [`words`] | reasons and messages |
//! | [`effect`], [`object`] | what goes in and out |
//!
//! [`LEASE_HOLDER`]: jumpstarter_api::labels::LEASE_HOLDER
//! [`LEASE_EPOCH`]: jumpstarter_api::labels::LEASE_EPOCH

#![forbid(unsafe_code)]

pub mod access;
mod assign;
pub mod census;
mod class;
mod deadlines;
pub mod effect;
mod exporters;
mod index;
mod leases;
pub mod leasing;
pub mod object;
pub mod presence;
pub mod requests;
pub mod times;
pub mod waiting;
pub mod words;

pub use effect::{Effect, Note, Outcome, Part, Settings, Ticket, Write};
pub use leasing::{Leasing, Snapshot};
pub use object::{Key, Kind, Name, Object};
pub use waiting::Waiting;
