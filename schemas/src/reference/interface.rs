//! The page of an interface.

use std::fmt::Write as _;

use jumpstarter_core::{
    command::ClientEntry,
    describe::{Exclusive, Framing, Interface, Kind, Method, Param, Role},
    descriptor,
};

use super::{
    Source,
    words::{self, Named, cell, default_of, of_type, prose, proto_type, table},
};

pub(super) fn page(source: &Source<'_>, interface: &'static Interface) -> String {
    let mut text = format!("# {}\n\n{}\n\n", interface.name, prose(interface.doc));
    facts(&mut text, source, interface);
    let _ = write!(
        text,
        "\n## Methods\n\nEach can be called in two ways: as a method of an ordinary gRPC service, with the metadata key \
         `x-jumpstarter-driver-uuid` naming the device, or in the calls of version 0.9.0, with arguments by position.\n"
    );
    for method in interface.methods {
        self::method(&mut text, interface, method);
    }
    types(&mut text, interface);
    commands(&mut text, interface);
    text
}

fn facts(text: &mut String, source: &Source<'_>, interface: &'static Interface) {
    let service = interface.full_service();
    let mut rows = vec![["gRPC service".to_owned(), format!("`{service}`")]];
    let also: Vec<_> = interface.also.iter().map(|name| format!("`{name}`")).collect();
    if !also.is_empty() {
        rows.push(["Also".to_owned(), also.join(", ")]);
    }
    if let Ok(file) = descriptor::file(interface) {
        let name = &file.name;
        rows.push(["Definition".to_owned(), format!("[`proto/{name}`](../../../proto/{name})")]);
    }
    rows.push(["Python client".to_owned(), format!("`{}`", interface.python)]);
    let drivers: Vec<_> = source
        .providing(interface)
        .iter()
        .map(|driver| format!("[{0}](../drivers/{0}.md)", driver.spec().type_name))
        .collect();
    let parts: Vec<_> = source
        .drivers
        .iter()
        .flat_map(|driver| driver.children().iter().map(move |child| (driver.spec().type_name, child)))
        .filter(|(_, child)| child.interface.is_some_and(|own| own.full_service() == service))
        .map(|(driver, child)| format!("`{}` of [{driver}](../drivers/{driver}.md)", child.name))
        .collect();
    let mut provided = drivers;
    provided.extend(parts);
    if !provided.is_empty() {
        rows.push(["Provided by".to_owned(), provided.join(", ")]);
    }
    text.push_str(&table(["", ""], &rows));
}

/// How a method is spelt natively and in the calls of version 0.9.0.
pub(super) fn spellings(interface: &Interface, method: &Method) -> (String, String) {
    let native = format!("/{}/{}", interface.full_service(), method.rpc);
    let legacy = match method.kind {
        Kind::Unary => format!("DriverCall \"{}\"", method.export),
        Kind::ServerStream => format!("StreamingDriverCall \"{}\"", method.export),
        Kind::Bytes => format!("RouterService.Stream \"{}\"", method.export),
    };
    (native, legacy)
}

fn method(text: &mut String, interface: &Interface, method: &'static Method) {
    let (native, legacy) = spellings(interface, method);
    let _ = write!(text, "\n### {}\n\n{}\n\n", method.export, prose(method.doc));
    let answer = match (method.kind, method.framing) {
        (Kind::Unary, _) => of_type(method.ret),
        (Kind::ServerStream, _) => format!("any number of: {}", of_type(method.ret)),
        (Kind::Bytes, Framing::Bytes) => "a byte stream in both directions".to_owned(),
        (Kind::Bytes, Framing::Messages) => "a stream of messages in both directions".to_owned(),
    };
    let mut rows = vec![
        ["Native gRPC".to_owned(), format!("`{native}`")],
        ["Calls of version 0.9.0".to_owned(), format!("`{legacy}`")],
        ["Answer".to_owned(), answer],
    ];
    if method.kind == Kind::Bytes {
        let request = format!("{{\"kind\": \"driver\", \"uuid\": \"…\", \"method\": \"{}\"}}", method.export);
        rows.push(["Request of the stream".to_owned(), format!("metadata key `request`: `{request}`")]);
    }
    for (rpc, export) in method.renamed_from {
        rows.push(["Old name".to_owned(), format!("`{rpc}`, `\"{export}\"`")]);
    }
    match method.exclusive {
        Exclusive::No => {}
        Exclusive::Wait => rows.push(["At the same time".to_owned(), "one call; others wait".to_owned()]),
        Exclusive::Fail => {
            rows.push(["At the same time".to_owned(), "one call; others are refused".to_owned()]);
        }
    }
    text.push_str(&table(["", ""], &rows));
    let wired: Vec<_> = method.params.iter().filter(|param| param.role != Role::Injected).collect();
    if !wired.is_empty() {
        let rows: Vec<_> = wired.iter().enumerate().map(|(at, param)| parameter(at, param)).collect();
        let titles = ["Position", "Parameter", "Field", "Value", "Default", "Meaning"];
        let _ = write!(text, "\n{}", table(titles, &rows));
    }
}

