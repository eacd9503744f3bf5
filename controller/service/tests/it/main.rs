//! The services over a store in memory, called as clients and exporters call them, and where they must not go wrong.

mod access;
mod bench;
mod leases;
mod listeners;
mod logs;
mod time;
