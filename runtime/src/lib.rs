//! Test software on real and virtual hardware: a device's abilities are annotated Rust traits, its drivers are ordinary
//! implementations, and everything between them and a test is derived.
//!
//! This is the one crate that interfaces, drivers and programs write against. Somebody who writes a driver needs it, the
//! crate with the interfaces, and whatever speaks to the hardware; no asynchronous run time, no gRPC, no serde.
//!
//! ```
//! use jumpstarter::{Result, driver, interface};
//!
//! /// Something that shines.
//! #[interface(name = "lamp", version = 1, package = "example")]
//! pub trait Lamp {
//!     /// Let it shine so bright; 1 is full.
//!     async fn shine(&self, #[default = 1.0] level: f64) -> Result<String>;
//! }
//!
//! /// A lamp that only talks.
//! #[driver(type = "talking-lamp", provides(Lamp), open = Default::default)]
//! #[derive(Default)]
//! pub struct TalkingLamp {}
//!
//! impl Lamp for TalkingLamp {
//!     async fn shine(&self, level: f64) -> Result<String> {
//!         Ok(format!("shining at {level}"))
//!     }
//! }
//!
//! # jumpstarter::__private::block_on(async {
//! let lamp = LampClient::local(TalkingLamp::default());
//! assert_eq!(lamp.shine(0.5).await?, "shining at 0.5");
//! # Ok::<(), jumpstarter::Error>(())
//! # }).unwrap();
//! ```
//!
//! # Map
//!
//! | What you write | With | Made of |
//! |---|---|---|
//! | what a device can do | [`macro@interface`], [`macro@message`] | wire types (table in [`wire`]), [`Stream`], [`Io`], [`Source`], [`Sink`] |
//! | how a device does it | [`macro@driver`], [`Driver`] | [`Open`], [`macro@config`], [`macro@children`] |
//! | what a user gets on top | [`macro@commands`] | the generated client |
//! | a test | [`macro@test`] | the generated client's `local` |
//!
//! | For | See |
//! |---|---|
//! | errors | [`Error`], [`ErrorKind`], [`Context`] |
//! | time, tasks, locks, byte streams | [`time`], [`task`], [`sync`], [`mod@io`] |
//! | types that cross the wire and live elsewhere | [`types`] |
//! | descriptions, for programs that work with any interface | [`describe`], [`descriptor`], [`dynamic`], [`command`] |
//! | hosting drivers | `host`, with the feature of that name |
//! | reaching devices | `remote`, with the feature `client` |
//! | leasing devices of a lab | `lease` and `leases`, with the feature `client` |
//!
//! Interface crates turn on no feature, drivers `host` if they host anything themselves, programs and tests `client`.
//!
//! # If this crate has another name
//!
//! The attributes print paths that begin with `::jumpstarter`. A crate that renames the dependency says so:
//! `#[interface(…, crate = "other_name")]`; every attribute takes that key.

#![forbid(unsafe_code)]

pub use jumpstarter_core::{
    call::{self, Call, Progress},
    client::{self, Client, Target},
    command::{self, ClientEntry, Command},
    config, describe, descriptor, dispatch,
    driver::{self, ChildSet, Children, Driver, DriverFactory, NoChildren, NoConfig, Open},
    dynamic,
    error::{self, Context, Error, ErrorClass, ErrorKind, Result},
    instance,
    io::Io,
    log,
    resource::{self, Sink, Source},
    stream::{self, Stream},
    wire::{self, Delay},
};

#[cfg(feature = "client")]
pub use jumpstarter_client as remote;
#[cfg(feature = "client")]
pub use jumpstarter_lease as leases;
#[cfg(feature = "host")]
pub use jumpstarter_session as host;

