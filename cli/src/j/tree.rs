//! From a report to a tree of commands.

use std::ffi::OsString;

use clap::{Arg, Command};
use jumpstarter_client::{Device, adapters::dbus};
use jumpstarter_core::{
    command::ClientEntry,
    describe::{Interface, Kind},
    dynamic,
};
use jumpstarter_interfaces::{
    network::NETWORK,
    serial::SERIAL,
    shell::SHELL,
    storage::{FLASHER, STORAGE_MUX_FLASHER},
    vnc::VNC_SCREEN,
};

use super::{
    args, console, flash, network,
    shell::{self, Methods},
};
use crate::{
    logging,
    words::{self, Word},
};

/// Identity of the option that chooses how results are printed; it is `--output`, which commands may take for themselves.
pub(super) const FORMAT: &str = "print-as";

/// Stands for the name of a command that the configuration decides.
pub(crate) const CONFIGURED: &str = "METHOD";

/// What a group does that nobody has described.
const GROUP: &str = "Generic composite device";

/// One word of a command line of `j`.
pub(crate) struct Item {
    name: String,
    about: String,
    root: bool,
    what: What,
}

enum What {
    Group {
        items: Vec<Item>,
        /// Devices that have no commands here, and why.
        silent: Vec<(String, String)>,
        /// It has commands that were not asked for.
        unasked: bool,
    },
    Leaf(Box<Leaf>),
}

/// A command of a device.
pub(super) struct Leaf {
    /// The device.
    pub(super) device: Device,
    /// What is to be done.
    pub(super) action: Action,
}

