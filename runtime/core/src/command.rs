//! Commands that a client adds to those of its interface: what `#[commands]` prints.
//!
//! A command is a method that runs in the client. It has the same description and the same dispatch as a method of an
//! interface, so whoever builds a command line treats both alike. This crate knows no argument parser.

use prost_types::Value;

use crate::{
    client::Target,
    describe::{Interface, Method, Type},
    dispatch::{Args, Calling},
    wire::{WireError, value},
};

/// One command.
#[derive(Debug)]
pub struct Command {
    /// Name, parameters, kind of result, documentation. `export` is the command's name with underscores.
    pub method: Method,
    /// How each parameter is written, in the order of the parameters.
    pub options: &'static [CommandOption],
    /// Whether it takes the place of the interface's method of the same name on a command line.
    pub replaces: bool,
    /// Runs it on a client of the interface.
    pub run: fn(Target, Args) -> Calling,
}

/// How one parameter of a command is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandOption {
    /// `--name`; without it and `short`, the parameter is positional.
    pub long: Option<&'static str>,
    /// `-n`.
    pub short: Option<char>,
    /// What stands for an absent one, as text.
    pub default: Option<&'static str>,
    /// The placeholder in help texts.
    pub value_name: Option<&'static str>,
}

impl CommandOption {
    /// A positional parameter.
    pub const POSITIONAL: Self = Self { long: None, short: None, default: None, value_name: None };
}

/// An interface together with the commands its client adds; crates with interfaces export a list of them.
#[derive(Clone, Copy, Debug)]
pub struct ClientEntry {
    /// The interface.
    pub interface: &'static Interface,
    /// The commands.
    pub commands: &'static [Command],
}

impl ClientEntry {
    /// An interface whose client adds nothing.
    pub const fn new(interface: &'static Interface) -> Self {
        Self { interface, commands: &[] }
    }

    /// With these commands.
    #[must_use]
    pub const fn with_commands(self, commands: &'static [Command]) -> Self {
        Self { commands, ..self }
    }
}

/// The numbers beyond which a number of this form loses digits: 2^53.
const EXACT: i128 = 1 << 53;

/// What is allowed, if a number is not.
fn outside(ty: Type, number: i128) -> Option<String> {
    let (least, most) = match ty {
        Type::U8 => (0, u8::MAX.into()),
        Type::U16 => (0, u16::MAX.into()),
        Type::U32 => (0, u32::MAX.into()),
        Type::U64 => (0, EXACT),
        Type::I32 => (i32::MIN.into(), i32::MAX.into()),
        _ => (-EXACT, EXACT),
    };
    if (least..=most).contains(&number) {
        return None;
    }
    Some(match (number < least, ty) {
        (true, Type::U8 | Type::U16) | (false, _) => format!("a number from {least} to {most}"),
        (true, _) => format!("{least} or more"),
    })
}

/// Turns what somebody typed into the value of an argument.
pub fn parse_text(ty: Type, text: &str) -> Result<Value, WireError> {
    Ok(match ty {
        Type::Unit => value::null(),
        Type::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => value::boolean(true),
            "false" | "no" | "off" | "0" => value::boolean(false),
            _ => return Err(WireError::new(format!("expected true or false, got {text:?}"))),
        },
        Type::I32 | Type::I64 | Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
            let whole: i128 =
                text.parse().map_err(|_| WireError::new(format!("expected a whole number, got {text:?}")))?;
            if let Some(range) = outside(ty, whole) {
                return Err(WireError::new(format!("expected {range}, got {whole}")));
            }
            #[allow(clippy::cast_precision_loss)]
            value::number(whole as f64)
        }
        Type::F32 | Type::F64 => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => value::number(number),
            _ => return Err(WireError::new(format!("expected a number, got {text:?}"))),
        },
        Type::Str | Type::Format(_) | Type::Bytes | Type::Duration | Type::Handle => value::text(text),
        Type::Enum(spec) => {
            let spec = spec();
            let known = || spec.values.iter().map(|(name, ..)| *name);
            let Some(name) = known().find(|name| name.eq_ignore_ascii_case(text)) else {
                let all = known().collect::<Vec<_>>().join(", ");
                return Err(WireError::new(format!("expected one of {all}, got {text:?}")));
            };
            value::text(name)
        }
        Type::Opt(inner) => return parse_text(*inner, text),
        Type::Json | Type::List(_) | Type::Map(_) | Type::Message(_) => {
            let json =
                serde_json::from_str(text).map_err(|e| WireError::new(format!("expected JSON: {e}")))?;
            jumpstarter_protocol::value::from_json(json).map_err(|e| WireError::new(e.to_string()))?
        }
    })
}
