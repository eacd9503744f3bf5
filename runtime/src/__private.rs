//! Everything that the attributes print names of. Not for people, and not stable.

pub use std::{
    borrow::Cow,
    clone::Clone,
    fmt::Debug,
    future::Future,
    marker::{Send, Sized, Sync},
    option::Option::{self, None, Some},
    result::Result::{Err, Ok},
    sync::Arc,
    unreachable, vec,
    vec::Vec,
};

pub use bytes::Bytes;
pub use prost_types::Value;
pub use schemars;
pub use serde;

pub use jumpstarter_core::{
    Result,
    client::{Client, Target},
    command::{ClientEntry, Command, CommandOption},
    describe::{
        EnumSpec, Exclusive, Field, Framing, Interface, Kind, MessageSpec, Method, Param, Role, Type,
        assert_no_shared_names,
    },
    dispatch::{Args, Argument, Calling, Outcome, Provided, Rest, Returned, blocking, calling, unknown},
    driver::{
        COMPOSITE_CLIENT, Child, ChildSet, ChildSpec, Children, Config, Driver, DriverFactory, DriverSpec,
        DriverTypes, Factory, Hostable, Need, NoChildren, NoConfig, Open, Others,
    },
    generated::*,
    wire::{Depth, Reading, Wire, WireError, WireType, encode_message, take_delimited},
};

/// Runs a test on a runtime of its own; several threads, as in an exporter.
pub fn run_test<T>(test: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(test),
        Err(error) => panic!("no runtime for this test: {error}"),
    }
}