/// The devices of the session that the environment points to: what a test inside of `jmp shell` begins with.
///
/// ```no_run
/// # async fn test() -> jumpstarter::Result<()> {
/// let device = jumpstarter::env().await?;
/// let console = device.find("board.console")?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When `JUMPSTARTER_HOST` is missing or wrong, or the session does not answer.
#[cfg(feature = "client")]
pub async fn env() -> Result<remote::Device> {
    // Only programs choose a provider for TLS, and a test is a program. Another one that is there already stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    remote::Device::from_env().await
}

/// Asks a lab for an exporter: any with these labels, or one by its name.
///
/// ```no_run
/// # async fn test() -> jumpstarter::Result<()> {
/// let rig = jumpstarter::lease().selector("board=rpi4").await?;
/// let console = rig.device().find("board.console")?;
/// # Ok(())
/// # }
/// ```
///
/// Awaiting it waits until the exporter is ready. Dropping what it answers gives the lease back, also when the test panics.
/// Which client asks is decided as for `jmp`; where `JMP_LEASE` names a lease that fits, that one is used and stays.
#[cfg(feature = "client")]
pub fn lease() -> leases::Request {
    // As for `env`.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    leases::leased::lease()
}

/// Turns a trait into an interface: something that a driver provides and a client calls.
///
/// ```
/// use jumpstarter::{Error, Result, Stream, interface, message};
///
/// /// Switches the supply of a device and measures it.
/// #[interface(name = "supply", version = 1, package = "example", python = "example.client.SupplyClient")]
/// pub trait Supply {
///     /// Switch the supply on.
///     async fn on(&self) -> Result<()>;
///     /// Measure for as long as the caller listens.
///     async fn read(&self) -> Result<Stream<Measurement>>;
///     /// Limit what the supply delivers.
///     async fn limit(&self, amps: f64, #[default = 1] channel: u32) -> Result<()> {
///         let _ = (amps, channel);
///         Err(Error::unsupported())
///     }
/// }
///
/// /// One measurement.
/// #[message]
/// pub struct Measurement {
///     /// Volts.
///     pub voltage: f64,
/// }
///
/// assert_eq!(SUPPLY.methods[2].export, "limit");
/// assert_eq!(SupplyClient::describe().full_service(), "example.supply.v1.Supply");
/// ```
///
/// Beside the trait there are then, for `Supply`: `SUPPLY`, its description; `SupplyClient`, which has the same methods,
/// is itself an implementation of the trait, and is what structs hold (there is no `dyn Supply`); `SupplyServer`, which
/// hosts an implementation; `SupplyCommand`, for command lines.
///
/// # Keys
///
/// | Key | Meaning |
/// |---|---|
/// | `name = "kebab-case"` | required: what people call it |
/// | `version = 1` | required: raised when a change breaks callers |
/// | `package = "example"` | first part of the protobuf package; your own, unless you reproduce an interface of upstream |
/// | `python = "module.Class"` | the Python client's class path |
/// | `also = ["full.Service"]` | further gRPC services with the same meaning |
/// | `crate = "name"` | the name of `jumpstarter` in your `Cargo.toml` |
///
/// # Methods
///
/// `async fn name(&self, …) -> Result<T>`, where `T` is a wire type, a [`Stream`] of one, or an [`Io`]. A method with a body
/// is optional for drivers. On a method:
///
/// | Attribute | Meaning |
/// |---|---|
/// | `#[blocking]` | for `fn`: it runs on a thread where it may block |
/// | `#[exclusive]`, `#[exclusive(busy = "fail")]` | calls wait for each other, or fail (also on the trait, for all methods) |
/// | `#[renamed_from = "old"]` | an earlier name that still works |
/// | `#[export(name = "…")]` | the name on the wire |
/// | `#[export(params = ["…"])]` | the parameters' names on the wire |
/// | `#[export(framing = "messages")]` | for `Io`: one piece is one message |
///
/// # Parameters
///
/// They are owned: wire types, at most one [`Source`] or [`Sink`], and [`Call`] with `#[inject]`. Older clients send
/// arguments by position, so new parameters go to the end and have a default.
///
/// | Attribute | Meaning |
/// |---|---|
/// | `#[default = x]` | what an absent argument means; text stands for whatever the type reads from text |
/// | `#[rest]` | collects every further argument, in a `Vec` |
/// | `#[inject]` | filled by the runtime |
/// | `#[tag = 3]` | the protobuf field number, where it is not the position |
/// | `/// …` | shown in help texts |
pub use jumpstarter_macros::interface;

