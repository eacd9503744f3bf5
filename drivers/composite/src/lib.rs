//! Nodes that hold other nodes.
//!
//! A plain `{children: …}` node of an exporter file is a [`Composite`], too; the name is only needed by files that were
//! written for upstream.

#![forbid(unsafe_code)]

use jumpstarter::{Children, DriverFactory, children, driver};

/// A group of devices under one name. It has no methods of its own.
#[driver(
    type = "composite",
    provides(),
    children = Anything,
    open = Default::default,
    aliases("jumpstarter_driver_composite.driver.Composite")
)]
#[derive(Debug, Default)]
pub struct Composite {}

/// Any children.
#[children]
pub struct Anything {
    /// Devices of any kind.
    #[child(rest)]
    pub all: Children,
}

/// The drivers of this crate.
pub const DRIVERS: &[&dyn DriverFactory] = &[Composite::DRIVER];