fn parameter(at: usize, param: &Param) -> [String; 6] {
    let ty = match param.role {
        Role::Source => "handle of a file to read".to_owned(),
        Role::Sink => "handle of a file to write".to_owned(),
        _ => of_type(param.ty),
    };
    let at = if param.rest { format!("{at} and all that follow") } else { at.to_string() };
    let field = format!("{} (`{}`)", param.tag, proto_type(param.ty));
    [at, format!("`{}`", param.name), field, ty, default_of(param), cell(param.doc)]
}

fn types(text: &mut String, interface: &Interface) {
    let mut named = Named::default();
    for method in interface.methods {
        for param in method.params.iter().filter(|param| param.role != Role::Injected) {
            words::named_types(param.ty, &mut named);
        }
        words::named_types(method.ret, &mut named);
    }
    if named.messages.is_empty() && named.enums.is_empty() {
        return;
    }
    text.push_str("\n## Types\n");
    for message in named.messages {
        let rows: Vec<_> = message
            .fields
            .iter()
            .map(|field| {
                let unit = if field.unit.is_empty() { String::new() } else { format!("`{}`", field.unit) };
                let number = format!("{} (`{}`)", field.tag, proto_type(field.ty));
                [format!("`{}`", field.name), number, of_type(field.ty), unit, cell(field.doc)]
            })
            .collect();
        let list = if message.list { "\nIn the calls of version 0.9.0, a list of its fields.\n" } else { "" };
        let _ = write!(
            text,
            "\n### {}\n\n{}\n{list}\n{}",
            message.name,
            prose(message.doc),
            table(["Key", "Field", "Value", "Unit", "Meaning"], &rows)
        );
    }
    for choice in named.enums {
        let rows: Vec<_> = choice
            .values
            .iter()
            .map(|(name, number, doc)| [format!("`{name}`"), number.to_string(), cell(doc)])
            .collect();
        let _ = write!(
            text,
            "\n### {}\n\n{}\n\n{}",
            choice.name,
            prose(choice.doc),
            table(["Text", "Number", "Meaning"], &rows)
        );
    }
}

/// These interfaces with the commands that their clients add.
pub(super) fn entries(interfaces: &[&'static Interface]) -> Vec<ClientEntry> {
    let known = |interface: &'static Interface| {
        let clients = jumpstarter_cli::CLIENTS.iter();
        let mut same = clients.filter(|entry| entry.interface.full_service() == interface.full_service());
        same.next().copied().unwrap_or_else(|| ClientEntry::new(interface))
    };
    interfaces.iter().map(|interface| known(interface)).collect()
}

fn commands(text: &mut String, interface: &'static Interface) {
    let commands = jumpstarter_cli::reference::device(&entries(&[interface]), interface.python, "DEVICE");
    if commands.is_empty() {
        return;
    }
    text.push_str("\n## Commands\n\nIn a shell of `jmp shell`, with the device's name for `DEVICE`");
    if jumpstarter_cli::reference::is_configured(interface) {
        text.push_str(". The configuration of the driver decides which commands there are; `METHOD` stands for the name of one");
    }
    text.push_str(":\n");
    for command in commands {
        let _ = write!(text, "\n```text\n{}```\n", command.help);
    }
}
