//! The commands of a client class: click's groups, arguments and options, named as in our `j`.

use jumpstarter_core::Delay;
use serde_json::Value;

use super::{
    layout::{self, Lines},
    types::{Types, method_name, parameter_name},
};
use crate::description::{Answers, Description, Method, Parameter, Role, Type};

/// Prints the method `cli`.
pub(super) struct Commands<'p, 'd> {
    pub(super) lines: &'p mut Lines,
    pub(super) types: &'p mut Types<'d>,
}

fn is_optional(parameter: &Parameter) -> bool {
    parameter.role == Role::Value
        && !parameter.rest
        && (parameter.default.is_some() || matches!(parameter.ty, Type::Optional(_)))
}

impl Commands<'_, '_> {
    pub(super) fn print(&mut self, description: &Description) {
        self.lines.line(1, "def cli(self) -> click.Group:");
        self.lines.doc(2, "The commands of this device, for `j`.", &[]);
        let doc = layout::text(&description.doc.split_whitespace().collect::<Vec<_>>().join(" "));
        self.lines.list(2, "group = support.group(", &["self".to_owned(), doc], ")");
        for method in &description.methods {
            self.lines.blank(1);
            self.command(method);
        }
        self.lines.blank(1);
        self.lines.line(2, "return group");
    }

    fn command(&mut self, method: &Method) {
        let name = layout::text(&method.call.replace('_', "-"));
        let mut settings = vec![format!("name={name}")];
        // A negative number is a number, not an option.
        if method.parameters.iter().any(|parameter| !is_optional(parameter) && is_signed(&parameter.ty)) {
            settings.push("context_settings={\"ignore_unknown_options\": True}".to_owned());
        }
        self.lines.list(2, "@group.command(", &settings, ")");
        if matches!(method.answers, Answers::Bytes | Answers::Messages) {
            return self.pipe(method);
        }
        for parameter in &method.parameters {
            self.decorator(parameter);
        }
        let own =
            method.parameters.iter().any(|parameter| is_optional(parameter) && parameter.name == "output");
        let mut signature = Vec::new();
        for parameter in &method.parameters {
            signature.push(format!("{}: {}", parameter_name(&parameter.name), self.received(parameter)));
        }
        if !own {
            self.lines.line(2, "@support.output_option");
            signature.push("print_as: str".to_owned());
        }
        self.lines.list(2, &format!("def {}(", method_name(&method.call)), &signature, ") -> None:");
        self.lines.doc(3, &method.doc, &self.arguments_help(method));
        let (function, arguments) = call(method);
        let print_as = if own { "" } else { ", print_as" };
        match method.answers {
            Answers::Stream => {
                self.lines.list(3, &format!("for item in {function}("), &arguments, "):");
                self.lines.line(4, &format!("support.show(item{print_as})"));
            }
            _ if method.returns == Type::Unit => self.lines.list(3, &format!("{function}("), &arguments, ")"),
            _ => {
                let result = format!("{function}({})", arguments.join(", "));
                let shown = std::iter::once(result).chain((!own).then(|| "print_as".to_owned()));
                self.lines.list(3, "support.show(", &shown.collect::<Vec<_>>(), ")");
            }
        }
    }

    fn pipe(&mut self, method: &Method) {
        self.lines.line(2, "@support.pipe_options");
        let names = ["append", "force_input", "no_input", "no_output"];
        let options = names.map(|name| format!("{name}: bool"));
        let signature = [&["output: str | None".to_owned()][..], &options].concat();
        self.lines.list(2, &format!("def {}(", method_name(&method.call)), &signature, ") -> None:");
        self.lines.doc(3, &method.doc, &[]);
        let own = ["self".to_owned(), layout::text(&method.call), "output=output".to_owned()];
        let passed = [&own[..], &names.map(|name| format!("{name}={name}"))].concat();
        self.lines.list(3, "support.pipe(", &passed, ")");
    }

    /// The type that the command's function gets.
    fn received(&mut self, parameter: &Parameter) -> String {
        if parameter.role != Role::Value {
            return "str".to_owned();
        }
        if let (true, Type::List(item)) = (parameter.rest, &parameter.ty) {
            return format!("tuple[{}, ...]", self.plain(item));
        }
        let plain = self.plain(&parameter.ty);
        let certain = !is_optional(parameter);
        if certain || plain.ends_with("None") || plain == "Any" { plain } else { format!("{plain} | None") }
    }