/// Lets a struct or an enum cross the wire.
///
/// ```
/// use jumpstarter::message;
///
/// /// A partition of a disk.
/// #[message]
/// #[reserved(2, "start")]
/// pub struct Partition {
///     /// Its name.
///     pub name: String,
///     /// Its size.
///     #[tag = 3]
///     #[default = 512]
///     #[unit = "B"]
///     pub size: u64,
///     /// Partitions within.
///     pub inner: Vec<Partition>,
/// }
///
/// /// Where storage is connected to.
/// #[message]
/// pub enum Side {
///     /// To the machine that runs the driver.
///     Host,
///     /// To the device under test.
///     #[text = "dut"]
///     Device,
/// }
///
/// let whole = Partition { name: "disk".into(), size: 1024, inner: Vec::new() };
/// assert_eq!(whole.clone(), whole);
/// ```
///
/// It implements [`wire::Wire`], serde's two traits and `JsonSchema`, all from one description, and derives `Clone`, `Debug`
/// and `PartialEq` (enums `Copy`, `Eq` and `Hash` as well), unless a `#[derive]` below the attribute already does.
///
/// | Where | Attribute | Meaning |
/// |---|---|---|
/// | struct | `#[message(list)]` | a list of its fields in upstream's calls, where upstream has a tuple |
/// | struct | `#[reserved(2, "old_name")]` | numbers and names that are not used again |
/// | field, variant | `#[tag = 3]` | the number on the wire; otherwise in declaration order |
/// | field | `#[default = x]` | what an absent one means |
/// | field | `#[unit = "V"]` | shown beside numbers |
/// | variant | `#[text = "…"]` | the text on the wire; otherwise its name in snake case |
pub use jumpstarter_macros::message;

/// Adds commands to a generated client: methods that run in the client, and that a command line offers.
///
/// ```
/// use jumpstarter::{Delay, Result, commands, interface, time::sleep};
///
/// /// Something with a switch.
/// #[interface(name = "switch", version = 1, package = "example")]
/// pub trait Switch {
///     /// Switch it on.
///     async fn on(&self) -> Result<()>;
///     /// Switch it off.
///     async fn off(&self) -> Result<()>;
/// }
///
/// #[commands]
/// impl SwitchClient {
///     /// Off, wait, on.
///     pub async fn cycle(
///         &self,
///         /// How long it stays off.
///         #[arg(short, long, default_value = "2s")]
///         wait: Delay,
///     ) -> Result<()> {
///         self.off().await?;
///         sleep(wait.get()).await;
///         self.on().await
///     }
/// }
///
/// assert_eq!(SwitchClient::COMMANDS[0].options[0].long, Some("wait"));
/// ```
///
/// Public methods are commands, all others are helpers. Parameters are positional unless `#[arg(…)]` says otherwise, with
/// the keys `long`, `short` (each alone or with `= "name"`), `default_value = "text"` and `value_name = "TEXT"`. A flag is
/// a `bool` with one of the first two.
/// `#[export(name = "…")]` gives a command another name; `#[export(replaces = "method")]` lets it stand for a method of
/// the interface, which it may call.
pub use jumpstarter_macros::commands;

