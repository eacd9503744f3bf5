//! Registered exporters, with a lab inside of the test and a client that speaks the wire.

mod bench;
mod hooks;
mod leases;
mod losses;