    fn plain(&mut self, ty: &Type) -> String {
        match ty {
            Type::I32 | Type::I64 | Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
                self.types.annotation(&Type::I64)
            }
            Type::Optional(inner) => match self.plain(inner) {
                inner if inner.ends_with("None") || inner == "Any" => inner,
                inner => format!("{inner} | None"),
            },
            ty => self.types.annotation(ty),
        }
    }

    fn decorator(&mut self, parameter: &Parameter) {
        let destination = layout::text(&parameter_name(&parameter.name));
        let spelled = parameter.name.replace('_', "-");
        if !is_optional(parameter) {
            let mut settings = vec![destination];
            let kind = match (&parameter.role, &parameter.ty) {
                (Role::Value, Type::List(item)) if parameter.rest => self.kind(item),
                (Role::Value, ty) => self.kind(ty),
                _ => "str".to_owned(),
            };
            settings.push(format!(
                "metavar={}",
                layout::text(&if parameter.role == Role::Value {
                    spelled.to_uppercase() + if parameter.rest { "..." } else { "" }
                } else {
                    "FILE".to_owned()
                })
            ));
            if kind != "str" {
                settings.push(format!("type={kind}"));
            }
            if parameter.rest {
                settings.push("nargs=-1".to_owned());
            }
            return self.lines.list(2, "@click.argument(", &settings, ")");
        }
        // A name that every command has already is not to be had.
        let long = if spelled == "help" { "--help-".to_owned() } else { format!("--{spelled}") };
        let mut settings = vec![layout::text(&long), destination];
        let kind = self.kind(&parameter.ty);
        if kind != "str" {
            settings.push(format!("type={kind}"));
        }
        if let Some(default) = &parameter.default {
            settings.push(format!("show_default={}", layout::text(&shown(&parameter.ty, default))));
        }
        if !parameter.doc.is_empty() {
            let doc = parameter.doc.split_whitespace().collect::<Vec<_>>().join(" ");
            settings.push(format!("help={}", layout::text(&doc)));
        }
        self.lines.list(2, "@click.option(", &settings, ")");
    }

    /// How click reads a value.
    fn kind(&mut self, ty: &Type) -> String {
        match ty {
            Type::Optional(inner) => self.kind(inner),
            Type::Bool => "bool".to_owned(),
            Type::I32 => format!("click.IntRange({}, {})", i32::MIN, i32::MAX),
            Type::I64 => "int".to_owned(),
            Type::U8 => format!("click.IntRange(0, {})", u8::MAX),
            Type::U16 => format!("click.IntRange(0, {})", u16::MAX),
            Type::U32 => format!("click.IntRange(0, {})", u32::MAX),
            Type::U64 => "click.IntRange(0)".to_owned(),
            Type::F32 | Type::F64 => "float".to_owned(),
            Type::Text | Type::Handle => "str".to_owned(),
            Type::Duration => "support.TIME".to_owned(),
            Type::Enum(name) => format!("support.Words({name})"),
            Type::Format(format) => match format.as_str() {
                "uuid" => "click.UUID".to_owned(),
                "date-time" | "ip" => {
                    format!("support.Parsed({}, {})", layout::text(format), self.types.adapter(ty))
                }
                _ => "str".to_owned(),
            },
            Type::Bytes => format!("support.Parsed(\"text\", {})", self.types.adapter(ty)),
            Type::Unit | Type::Json | Type::List(_) | Type::Map(_) | Type::Message(_) => {
                format!("support.Parsed(\"json\", {}, is_json=True)", self.types.adapter(ty))
            }
        }
    }

    /// The arguments that click itself says nothing about.
    fn arguments_help(&self, method: &Method) -> Vec<String> {
        let arguments: Vec<_> =
            method.parameters.iter().filter(|parameter| !is_optional(parameter)).collect();
        let names: Vec<_> = arguments
            .iter()
            .map(|parameter| match parameter.role {
                Role::Value => parameter.name.replace('_', "-").to_uppercase(),
                _ => "FILE".to_owned(),
            })
            .collect();
        let widest = names.iter().map(String::len).max().unwrap_or(0);
        let described = arguments.iter().zip(&names).filter_map(|(parameter, name)| {
            let mut doc = parameter.doc.split_whitespace().collect::<Vec<_>>().join(" ");
            if let Type::Enum(kind) = &parameter.ty {
                doc = format!("{doc}  [{}]", self.types.words(kind).join("|"));
            }
            let doc = doc.trim();
            (!doc.is_empty()).then(|| format!("{name:widest$}  {doc}"))
        });
        let described: Vec<_> = described.collect();
        if described.is_empty() {
            return described;
        }
        // click leaves a paragraph alone that begins with this character.
        [vec![String::new(), "\u{8}".to_owned()], described].concat()
    }
}

/// The method of a class, and what a command passes to it.
fn call(method: &Method) -> (String, Vec<String>) {
    let mut arguments = Vec::new();
    let mut given = Vec::new();
    for parameter in &method.parameters {
        let name = parameter_name(&parameter.name);
        match parameter.role {
            Role::Source => arguments.push(format!("support.standard_input({name})")),
            Role::Sink => arguments.push(format!("support.standard_output({name})")),
            Role::Value if parameter.rest => arguments.push(format!("*{name}")),
            // Behind named arguments there is no place for the rest, so those before it are sent in any case.
            Role::Value if is_optional(parameter) && !has_rest(method) => {
                given.push(format!("{name}={name}"));
            }
            Role::Value => arguments.push(name),
        }
    }
    if !given.is_empty() {
        arguments.push(format!("**support.given({})", given.join(", ")));
    }
    (format!("self.{}", method_name(&method.call)), arguments)
}

fn has_rest(method: &Method) -> bool {
    method.parameters.iter().any(|parameter| parameter.rest)
}

fn is_signed(ty: &Type) -> bool {
    match ty {
        Type::I32 | Type::I64 | Type::F32 | Type::F64 => true,
        Type::Optional(inner) | Type::List(inner) => is_signed(inner),
        _ => false,
    }
}

/// A default as people would write it.
fn shown(ty: &Type, value: &Value) -> String {
    match (ty, value) {
        (Type::Optional(inner), value) => shown(inner, value),
        (Type::Duration, Value::String(text)) => match text.parse::<Delay>() {
            Ok(delay) => format!("{:?}", delay.get()),
            Err(_) => text.clone(),
        },
        (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    }
}
