//! Types, names and values in Python.

use std::collections::BTreeSet;

use jumpstarter_core::Delay;
use serde_json::Value;

use super::{Problem, layout};
use crate::description::{Description, Enum, Type};

/// Words of the language, which cannot be names.
const KEYWORDS: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not",
    "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Names of upstream's `DriverClient` and of what generated classes add, which methods cannot have.
const MEMBERS: &[&str] = &[
    "call",
    "call_async",
    "check_exporter_status",
    "children",
    "cli",
    "close",
    "description",
    "end_session_async",
    "get_status_async",
    "labels",
    "log_level",
    "log_stream",
    "log_stream_async",
    "logger",
    "methods_description",
    "name",
    "of",
    "open_stream",
    "portal",
    "resource_async",
    "stack",
    "status",
    "status_monitor_async",
    "stream",
    "stream_async",
    "streamingcall",
    "streamingcall_async",
    "stub",
    "uuid",
    "wait_for_hook_complete_monitored",
    "wait_for_hook_status",
    "wait_for_lease_ready",
    "wait_for_lease_ready_monitored",
];

/// Names that generated methods use themselves.
const LOCALS: &[&str] = &["arguments", "cls", "handle", "item", "self", "support"];

fn avoiding(name: &str, taken: &[&[&str]]) -> String {
    if taken.iter().any(|names| names.contains(&name)) { format!("{name}_") } else { name.to_owned() }
}

/// The name of a method.
pub(super) fn method_name(name: &str) -> String {
    avoiding(name, &[KEYWORDS, MEMBERS])
}

/// The name of a parameter.
pub(super) fn parameter_name(name: &str) -> String {
    avoiding(name, &[KEYWORDS, LOCALS])
}

/// The name of a field.
pub(super) fn field_name(name: &str) -> String {
    avoiding(name, &[KEYWORDS])
}

/// The module of an interface.
pub(super) fn module_name(interface: &str) -> String {
    avoiding(&interface.replace('-', "_"), &[KEYWORDS, &["client"]])
}

/// The member of an enum.
pub(super) fn member_name(value: &str) -> String {
    let name: String =
        value.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Writes types, and remembers what they need to be imported.
pub(super) struct Types<'a> {
    description: &'a Description,
    /// Names of methods and fields that are also names of built-in types.
    shadowed: BTreeSet<&'static str>,
    /// Import lines: module and name.
    pub(super) imports: BTreeSet<(&'static str, &'static str)>,
    /// Adapters that check what arrives: name and type.
    pub(super) adapters: Vec<(String, String)>,
}

const BUILTIN: &[&str] = &["bool", "bytes", "dict", "float", "int", "list", "str"];

impl<'a> Types<'a> {
    pub(super) fn new(description: &'a Description) -> Self {
        let methods = description.methods.iter().map(|method| method.call.as_str());
        let fields = description.messages.iter().flat_map(|message| &message.fields);
        let names: BTreeSet<_> = methods.chain(fields.map(|field| field.name.as_str())).collect();
        Self {
            description,
            shadowed: BUILTIN.iter().copied().filter(|name| names.contains(name)).collect(),
            imports: BTreeSet::new(),
            adapters: Vec::new(),
        }
    }

