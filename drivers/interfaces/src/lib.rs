//! Every interface that drivers of this project provide, with its types and the commands its client adds.
//!
//! Light on purpose: no hardware, no sockets. A driver crate depends on this one for the vocabulary; a test or script
//! that only calls devices needs nothing else either.
//!
//! | Module | Interfaces |
//! |---|---|
//! | [`power`] | [`Power`]: supply on, off, measure; [`PowerCycle`]: supplies that can do both in one go |
//! | [`serial`] | [`Serial`]: a console |
//! | [`network`] | [`Network`], [`NetworkAddress`]: byte streams and messages to somewhere else |
//! | [`vnc`] | [`VncScreen`]: a screen behind a connection |
//! | [`storage`] | [`StorageMux`], [`StorageMuxFlasher`], [`Flasher`]: media and images |
//! | [`machine`] | [`Machine`]: what runs on a board |
//! | [`shell`] | [`Shell`]: commands of the exporter's host |
//! | [`opendal`] | [`Storage`]: files in a directory, in memory, in a bucket |
//! | [`gpio`] | [`DigitalOutput`], [`DigitalInput`]: single lines |

#![forbid(unsafe_code)]

pub mod gpio;
pub mod machine;
pub mod network;
pub mod opendal;
pub mod power;
pub mod serial;
pub mod shell;
pub mod storage;
pub mod vnc;

use jumpstarter::ClientEntry;

pub use gpio::{DigitalInput, DigitalInputClient, DigitalOutput, DigitalOutputClient, Edge};
pub use machine::{ImageInfo, Machine, MachineClient, MachineState, Phase};
pub use network::{Network, NetworkAddress, NetworkAddressClient, NetworkClient};
pub use opendal::{Storage, StorageClient};
pub use power::{Power, PowerClient, PowerCycle, PowerCycleClient, PowerReading};
pub use serial::{Serial, SerialClient};
pub use shell::{Shell, ShellClient, ShellOutput, ShellResult};
pub use storage::{
    Compression, Flasher, FlasherClient, Packing, StorageMux, StorageMuxClient, StorageMuxFlasher,
    StorageMuxFlasherClient,
};
pub use vnc::{VncScreen, VncScreenClient};

/// All interfaces with the commands of their clients, for programs that build a command line.
pub const CLIENTS: &[ClientEntry] = &[
    ClientEntry::new(&power::POWER).with_commands(PowerClient::COMMANDS),
    ClientEntry::new(&power::POWER_CYCLE).with_commands(PowerCycleClient::COMMANDS),
    ClientEntry::new(&serial::SERIAL),
    ClientEntry::new(&network::NETWORK),
    ClientEntry::new(&network::NETWORK_ADDRESS).with_commands(NetworkAddressClient::COMMANDS),
    ClientEntry::new(&vnc::VNC_SCREEN),
    ClientEntry::new(&storage::STORAGE_MUX).with_commands(StorageMuxClient::COMMANDS),
    ClientEntry::new(&storage::STORAGE_MUX_FLASHER).with_commands(StorageMuxFlasherClient::COMMANDS),
    ClientEntry::new(&storage::FLASHER).with_commands(FlasherClient::COMMANDS),
    ClientEntry::new(&shell::SHELL),
    ClientEntry::new(&opendal::STORAGE).with_commands(StorageClient::COMMANDS),
    ClientEntry::new(&gpio::DIGITAL_OUTPUT).with_commands(DigitalOutputClient::COMMANDS),
    ClientEntry::new(&gpio::DIGITAL_INPUT).with_commands(DigitalInputClient::COMMANDS),
    ClientEntry::new(&machine::MACHINE),
];