/// Makes a struct the configuration of a driver: what stands behind `config:` in the exporter file.
///
/// ```
/// use jumpstarter::{Delay, config};
///
/// /// A serial port.
/// #[config]
/// pub struct PortConfig {
///     /// Device file.
///     pub url: String,
///     /// Symbols per second.
///     #[default = 115_200]
///     #[alias("baud")]
///     #[unit = "Bd"]
///     pub baudrate: u32,
///     /// Wait before the first byte.
///     #[default = "500ms"]
///     pub settle: Delay,
///     /// Which signals are used.
///     #[default = Control::None]
///     pub control: Control,
///     /// Send at most this many characters per second.
///     #[unit = "characters/s"]
///     #[schemars(extend("examples" = [200]))]
///     pub cps: Option<f64>,
/// }
///
/// /// Flow control.
/// #[config]
/// pub enum Control {
///     /// Nobody stops anybody.
///     None,
///     /// RTS and CTS.
///     Hardware,
/// }
/// ```
///
/// Keys without `#[default]` are required, except options. Unknown keys are errors. Documentation and defaults are in the
/// driver's schema, and so in editors and on reference pages. `#[unit = "Bd"]` says what a number counts, for readers alone;
/// a [`Delay`] needs none. A key without a default gets an example, as above. `#[alias("old")]` keeps an old name working.
/// On an enum the attribute makes a choice of words, in snake case.
pub use jumpstarter_macros::config;

/// Declares the children of a driver: what stands behind `children:` in the exporter file.
///
/// A child is a generated client, so it can be a driver in this process, one in another language, or a test's fake.
///
/// ```
/// use jumpstarter::{Children, Result, children, interface};
///
/// /// Something with a switch.
/// #[interface(name = "switch", version = 1, package = "example")]
/// pub trait Switch {
///     /// Switch it on.
///     async fn on(&self) -> Result<()>;
/// }
///
/// /// What a board is made of.
/// #[children]
/// pub struct BoardParts {
///     /// Its supply; two names are accepted.
///     #[child(also("supply"))]
///     pub power: SwitchClient,
///     /// A fan, if there is one.
///     pub fan: Option<SwitchClient>,
///     /// Whatever else is there.
///     #[child(rest)]
///     pub others: Children,
/// }
/// ```
///
/// | `#[child(…)]` | Meaning |
/// |---|---|
/// | `also("name")` | further names |
/// | `name = "…"` | the name in the file, where it is not the field's |
/// | `made` | the driver makes it, with [`Open::make`] before [`Open::children`]; the file must not mention it |
/// | `rest` | all children that no other field names, as [`Children`] |
pub use jumpstarter_macros::children;

/// Makes a struct a driver: something that an exporter file can name.
///
/// ```
/// use jumpstarter::{Open, Result, config, driver, interface};
///
/// /// Something that shines.
/// #[interface(name = "lamp", version = 1, package = "example")]
/// pub trait Lamp {
///     /// Let it shine.
///     async fn shine(&self) -> Result<()>;
/// }
///
/// /// Where the lamp is.
/// #[config]
/// pub struct FileLampConfig {
///     /// The file that switches it.
///     pub path: String,
/// }
///
/// /// A lamp behind a file.
/// #[driver(type = "file-lamp", provides(Lamp), config = FileLampConfig)]
/// pub struct FileLamp {
///     config: FileLampConfig,
/// }
///
/// impl jumpstarter::Driver for FileLamp {
///     async fn open(config: FileLampConfig, _cx: &mut Open) -> Result<Self> {
///         Ok(Self { config })
///     }
/// }
///
/// impl Lamp for FileLamp {
///     async fn shine(&self) -> Result<()> {
///         Ok(std::fs::write(&self.config.path, "1")?)
///     }
/// }
///
/// /// What programs put together.
/// pub const DRIVERS: &[&dyn jumpstarter::DriverFactory] = &[FileLamp::DRIVER];
/// assert_eq!(DRIVERS[0].spec().type_name, "file-lamp");
/// ```
///
/// | Key | Meaning |
/// |---|---|
/// | `type = "name"` | required: what people write in `type:` |
/// | `provides(A, B)` | the interfaces, which the struct implements |
/// | `config = T` | its configuration, a type with [`macro@config`] |
/// | `children = T` | its children, a type with [`macro@children`] |
/// | `open = path` | a function that makes the driver, from nothing or from the configuration; otherwise write `impl Driver` |
/// | `open = made("parent")` | only that driver makes it, with [`Open::make`] |
/// | `aliases("…")` | further names, such as upstream's class path |
/// | `client = "module.Class"` | the Python client's class path, where it is not the first interface's |
/// | `labels("key" = "value")` | labels for the report |
/// | `crate = "name"` | the name of `jumpstarter` in your `Cargo.toml` |
pub use jumpstarter_macros::driver;

