//! Placeholder.

pub use jumpstarter_core::{
    Call, Context, Delay, Error, ErrorClass, ErrorKind, Io, Result, Sink, Source, Stream, call, client, command, config,
    describe, dispatch, driver, error, instance, io, log, resource, stream, wire,
};
pub use jumpstarter_core::{
    client::{Client, Target},
    command::{ClientEntry, Command},
    driver::{ChildSet, Children, Driver, DriverFactory, NoChildren, NoConfig, Open},
};
pub use jumpstarter_macros::{children, commands, config, driver, interface, message, test};

#[cfg(feature = "client")]
pub use jumpstarter_client as remote;
#[cfg(feature = "host")]
pub use jumpstarter_session as host;

#[doc(hidden)]
pub mod __private;
