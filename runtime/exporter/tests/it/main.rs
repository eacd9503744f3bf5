//! Exporter files, opening, hooks and standalone exporters, with drivers made for the purpose.

// Annotated items are public as they would be in a driver's crate.
#![allow(unreachable_pub)]

mod drivers;
mod hooks;
mod opening;
mod plans;
mod registered;
mod standalone;