/// Makes an `async fn` a test, with a run time of its own.
///
/// ```
/// #[jumpstarter::test]
/// async fn one_and_one_is_two() {
///     assert_eq!(1 + 1, 2);
/// }
/// ```
///
/// With the feature `client`, a test can ask a lab for an exporter:
///
/// ```no_run
/// # #[cfg(feature = "client")] mod tests {
/// use jumpstarter::{Result, leases::Leased};
///
/// #[jumpstarter::test(selector = "board=rpi4", duration = "10m")]
/// async fn the_console_is_there(rig: &Leased) -> Result<()> {
///     rig.device().find("board.console")?;
///     Ok(())
/// }
/// # }
/// ```
///
/// | Key | Meaning |
/// |---|---|
/// | `selector = "k=v"`, `exporter = "name"` | which exporter; one of them is needed, [`lease()`](crate::lease) says more |
/// | `client = "alias"` | which client asks, where that is not the default one |
/// | `duration = "10m"` | how long the lease lasts at most |
/// | `timeout = "5m"` | how long to wait for it |
/// | `crate = "name"` | the name of `jumpstarter` in your `Cargo.toml` |
///
/// The lease is given back when the test ends, however it ends. Where a test returns a [`Result`] of this crate, or gets no
/// exporter, a line `jumpstarter.kind: infrastructure` (or `device`, `configuration`, `usage`) among what it prints says who has
/// to act: a broken lab is no broken device.
///
/// With `JUMPSTARTER_JUNIT_DIR=FOLDER` in the environment, each test writes a JUnit report of its own there, `TEST-….xml`, in
/// which a failure has that kind as its property `jumpstarter.kind`. What says nothing of its kind, such as an assertion that
/// does not hold, is `device`: the device, its driver, or what was expected of it.
pub use jumpstarter_macros::test;

/// Waiting, and lengths of time.
pub mod time {
    pub use jumpstarter_core::{Delay, call::within};
    pub use std::time::Duration;
    pub use tokio::time::{Instant, interval, sleep, sleep_until, timeout};
}

/// Work that goes on beside a call.
pub mod task {
    pub use tokio::task::{AbortHandle, JoinHandle, JoinSet, spawn, spawn_blocking, yield_now};
}

/// Locks and channels for asynchronous code. All channels are bounded.
pub mod sync {
    pub use tokio::sync::{
        Mutex, MutexGuard, Notify, OwnedMutexGuard, RwLock, Semaphore, broadcast,
        mpsc::{Receiver, Sender, channel},
        oneshot, watch,
    };
}

/// Byte streams: [`Io`], and the traits it is made of.
pub mod io {
    pub use jumpstarter_core::io::*;
    pub use tokio::io::{
        AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
        BufWriter, ReadBuf, copy, copy_bidirectional, duplex,
    };
}

/// Types of other crates that cross the wire, so that an interface can name them without a dependency.
pub mod types {
    pub use bytes::Bytes;
    pub use jiff::Timestamp;
    pub use jumpstarter_core::Delay;
    pub use prost_types::Value;
    pub use url::Url;
    pub use uuid::Uuid;
}

/// What most files of interfaces and drivers use.
pub mod prelude {
    pub use crate::{
        Call, Children, Context as _, Delay, Driver, DriverFactory, Error, ErrorKind, Io, Open, Result, Sink,
        Source, Stream, children, commands, config, driver, interface, message,
    };
}

#[doc(hidden)]
pub mod __private;
mod junit;
