//! Parameters as options and arguments of a command line, and what was typed as values.
//!
//! A command that a client adds says how each parameter is written. For a method, what must be there is an argument in
//! its place, and what may be absent is an option.

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use jumpstarter_core::{
    Delay,
    command::{self, CommandOption, parse_text},
    describe::{EnumSpec, Method, Param, Role, Type},
    wire::value,
};
use prost_types::{Value, value::Kind};

use crate::{
    help,
    report::Stop,
    words::{Place, option},
};

/// One argument as it was typed.
#[derive(Debug)]
pub(super) enum Typed {
    /// It was not.
    Absent,
    /// As a value.
    Value(Value),
    /// Several values: every further one.
    Rest(Vec<Value>),
    /// The name of a file to read.
    Source(String),
    /// The name of a file to write.
    Sink(String),
}

/// How one parameter is written.
#[derive(Clone, Debug, Default)]
struct Spelling {
    long: Option<String>,
    short: Option<char>,
    default: Option<&'static str>,
    value_name: Option<&'static str>,
}

impl Spelling {
    fn is_option(&self) -> bool {
        self.long.is_some() || self.short.is_some()
    }

    fn said(option: &CommandOption) -> Self {
        Self {
            long: option.long.map(str::to_owned),
            short: option.short,
            default: option.default,
            value_name: option.value_name,
        }
    }

    fn usual(param: &Param) -> Self {
        let file = matches!(param.role, Role::Source | Role::Sink);
        let may_be_absent = param.default.is_some() || matches!(param.ty, Type::Opt(_));
        if file || param.rest || !may_be_absent {
            return Self::default();
        }
        // Names that every command has already are not to be had.
        let long = match param.name.replace('_', "-") {
            name if name == "help" || name == "log-level" => format!("{name}-"),
            name => name,
        };
        Self { long: Some(long), ..Self::default() }
    }
}

fn spellings<'a>(
    method: &'a Method,
    options: Option<&'a [CommandOption]>,
) -> impl Iterator<Item = (usize, &'a Param, Spelling)> {
    let wired = method.params.iter().enumerate().filter(|(_, param)| param.role != Role::Injected);
    wired.map(move |(index, param)| {
        let spelling = match options {
            Some(options) => options.get(index).map(Spelling::said).unwrap_or_default(),
            None => Spelling::usual(param),
        };
        (index, param, spelling)
    })
}

/// The arguments of a method.
pub(super) fn of_method(command: Command, method: &Method) -> Command {
    command.args(spellings(method, None).map(|(_, param, spelling)| arg(param, &spelling)))
}

/// The arguments of a command that a client adds.
pub(super) fn of_command(command: Command, added: &command::Command) -> Command {
    command
        .args(spellings(&added.method, Some(added.options)).map(|(_, param, spelling)| arg(param, &spelling)))
}

/// A flag: a truth that is false unless somebody says otherwise.
fn is_flag(param: &Param, spelling: &Spelling) -> bool {
    let off = spelling.default.is_none_or(|text| text == "false");
    let unless_said = param
        .default
        .is_none_or(|default| matches!(default().kind, Some(prost_types::value::Kind::BoolValue(false))));
    spelling.is_option() && off && unless_said && matches!(param.ty, Type::Bool)
}

fn arg(param: &Param, spelling: &Spelling) -> Arg {
    let doc = crate::style::unwrap(param.doc);
    let doc = match param.ty.inner() {
        // Options show their choices in place of a value.
        Type::Enum(spec) if !spelling.is_option() => format!("{doc}  [{}]", choices(spec())),
        _ => doc,
    };
    let doc = match default_of(param, spelling) {
        Some(default) => format!("{doc}  [default: {default}]"),
        None => doc,
    };
    let mut arg = Arg::new(param.name.to_owned()).help(doc);
    if spelling.is_option() {
        arg = match &spelling.long {
            Some(long) => arg.long(long.clone()),
            None => arg,
        };
        arg = match spelling.short {
            Some(short) => arg.short(short),
            None => arg,
        };
        if is_flag(param, spelling) {
            return arg.action(ArgAction::SetTrue);
        }
    }
    arg = arg.value_name(spelling.value_name.map_or_else(|| value_name(param, spelling), str::to_owned));
    // What looks like an option is a value where a value must be.
    arg = if spelling.is_option() { arg.allow_hyphen_values(true) } else { arg.allow_negative_numbers(true) };
    arg = match param.role {
        Role::Source | Role::Sink => arg.value_hint(ValueHint::FilePath),
        _ => arg,
    };
    if param.rest {
        return arg.num_args(0..).action(ArgAction::Append);
    }
    if let Type::Enum(spec) = param.ty.inner() {
        // The list is what help and completion need; the words are checked by the type.
        arg = arg
            .value_parser(spec().values.iter().map(|(name, ..)| *name).collect::<Vec<_>>())
            .ignore_case(true);
    }
    match spelling.default {
        Some(default) => arg.default_value(default),
        None => arg.required(param.default.is_none() && !matches!(param.ty, Type::Opt(_))),
    }
}