    /// Makes a name known in the module.
    pub(super) fn import(&mut self, module: &'static str, name: &'static str) -> &'static str {
        self.imports.insert((module, name));
        name
    }

    fn builtin(&mut self, name: &'static str) -> String {
        if self.shadowed.contains(name) {
            self.imports.insert(("builtins", ""));
            format!("builtins.{name}")
        } else {
            name.to_owned()
        }
    }

    /// A whole number of this range.
    fn whole(&mut self, least: Option<i64>, most: Option<u64>) -> String {
        let int = self.builtin("int");
        let annotated = self.import("typing", "Annotated");
        let field = self.import("pydantic", "Field");
        let limits = [least.map(|least| format!("ge={least}")), most.map(|most| format!("le={most}"))];
        format!(
            "{annotated}[{int}, {field}({})]",
            limits.into_iter().flatten().collect::<Vec<_>>().join(", ")
        )
    }

    /// The annotation of a type.
    pub(super) fn annotation(&mut self, ty: &Type) -> String {
        match ty {
            Type::Unit => "None".to_owned(),
            Type::Bool => self.builtin("bool"),
            Type::I32 => self.whole(Some(i64::from(i32::MIN)), Some(i32::MAX.unsigned_abs().into())),
            Type::I64 => self.builtin("int"),
            Type::U8 => self.whole(Some(0), Some(u8::MAX.into())),
            Type::U16 => self.whole(Some(0), Some(u16::MAX.into())),
            Type::U32 => self.whole(Some(0), Some(u32::MAX.into())),
            Type::U64 => self.whole(Some(0), None),
            Type::F32 | Type::F64 => self.builtin("float"),
            Type::Text | Type::Handle => self.builtin("str"),
            Type::Bytes => self.builtin("bytes"),
            Type::Json => self.import("typing", "Any").to_owned(),
            Type::Duration => self.import("datetime", "timedelta").to_owned(),
            Type::Format(format) => match format.as_str() {
                "uuid" => self.import("uuid", "UUID").to_owned(),
                "date-time" => self.import("datetime", "datetime").to_owned(),
                "ip" => {
                    let four = self.import("ipaddress", "IPv4Address");
                    format!("{four} | {}", self.import("ipaddress", "IPv6Address"))
                }
                // Paths of the exporter's machine, and addresses that any program may read in its own way.
                _ => self.builtin("str"),
            },
            Type::Optional(inner) => match self.annotation(inner) {
                inner if inner.ends_with("None") || inner == "Any" => inner,
                inner => format!("{inner} | None"),
            },
            Type::List(item) => format!("{}[{}]", self.builtin("list"), self.annotation(item)),
            Type::Map(item) => {
                format!("{}[{}, {}]", self.builtin("dict"), self.builtin("str"), self.annotation(item))
            }
            Type::Message(name) | Type::Enum(name) => name.clone(),
        }
    }

    /// The name of the adapter that reads values of this type.
    pub(super) fn adapter(&mut self, ty: &Type) -> String {
        let name = format!("_{}", adapter_name(ty));
        if !self.adapters.iter().any(|(known, _)| *known == name) {
            let annotation = self.annotation(ty);
            self.import("pydantic", "TypeAdapter");
            self.adapters.push((name.clone(), annotation));
        }
        name
    }

    fn enumeration(&self, name: &str) -> Option<&'a Enum> {
        self.description.enums.iter().find(|spec| spec.name == name)
    }

    /// The words of an enum.
    pub(super) fn words(&self, name: &str) -> Vec<&'a str> {
        let spec = self.enumeration(name);
        spec.map_or_else(Vec::new, |spec| spec.values.iter().map(|value| value.name.as_str()).collect())
    }

    /// A default as Python.
    pub(super) fn literal(&mut self, ty: &Type, value: &Value) -> Result<String, Problem> {
        let unreadable = || Problem::new(format!("the default {value} is not of its type"));
        Ok(match (ty, value) {
            (_, Value::Null) => "None".to_owned(),
            (Type::Optional(inner), value) => self.literal(inner, value)?,
            (_, Value::Bool(truth)) => if *truth { "True" } else { "False" }.to_owned(),
            (_, Value::Number(number)) => number.to_string(),
            (Type::Duration, Value::String(text)) => {
                let delay: Delay = text.parse().map_err(|_| unreadable())?;
                self.import("datetime", "timedelta");
                let (seconds, micros) = (delay.get().as_secs(), delay.get().subsec_micros());
                match micros {
                    0 => format!("timedelta(seconds={seconds})"),
                    _ if micros.is_multiple_of(1000) => {
                        format!("timedelta(milliseconds={})", seconds * 1000 + u64::from(micros / 1000))
                    }
                    _ => format!("timedelta(seconds={seconds}, microseconds={micros})"),
                }
            }
            (Type::Enum(name), Value::String(word)) => {
                let spec = self.enumeration(name).ok_or_else(unreadable)?;
                spec.values.iter().find(|value| value.name == *word).ok_or_else(unreadable)?;
                format!("{name}.{}", member_name(word))
            }
            (Type::Bytes, Value::String(text)) => format!("{}.encode()", layout::text(text)),
            (Type::Text | Type::Handle | Type::Json, Value::String(text)) => layout::text(text),
            (Type::Format(format), Value::String(text)) => match format.as_str() {
                "uuid" => format!("{}({})", self.import("uuid", "UUID"), layout::text(text)),
                "date-time" | "ip" => {
                    format!("{}.validate_python({})", self.adapter(ty), layout::text(text))
                }
                _ => layout::text(text),
            },
            (Type::List(item), Value::Array(values)) => {
                let items =
                    values.iter().map(|value| self.literal(item, value)).collect::<Result<Vec<_>, _>>()?;
                format!("[{}]", items.join(", "))
            }
            (Type::Map(item), Value::Object(values)) => {
                let items = values
                    .iter()
                    .map(|(key, value)| Ok(format!("{}: {}", layout::text(key), self.literal(item, value)?)));
                format!("{{{}}}", items.collect::<Result<Vec<_>, Problem>>()?.join(", "))
            }
            (Type::Message(name), Value::Object(values)) => {
                let message = self.description.message(name).ok_or_else(unreadable)?;
                let mut parts = Vec::new();
                for field in &message.fields {
                    if let Some(value) = values.get(&field.name) {
                        parts.push(format!(
                            "{}={}",
                            field_name(&field.name),
                            self.literal(&field.ty, value)?
                        ));
                    }
                }
                format!("{name}({})", parts.join(", "))
            }
            _ => return Err(unreadable()),
        })
    }
}

fn adapter_name(ty: &Type) -> String {
    match ty {
        Type::Unit => "NONE".to_owned(),
        Type::Bool => "BOOL".to_owned(),
        Type::I32 => "I32".to_owned(),
        Type::I64 => "I64".to_owned(),
        Type::U8 => "U8".to_owned(),
        Type::U16 => "U16".to_owned(),
        Type::U32 => "U32".to_owned(),
        Type::U64 => "U64".to_owned(),
        Type::F32 | Type::F64 => "NUMBER".to_owned(),
        Type::Text | Type::Handle => "TEXT".to_owned(),
        Type::Bytes => "BYTES".to_owned(),
        Type::Json => "JSON".to_owned(),
        Type::Duration => "TIME".to_owned(),
        Type::Format(format) => match format.as_str() {
            "uuid" | "date-time" | "ip" => format.replace('-', "_").to_uppercase(),
            _ => "TEXT".to_owned(),
        },
        Type::Optional(inner) => format!("MAYBE_{}", adapter_name(inner)),
        Type::List(item) => format!("LIST_OF_{}", adapter_name(item)),
        Type::Map(item) => format!("MAP_OF_{}", adapter_name(item)),
        Type::Message(name) | Type::Enum(name) => snake(name).to_uppercase(),
    }
}

/// `MachineState` → `machine_state`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (index, character) in name.chars().enumerate() {
        if character.is_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}
