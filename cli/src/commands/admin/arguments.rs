//! Arguments and options of the commands, and what makes no sense in them.
//!
//! Those of Kubernetes are known, so that whoever has scripts for it is told what to write instead.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command, ValueHint};
use jumpstarter_lab::NAMESPACE;

use crate::{
    commands::Invocation,
    output,
    report::Stop,
    words::{flag, option},
};

/// Options that choose a cluster: accepted, to be refused with what to write instead.
const CLUSTER: [&str; 2] = ["kubeconfig", "context"];

fn name() -> Arg {
    Arg::new("name").value_name("NAME").help("What it is called  [required]")
}

/// What every command has that does something with objects.
fn common(command: Command) -> Command {
    command
        .arg(
            option("namespace", "NAMESPACE", "Where it is; a lab has this one only")
                .short('n')
                .default_value(NAMESPACE),
        )
        .args(CLUSTER.map(|name| option(name, "VALUE", "").hide(true)))
}

fn labels() -> Arg {
    option("label", "KEY=VALUE", "A label; can be repeated").short('l').action(ArgAction::Append)
}

fn out(help: &'static str) -> Arg {
    option("out", "FILE", help).value_hint(ValueHint::FilePath)
}

fn saving(command: Command) -> Command {
    command
        .arg(flag("save", "Write a file with its token where jmp looks for it").short('s'))
        .arg(out("Write that file there instead"))
}

/// What a new file says beside who somebody is, and whether anybody is asked for it.
fn writing(command: Command) -> Command {
    command
        .arg(flag("insecure-tls", "In that file, do not ask the lab to prove its name").short('k'))
        .arg(flag("nointeractive", "Ask nothing: what was not said is not done"))
}

fn drivers(command: Command) -> Command {
    command
        .arg(
            option("allow", "LIST", "Driver classes that the client may use, by patterns with commas")
                .short('a'),
        )
        .arg(flag("unsafe", "Let the client use all of them"))
}

fn creating(command: Command, labels: Arg) -> Command {
    common(writing(saving(command.arg(name()).arg(labels))))
        .arg(option("oidc-username", "USER", "Who may act as it besides: a user of an identity provider"))
        .args(output::options(&["json", "yaml", "name"]))
}

pub(crate) fn create_client(command: Command) -> Command {
    drivers(creating(command, labels()))
}

pub(crate) fn create_exporter(command: Command) -> Command {
    creating(command, labels().required(true))
}

pub(crate) fn create_policy(command: Command) -> Command {
    let file = Arg::new("file").value_name("FILE").required(true).value_hint(ValueHint::FilePath);
    common(command.arg(file.help("The policy, as YAML"))).args(output::options(&["json", "yaml", "name"]))
}

pub(crate) fn get(command: Command) -> Command {
    let command = command
        .arg(Arg::new("name").value_name("NAME").help("Only this one"))
        .arg(option("selector", "SELECTOR", "Only those with these labels").short('l'));
    common(command).args(output::options(&["json", "yaml", "name"]))
}

pub(crate) fn get_exporter(command: Command) -> Command {
    get(command.arg(flag("devices", "One row for each device of each exporter").short('d')))
}

pub(crate) fn delete_policy(command: Command) -> Command {
    common(command.arg(name())).arg(output::option(&["name"]))
}

pub(crate) fn delete(command: Command) -> Command {
    delete_policy(command)
        .arg(flag("delete", "Remove the user's own file of it as well").short('d'))
        .arg(flag("nointeractive", "Do not ask about that file"))
}

fn importing(command: Command) -> Command {
    let command = command.arg(out("Write it there instead; `-` is the standard output"));
    common(writing(command)).arg(
        option("output", "[path]", "Print where the file is and nothing else")
            .short('o')
            .value_parser(path_only),
    )
}

/// The one format of `import`; whoever names a file there means another option.
fn path_only(text: &str) -> Result<String, String> {
    if text.eq_ignore_ascii_case("path") {
        Ok(text.to_owned())
    } else {
        Err("only 'path' can be printed; where the file is to be is said with '--out'".to_owned())
    }
}

pub(crate) fn import_client(command: Command) -> Command {
    drivers(importing(command.arg(name())))
}

pub(crate) fn import_exporter(command: Command) -> Command {
    importing(
        command
            .arg(name().default_value("default").help("What it is called; `default` if you do not say it")),
    )
}

fn rotating(command: Command) -> Command {
    let quiet = crate::words::choice("output", &["name"], "Say nothing about it").short('o');
    common(saving(command.arg(name()))).arg(quiet)
}

pub(crate) fn rotate_client(command: Command) -> Command {
    drivers(rotating(command))
}

pub(crate) fn rotate_exporter(command: Command) -> Command {
    rotating(command)
}

/// The name of the object that is meant.
pub(super) fn name_of<'a>(invocation: &'a Invocation<'_>) -> Result<&'a str, Stop> {
    invocation.text("name").ok_or_else(|| invocation.place.wrong("Missing required argument 'NAME'."))
}

/// The labels that options give.
pub(super) fn labels_of(invocation: &Invocation<'_>) -> Result<BTreeMap<String, String>, Stop> {
    let mut labels = BTreeMap::new();
    for word in invocation.matches.get_many::<String>("label").unwrap_or_default() {
        let (key, value) = word.split_once('=').ok_or_else(|| {
            invocation.place.wrong(format!("Invalid value for '-l' / '--label': {word:?} is not KEY=VALUE."))
        })?;
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

/// Refuses what is said about a cluster that is not there. To go on would do something else than was meant.
pub(super) fn check(invocation: &Invocation<'_>) -> Result<(), Stop> {
    if let Some(name) = CLUSTER.into_iter().find(|name| invocation.text(name).is_some()) {
        return Err(invocation.place.wrong(format!(
            "'--{name}' is for Kubernetes. Here a lab is chosen, in front of the command: `jmp admin --lab DIR` for one on this \
             machine, `jmp admin --endpoint HOST:PORT` for another."
        )));
    }
    if invocation.text("namespace").is_some_and(|namespace| namespace != NAMESPACE) {
        return Err(invocation.place.wrong(format!(
            "Invalid value for '-n' / '--namespace': a lab has one namespace, '{NAMESPACE}'. For another, run another lab."
        )));
    }
    Ok(())
}