/// What an option stands for that is not given, where that is the driver's business: it is left out of the call, so that
/// the driver's default counts and not the one that this program knows.
fn default_of(param: &Param, spelling: &Spelling) -> Option<String> {
    if spelling.default.is_some() || is_flag(param, spelling) {
        return None;
    }
    match param.default?().kind? {
        Kind::StringValue(text) if !text.is_empty() => Some(text),
        // As it would be typed: whole numbers have no fraction.
        Kind::NumberValue(number) => Some(number.to_string()),
        Kind::BoolValue(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn choices(spec: &EnumSpec) -> String {
    spec.values.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join("|")
}

fn value_name(param: &Param, spelling: &Spelling) -> String {
    let own_name = || param.name.replace('_', "-").to_uppercase();
    match (param.role, param.ty.inner()) {
        (Role::Source | Role::Sink, _) => "FILE".to_owned(),
        _ if !spelling.is_option() => own_name(),
        (_, Type::Enum(spec)) => format!("[{}]", choices(spec())),
        (_, Type::I32 | Type::I64 | Type::U8 | Type::U16 | Type::U32 | Type::U64) => "INTEGER".to_owned(),
        (_, Type::F32 | Type::F64) => "NUMBER".to_owned(),
        (_, Type::Duration) => "TIME".to_owned(),
        (_, Type::Bool) => "BOOLEAN".to_owned(),
        (_, Type::List(_) | Type::Map(_) | Type::Message(_) | Type::Json) => "JSON".to_owned(),
        _ => "TEXT".to_owned(),
    }
}

/// What was typed for the parameters of a method, in their order.
pub(super) fn typed_for_method(
    method: &Method,
    matches: &ArgMatches,
    place: &Place,
) -> Result<Vec<Typed>, Stop> {
    typed(method, None, matches, place)
}

/// What was typed for the parameters of a command that a client adds.
pub(super) fn typed_for_command(
    added: &command::Command,
    matches: &ArgMatches,
    place: &Place,
) -> Result<Vec<Typed>, Stop> {
    typed(&added.method, Some(added.options), matches, place)
}

fn typed(
    method: &Method,
    options: Option<&[CommandOption]>,
    matches: &ArgMatches,
    place: &Place,
) -> Result<Vec<Typed>, Stop> {
    spellings(method, options).map(|(_, param, spelling)| one(param, &spelling, matches, place)).collect()
}

fn one(param: &Param, spelling: &Spelling, matches: &ArgMatches, place: &Place) -> Result<Typed, Stop> {
    if is_flag(param, spelling) {
        return Ok(Typed::Value(value::boolean(matches.get_flag(param.name))));
    }
    let mut texts = matches.get_many::<String>(param.name).unwrap_or_default();
    let read = |ty: Type, text: &String| {
        let checked = if matches!(ty.inner(), Type::Duration) {
            // Sent as text, so nothing else would notice before the call.
            text.parse::<Delay>().map(|_| ()).map_err(|error| error.to_string())
        } else {
            Ok(())
        };
        let value = checked.and_then(|()| parse_text(ty, text).map_err(|error| error.to_string()));
        value.map_err(|reason| {
            let text = crate::style::printable(text);
            place.wrong(format!("Invalid value for {}: {reason}", quoted(param, spelling, &text)))
        })
    };
    if param.rest {
        let ty = if let Type::List(item) = param.ty { *item } else { param.ty };
        return texts.map(|text| read(ty, text)).collect::<Result<_, _>>().map(Typed::Rest);
    }
    let Some(text) = texts.next() else { return Ok(Typed::Absent) };
    Ok(match param.role {
        Role::Source => Typed::Source(text.clone()),
        Role::Sink => Typed::Sink(text.clone()),
        _ => Typed::Value(read(param.ty, text)?),
    })
}

fn quoted(param: &Param, spelling: &Spelling, text: &str) -> String {
    format!("{}: '{text}'", help::quoted(&arg(param, spelling)))
}

/// Values in the order of the parameters. Trailing ones that were not typed are left out, for the sake of drivers that
/// do not know them yet; others get what absence means.
pub(super) fn positional(method: &Method, values: Vec<Option<Value>>) -> Vec<Value> {
    let used = values.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let params = method.params.iter().filter(|param| param.role != Role::Injected);
    let absent = |param: &Param| param.default.map_or_else(value::null, |default| default());
    values
        .into_iter()
        .zip(params)
        .take(used)
        .map(|(value, param)| value.unwrap_or_else(|| absent(param)))
        .collect()
}

/// An option that is not a parameter.
pub(super) fn own_option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help)
}
