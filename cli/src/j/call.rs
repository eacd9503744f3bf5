//! Carrying a command out: arguments to values, values to results.

use clap::ArgMatches;
use jumpstarter_client::Device;
use jumpstarter_core::{
    Call, Error, ErrorKind,
    describe::{Method, Role, Type},
    dispatch::{Answer, Args, Attached, Payload, Reply},
    dynamic,
};
use prost_types::Value;

use super::{
    args::{self, Typed},
    console, flash, network, policy, render, shell,
    transfer::Transfers,
    tree::{Action, Bytes, Item, Leaf},
};
use crate::{
    files, output,
    report::{Outcome, Stop},
    words::{Found, Place, Word as _},
};

/// Carries out the command that was found.
pub(super) async fn run(found: &Found<'_, Item>, json: bool) -> Outcome {
    let Some(leaf) = found.word.leaf() else { return Ok(0) };
    let (matches, place) = (&found.matches, &found.place);
    policy::check(&leaf.device, files::environment)?;
    let outcome = match leaf.action {
        Action::Method(interface, index) => {
            let method = &interface.methods[index];
            let typed = args::typed_for_method(method, matches, place)?;
            method_call(leaf, method, typed, json, place).await
        }
        Action::Command(command) => {
            let typed = args::typed_for_command(command, matches, place)?;
            command_call(leaf, command, typed, json, place).await
        }
        Action::Bytes(method, what) => bytes(leaf, method, what, matches, place).await,
        Action::Shell => shell::run(&leaf.device, found.word.name(), matches, place).await,
        Action::Flash(kind) => flash::flash(&leaf.device, kind, matches, place).await,
    };
    leaf.device.connection().close();
    outcome
}

async fn method_call(leaf: &Leaf, method: &Method, typed: Vec<Typed>, json: bool, place: &Place) -> Outcome {
    let mut transfers = Transfers::default();
    let (values, files) =
        prepare(method, typed, &mut transfers).await.map_err(|error| wrong(error, place))?;
    let call = leaf.device.call_with_files(method.export, method.kind, values, files).await;
    let reply = call.map_err(|error| failed(error, &transfers, &leaf.device, method, place))?;
    print(method.ret, reply, json).await
}

fn failed(error: Error, transfers: &Transfers, device: &Device, method: &Method, place: &Place) -> Stop {
    if transfers.is_unread() { Stop::ClosedPipe } else { wrong(lacking(error, device, method), place) }
}

/// A command that is there because others of its kind have it: Python's exporters say of a device only what its clients
/// are, and all networks have the same, with and without an address.
fn lacking(error: Error, device: &Device, method: &Method) -> Error {
    if error.kind() != ErrorKind::MethodNotFound {
        return error;
    }
    let text = format!(
        "`{}` has no `{}`: its driver at the exporter does not offer it",
        device.path(),
        method.export.replace('_', "-")
    );
    Error::new(ErrorKind::MethodNotFound, text)
}

async fn command_call(
    leaf: &Leaf,
    command: &'static jumpstarter_core::command::Command,
    typed: Vec<Typed>,
    json: bool,
    place: &Place,
) -> Outcome {
    let mut transfers = Transfers::default();
    let prepared = prepare(&command.method, typed, &mut transfers).await;
    let (values, files) = prepared.map_err(|error| wrong(error, place))?;
    let arguments = Args::new(Payload::Values(values), Call::default()).with_attached(files);
    let done = (command.run)(leaf.device.target(), arguments).await;
    let reply = done.map_err(|error| failed(error, &transfers, &leaf.device, &command.method, place))?;
    print(command.method.ret, reply, json).await
}

/// A mistake of whoever typed the command is a mistake in the command line.
pub(super) fn wrong(error: Error, place: &Place) -> Stop {
    if error.kind() == ErrorKind::Usage { place.wrong(error.message()) } else { error.into() }
}

type Prepared = (Vec<Value>, Vec<(usize, Attached)>);

/// Values for the call, and the files that travel beside it, opened.
async fn prepare(
    method: &Method,
    typed: Vec<Typed>,
    transfers: &mut Transfers,
) -> jumpstarter_core::Result<Prepared> {
    let packed = is_packed(method, &typed);
    let mut values = Vec::with_capacity(typed.len());
    let mut rest = Vec::new();
    let mut files = Vec::new();
    for (index, argument) in typed.into_iter().enumerate() {
        values.push(match argument {
            Typed::Absent => None,
            Typed::Value(value) => Some(value),
            Typed::Rest(further) => {
                rest = further;
                None
            }
            // The place is kept; the handle comes when the stream is open.
            Typed::Source(name) => {
                files.push((index, Attached::Source(transfers.source(&name, packed).await?)));
                Some(jumpstarter_core::wire::value::null())
            }
            Typed::Sink(name) => {
                files.push((index, Attached::Sink(transfers.sink(&name).await?)));
                Some(jumpstarter_core::wire::value::null())
            }
        });
    }
    let before_rest = values.len();
    let mut values = args::positional(method, values);
    if !rest.is_empty() {
        let absent = method
            .params
            .iter()
            .filter(|param| param.role != Role::Injected)
            .take(before_rest.saturating_sub(1));
        let absent = absent.skip(values.len());
        values.extend(absent.map(|param| {
            param.default.map_or_else(jumpstarter_core::wire::value::null, |default| default())
        }));
        values.extend(rest);
    }
    Ok((values, files))
}

/// Whether the file of a call is packed, where the method has a parameter for that: a file that the exporter would fetch by
/// itself cannot be unpacked on the way.
fn is_packed(method: &Method, typed: &[Typed]) -> bool {
    let mut params = method.params.iter().filter(|param| param.role != Role::Injected).zip(typed);
    params.any(|(param, typed)| {
        param.name == "compression"
            && matches!(param.ty.inner(), Type::Enum(_))
            && matches!(typed, Typed::Value(Value { kind: Some(prost_types::value::Kind::StringValue(_)) }))
    })
}

async fn print(ty: Type, reply: Reply, json: bool) -> Outcome {
    let show = |answer: Answer| -> Result<(), Stop> {
        let value = answer.into_value()?;
        match (json, ty) {
            (_, Type::Unit) => Ok(()),
            (true, ty) => output::line(&dynamic::json(ty, &value).to_string()),
            (false, ty) => match render::text(ty, &value) {
                Some(text) => output::line(&text),
                None => Ok(()),
            },
        }
    };
    match reply {
        Reply::Unary(answer) => show(answer)?,
        Reply::Stream(mut answers) => {
            while let Some(answer) = answers.next().await {
                show(answer?)?;
            }
        }
        Reply::Bytes(io) => console::copy_out(io).await?,
    }
    Ok(0)
}

async fn bytes(leaf: &Leaf, method: &str, what: Bytes, matches: &ArgMatches, place: &Place) -> Outcome {
    match what {
        Bytes::Console => console::start(&leaf.device, method, matches, place).await,
        Bytes::Pipe => console::pipe(&leaf.device, method, matches, place).await,
        Bytes::Expect => console::expect(&leaf.device, method, matches, place).await,
        Bytes::ForwardTcp => network::tcp(&leaf.device, method, matches, place).await,
        Bytes::ForwardUdp => network::udp(&leaf.device, method, matches, place).await,
        Bytes::ForwardUnix => network::unix(&leaf.device, method, matches).await,
        Bytes::Bus => network::bus(&leaf.device, matches).await,
        Bytes::Screen => network::vnc(&leaf.device, matches).await,
    }
}