/// What a command does.
#[derive(Clone, Copy)]
pub(super) enum Action {
    /// Calls a method of the driver.
    Method(&'static Interface, usize),
    /// Runs a command that the client adds.
    Command(&'static jumpstarter_core::command::Command),
    /// Does something with a byte stream.
    Bytes(&'static str, Bytes),
    /// Runs the method of a shell driver that has the command's name.
    Shell,
    /// Writes images.
    Flash(flash::Kind),
}

/// What can be done with a byte stream.
#[derive(Clone, Copy)]
pub(super) enum Bytes {
    Console,
    Pipe,
    Expect,
    ForwardTcp,
    ForwardUdp,
    ForwardUnix,
    Bus,
    Screen,
}

/// The options that every level has.
pub(super) fn common_options() -> [Arg; 2] {
    let format = words::choice(FORMAT, &["text", "json"], "How to print results; JSON is one value per line")
        .long("output");
    [format, logging::level_option()]
}

/// The tree of a session.
pub(super) fn root(device: &Device, clients: &[ClientEntry], methods: &Methods) -> Item {
    let mut root = item(device, clients, methods);
    root.root = true;
    if let What::Leaf(_) = root.what {
        // A driver at the root, which no exporter of ours reports, keeps its place below a group.
        root = Item {
            name: String::new(),
            about: GROUP.to_owned(),
            root: true,
            what: What::Group { items: vec![root], silent: Vec::new(), unasked: false },
        };
    }
    root
}

fn item(device: &Device, clients: &[ClientEntry], methods: &Methods) -> Item {
    let mut items = Vec::new();
    let mut silent = Vec::new();
    for child in device.children() {
        let child = item(&child, clients, methods);
        match &child.what {
            What::Group { items: inner, silent: without, unasked: false } if inner.is_empty() => {
                let why = match without.as_slice() {
                    [(name, why)] if name.is_empty() => why.clone(),
                    _ => "it has no devices".to_owned(),
                };
                silent.push((child.name, why));
            }
            _ => items.push(child),
        }
    }
    let entries = entries(device, clients);
    let mut add = |leaf: Item| {
        // Children come first; of several interfaces, the one that was named first.
        if !items.iter().any(|item| item.name == leaf.name) {
            items.push(leaf);
        }
    };
    let shell = entries.iter().any(|entry| is_shell(entry.interface));
    if shell {
        for method in methods.of(device).unwrap_or_default() {
            add(shell_method(device, method));
        }
    }
    for (name, doc, action) in actions(&entries) {
        add(leaf(device, name, doc, action));
    }
    let has = |service: &Interface| {
        entries.iter().any(|entry| entry.interface.full_service() == service.full_service())
    };
    if has(&NETWORK) && device.labels().contains_key(dbus::KIND) {
        add(leaf(device, "run", network::BUS, Action::Bytes("connect", Bytes::Bus)));
    }
    if has(&VNC_SCREEN) {
        add(leaf(device, "session", network::VNC, Action::Bytes("connect", Bytes::Screen)));
    }
    if items.is_empty() && !shell && device.children().next().is_none() && !is_composite(device) {
        silent.push((String::new(), unknown(device)));
    }
    let built_in = || entries.first().map_or(GROUP, |entry| entry.interface.doc);
    Item {
        name: device.name().to_owned(),
        about: device.description().filter(|text| !text.is_empty()).unwrap_or_else(built_in).to_owned(),
        root: false,
        what: What::Group { items, silent, unasked: shell },
    }
}

/// What these interfaces offer, what their clients add first.
fn actions(entries: &[ClientEntry]) -> Vec<(&'static str, &'static str, Action)> {
    let mut actions = Vec::new();
    for entry in entries {
        for command in entry.commands {
            let action = flashing(entry.interface, command).map_or(Action::Command(command), Action::Flash);
            actions.push((command.method.export, command.method.doc, action));
        }
    }
    // What a shell has instead of methods is said by its configuration.
    for entry in entries.iter().filter(|entry| !is_shell(entry.interface)) {
        for (index, method) in entry.interface.methods.iter().enumerate() {
            if method.kind == Kind::Bytes {
                let commands = byte_commands(entry.interface, method.export).into_iter();
                actions.extend(
                    commands.map(|(name, doc, what)| (name, doc, Action::Bytes(method.export, what))),
                );
            } else {
                actions.push((method.export, method.doc, Action::Method(entry.interface, index)));
            }
        }
    }
    actions
}

/// One command of a device with these interfaces, for reference pages: its name, what it does, its arguments. `client` is
/// the class of its Python client, if one is known.
pub(crate) fn commands(entries: &[ClientEntry], client: &str) -> Vec<(String, &'static str, Command)> {
    let mut commands: Vec<(String, &'static str, Command)> = Vec::new();
    let provides = |interface: &Interface| {
        entries.iter().any(|entry| entry.interface.full_service() == interface.full_service())
    };
    let mut all = actions(entries);
    if provides(&SHELL) {
        all.insert(0, (CONFIGURED, "Run a method that the configuration names", Action::Shell));
    }
    if provides(&NETWORK) && client == dbus::PYTHON {
        all.push(("run", network::BUS, Action::Bytes("connect", Bytes::Bus)));
    }
    if provides(&VNC_SCREEN) {
        all.push(("session", network::VNC, Action::Bytes("connect", Bytes::Screen)));
    }
    for (export, doc, action) in all {
        let name = export.replace('_', "-");
        if !commands.iter().any(|(other, ..)| *other == name) {
            let command = action.arguments(Command::new(name.clone()));
            commands.push((name, doc, command));
        }
    }
    commands
}

/// Whether the configuration of a device decides what its commands are.
pub(crate) fn is_shell(interface: &Interface) -> bool {
    interface.full_service() == SHELL.full_service()
}

fn is_composite(device: &Device) -> bool {
    matches!(device.client_class(), "" | jumpstarter_core::driver::COMPOSITE_CLIENT)
}

fn unknown(device: &Device) -> String {
    let class = device.client_class();
    format!("this program does not know its interface ({class}), and the exporter does not describe it")
}

/// The interfaces of a device, with what its clients add. What it announces counts; only from exporters that announce
/// nothing, the class of its Python client does.
fn entries(device: &Device, clients: &[ClientEntry]) -> Vec<ClientEntry> {
    if device.services().is_empty() {
        let mut known: Vec<_> =
            clients.iter().filter(|entry| device.provides(entry.interface)).copied().collect();
        // The class itself before the classes that it extends.
        known.sort_by_key(|entry| entry.interface.python != device.client_class());
        return known;
    }
    let mut entries: Vec<ClientEntry> = Vec::new();
    for service in device.services() {
        let known =
            clients.iter().find(|entry| entry.interface.services().any(|known| known == *service)).copied();
        let entry = known.or_else(|| described(device, service).map(ClientEntry::new));
        if let Some(entry) = entry
            && !entries.iter().any(|other| other.interface.full_service() == entry.interface.full_service())
        {
            entries.push(entry);
        }
    }
    entries
}

/// The interface as the exporter describes it, for those that this program was not compiled with.
fn described(device: &Device, service: &str) -> Option<&'static Interface> {
    let mut failed = None;
    for descriptor in device.descriptors() {
        match dynamic::interface_from_descriptor(descriptor, service) {
            Ok(interface) => return Some(interface),
            Err(error) => failed = Some(error),
        }
    }
    if let Some(error) = failed {
        tracing::debug!(%error, service, device = device.path(), "the interface is not described");
    }
    None
}

/// Whether a command takes several images, which no description of a method can say.
fn flashing(interface: &Interface, command: &jumpstarter_core::command::Command) -> Option<flash::Kind> {
    let service = interface.full_service();
    match command.method.export {
        "flash" if service == FLASHER.full_service() => Some(flash::Kind::Flasher),
        "flash" if service == STORAGE_MUX_FLASHER.full_service() => Some(flash::Kind::Medium),
        _ => None,
    }
}

fn byte_commands(interface: &Interface, method: &'static str) -> Vec<(&'static str, &'static str, Bytes)> {
    let service = interface.full_service();
    if service == SERIAL.full_service() {
        vec![
            ("start_console", console::START, Bytes::Console),
            ("pipe", console::PIPE, Bytes::Pipe),
            ("expect", console::EXPECT, Bytes::Expect),
        ]
    } else if service == NETWORK.full_service() {
        vec![
            ("forward_tcp", network::TCP, Bytes::ForwardTcp),
            ("forward_udp", network::UDP, Bytes::ForwardUdp),
            ("forward_unix", network::UNIX, Bytes::ForwardUnix),
        ]
    } else {
        vec![(method, console::PIPE, Bytes::Pipe)]
    }
}

fn leaf(device: &Device, export: &str, doc: &str, action: Action) -> Item {
    let name = export.replace('_', "-");
    let described = device.methods_description().get(&name).filter(|text| !text.is_empty());
    let about = described.map_or_else(|| doc.to_owned(), Clone::clone);
    Item { name, about, root: false, what: What::Leaf(Box::new(Leaf { device: device.clone(), action })) }
}

impl Action {
    /// Its options and arguments.
    fn arguments(self, command: Command) -> Command {
        let command = match self {
            Self::Method(interface, index) => args::of_method(command, &interface.methods[index]),
            Self::Command(added) => args::of_command(command, added),
            Self::Shell => return shell::arguments(command),
            Self::Flash(_) => flash::arguments(command),
            Self::Bytes(_, Bytes::Console) => console::start_arguments(command),
            Self::Bytes(_, Bytes::Pipe) => console::pipe_arguments(command),
            Self::Bytes(_, Bytes::Expect) => console::expect_arguments(command),
            Self::Bytes(_, Bytes::ForwardTcp | Bytes::ForwardUdp) => network::tcp_arguments(command),
            Self::Bytes(_, Bytes::ForwardUnix) => network::unix_arguments(command),
            Self::Bytes(_, Bytes::Bus) => network::bus_arguments(command),
            Self::Bytes(_, Bytes::Screen) => network::vnc_arguments(command),
        };
        let prints = !matches!(self, Self::Bytes(..) | Self::Flash(_));
        let taken = command.get_arguments().any(|arg| arg.get_long() == Some("output"));
        let [format, level] = common_options();
        let command = if prints && !taken { command.arg(format) } else { command };
        let taken = command.get_arguments().any(|arg| arg.get_long() == Some("log-level"));
        if taken { command } else { command.arg(level) }
    }
}

/// A method of a shell driver, under the name that it has in the configuration.
fn shell_method(device: &Device, method: &str) -> Item {
    let described = device.methods_description().get(method).filter(|text| !text.is_empty());
    let about = described.map_or_else(|| format!("Run the method {method}"), Clone::clone);
    let leaf = Leaf { device: device.clone(), action: Action::Shell };
    Item { name: method.to_owned(), about, root: false, what: What::Leaf(Box::new(leaf)) }
}

impl Item {
    /// The command, if it is one.
    pub(super) fn leaf(&self) -> Option<&Leaf> {
        match &self.what {
            What::Leaf(leaf) => Some(leaf),
            What::Group { .. } => None,
        }
    }
}

impl Word for Item {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> String {
        self.about.clone()
    }

    fn words(&self) -> Option<&[Self]> {
        match &self.what {
            What::Group { items, .. } => Some(items),
            What::Leaf(_) => None,
        }
    }

    fn refused(&self, typed: &str) -> Option<String> {
        let What::Group { silent, .. } = &self.what else { return None };
        let (name, why) = silent.iter().find(|(name, _)| name == typed)?;
        Some(format!("Device '{name}' has no commands: {why}."))
    }

    fn arguments(&self) -> Command {
        let command = Command::new(self.name.clone());
        match &self.what {
            What::Group { .. } => command.args(common_options()),
            What::Leaf(leaf) => leaf.action.arguments(command),
        }
    }

    fn arrange(&self, words: Vec<OsString>) -> Vec<OsString> {
        match self.leaf() {
            Some(Leaf { action: Action::Shell, .. }) => shell::arrange(words),
            _ => words,
        }
    }

    fn alone(&self) -> u8 {
        if self.root { 0 } else { crate::report::USAGE }
    }
}

#[cfg(test)]
mod tests {
    use jumpstarter_client::{Connection, Endpoint, Options};
    use jumpstarter_exporter::{Registry, local::Local, plan};

    use super::*;

    fn names(item: &Item) -> Vec<&str> {
        item.words().unwrap_or_default().iter().map(Item::name).collect()
    }

    fn word<'a>(item: &'a Item, name: &str) -> &'a Item {
        item.words().unwrap_or_default().iter().find(|word| word.name() == name).expect(name)
    }

    async fn session(text: &str) -> (Local, Device) {
        let registry = Registry::new(&[crate::DRIVERS]);
        let text = format!("apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\n{text}");
        let local =
            Local::start(plan::check("test.yaml", &text, &registry, |_| None).unwrap()).await.unwrap();
        let endpoint = Endpoint::Unix(local.socket().to_owned());
        let device = Connection::open(&endpoint, &Options::default()).await.unwrap().device().await.unwrap();
        (local, device)
    }

    #[cfg(all(feature = "power", feature = "board"))]
    #[tokio::test(flavor = "multi_thread")]
    async fn an_interface_that_this_program_was_not_compiled_with_has_commands_all_the_same() {
        let (local, device) =
            session("export: {power: {type: mock-power}, board: {type: simulated-board}}").await;
        // No clients at all: what is here, the exporter has described.
        let root = root(&device, &[], &Methods::default());
        assert_eq!(names(&root), ["power", "board"]);
        assert_eq!(names(word(&root, "power")), ["on", "off", "read", "rescue"]);
        assert_eq!(word(word(&root, "power"), "on").about(), "Switch the supply on.");
        let lamp = word(word(&root, "board"), "led");
        let edge = word(lamp, "wait-for-edge").arguments();
        let shown: Vec<_> = edge.get_arguments().map(crate::help::quoted).collect();
        assert_eq!(
            shown,
            ["'EDGE-TYPE'", "'--timeout'", "'--print-as'", "'--log-level'"]
                .map(|name| name.replace("print-as", "output"))
        );
        // The call itself goes by name.
        device.find("power").unwrap().call_values("on", Vec::new()).await.unwrap();
        assert!(local.stop().await.is_empty());
    }

    #[cfg(feature = "network")]
    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_driver_announces_counts_and_not_what_its_class_could_do() {
        let tcp = "export: {echo: {type: echo-network}, tcp: {type: tcp-network, config: {host: localhost, port: 1}}}";
        let (local, device) = session(tcp).await;
        let root = root(&device, crate::CLIENTS, &Methods::default());
        assert_eq!(names(word(&root, "echo")), ["forward-tcp", "forward-udp", "forward-unix"]);
        assert_eq!(names(word(&root, "tcp")), ["address", "forward-tcp", "forward-udp", "forward-unix"]);
        assert!(local.stop().await.is_empty());
    }

    #[cfg(feature = "composite")]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_device_without_commands_is_not_listed_and_says_why() {
        let (local, device) = session("export: {empty: {type: composite}, group: {children: {}}}").await;
        let root = root(&device, crate::CLIENTS, &Methods::default());
        assert!(names(&root).is_empty());
        assert_eq!(
            root.refused("empty").as_deref(),
            Some("Device 'empty' has no commands: it has no devices.")
        );
        assert_eq!(root.refused("other"), None);
        assert!(local.stop().await.is_empty());
    }
}
