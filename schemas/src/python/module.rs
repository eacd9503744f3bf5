//! One module: the enums, structures and the client class of one interface.

use super::{
    Problem, class_name,
    command::Commands,
    layout::{self, Lines},
    types::{Types, field_name, member_name, method_name, parameter_name},
};
use crate::description::{Answers, Description, Enum, Message, Method, Parameter, Role, Type};

/// The text of the module.
pub(super) fn print(description: &Description) -> Result<String, Problem> {
    let mut types = Types::new(description);
    let mut body = Lines::default();
    for spec in &description.enums {
        types.import("enum", "StrEnum");
        enumeration(&mut body, spec);
    }
    let mut complete = Vec::new();
    for message in ordered(description) {
        structure(&mut body, &mut types, message, &complete)
            .map_err(|problem| problem.within(&message.name))?;
        complete.push(message.name.as_str());
    }
    let mut class = Lines::default();
    client(&mut class, &mut types, description)?;
    let class = class.into_text();

    let mut module = Lines::default();
    module.doc(0, &format!("The `{}` interface, version {}.", description.name, description.version), &[]);
    module.blank(1);
    imports(&mut module, &types);
    let body = body.into_text();
    // Classes stand two lines behind the imports, assignments one.
    module.blank(if body.is_empty() && !types.adapters.is_empty() { 1 } else { 2 });
    let mut text = module.into_text();
    text.push_str(&body);
    let adapters: Vec<_> = types.adapters.clone();
    if !adapters.is_empty() {
        let mut lines = Lines::default();
        for (name, annotation) in adapters {
            let head = format!("{name}: TypeAdapter[{annotation}] = TypeAdapter(");
            lines.list(0, &head, &[annotation], ")");
        }
        lines.blank(2);
        text.push_str(&lines.into_text());
    }
    text.push_str(&class);
    Ok(text)
}

/// Structures, each behind those that it has inside.
fn ordered(description: &Description) -> Vec<&Message> {
    fn visit<'a>(
        description: &'a Description,
        message: &'a Message,
        seen: &mut Vec<&'a Message>,
        on_the_way: &mut Vec<&'a str>,
    ) {
        if on_the_way.contains(&message.name.as_str()) || seen.iter().any(|known| known.name == message.name)
        {
            return;
        }
        on_the_way.push(&message.name);
        for field in &message.fields {
            for name in mentioned(&field.ty) {
                if let Some(inner) = description.message(name) {
                    visit(description, inner, seen, on_the_way);
                }
            }
        }
        on_the_way.pop();
        seen.push(message);
    }
    let mut seen = Vec::new();
    for message in &description.messages {
        visit(description, message, &mut seen, &mut Vec::new());
    }
    seen
}

fn mentioned(ty: &Type) -> Vec<&str> {
    match ty {
        Type::Optional(inner) | Type::List(inner) | Type::Map(inner) => mentioned(inner),
        Type::Message(name) => vec![name],
        _ => Vec::new(),
    }
}

fn imports(lines: &mut Lines, types: &Types) {
    let (mut standard, mut others): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut modules: Vec<&str> = types.imports.iter().map(|(module, _)| *module).collect();
    modules.dedup();
    for module in modules {
        let names: Vec<_> =
            types.imports.iter().filter(|(known, _)| *known == module).map(|(_, name)| *name).collect();
        let line = if names == [""] {
            format!("import {module}")
        } else {
            format!("from {module} import {}", names.join(", "))
        };
        let foreign = ["click", "jumpstarter", "pydantic"];
        if foreign.iter().any(|name| module.split('.').next().is_some_and(|first| first.starts_with(name))) {
            others.push(line);
        } else {
            standard.push(line);
        }
    }
    // `import x` stands before `from x import y`.
    for group in [&mut standard, &mut others] {
        group.sort_by_key(|line| (!line.starts_with("import "), line.clone()));
    }
    for line in &standard {
        lines.line(0, line);
    }
    if !standard.is_empty() {
        lines.blank(1);
    }
    for line in &others {
        lines.line(0, line);
    }
    lines.blank(1);
    lines.line(0, "from . import _support as support");
}

fn enumeration(lines: &mut Lines, spec: &Enum) {
    lines.line(0, &format!("class {}(StrEnum):", spec.name));
    lines.doc(1, &or_name(&spec.doc, &spec.name), &[]);
    for value in &spec.values {
        lines.blank(1);
        lines.line(1, &format!("{} = {}", member_name(&value.name), layout::text(&value.name)));
        if !value.doc.is_empty() {
            lines.doc(1, &value.doc, &[]);
        }
    }
    lines.blank(2);
}

fn or_name(doc: &str, name: &str) -> String {
    if doc.is_empty() { format!("`{name}`.") } else { doc.to_owned() }
}

fn structure(
    lines: &mut Lines,
    types: &mut Types,
    message: &Message,
    complete: &[&str],
) -> Result<(), Problem> {
    types.import("pydantic.dataclasses", "dataclass");
    lines.line(0, "@dataclass(kw_only=True)");
    lines.line(0, &format!("class {}:", message.name));
    lines.doc(1, &or_name(&message.doc, &message.name), &[]);
    for field in &message.fields {
        let annotation = types.annotation(&field.ty);
        // A structure that is not complete yet: itself, or one that has it inside.
        let early = mentioned(&field.ty).iter().any(|name| !complete.contains(name));
        let annotation = if early { layout::text(&annotation) } else { annotation };
        let default = match (&field.default, &field.ty) {
            (Some(value), ty) => {
                Some(types.literal(ty, value).map_err(|problem| problem.within(&field.name))?)
            }
            (None, Type::Optional(_)) => Some("None".to_owned()),
            (None, _) => None,
        };
        let fresh = default.as_ref().is_some_and(|text| text.starts_with(['[', '{']));
        let mut parts = Vec::new();
        if let Some(default) = &default {
            parts.push(if fresh {
                format!("default_factory=lambda: {default}")
            } else {
                format!("default={default}")
            });
        }
        if !field.unit.is_empty() {
            parts.push(format!("metadata={{\"unit\": {}}}", layout::text(&field.unit)));
        }
        let value = if !field.unit.is_empty() || fresh {
            types.import("dataclasses", "field");
            format!(" = field({})", parts.join(", "))
        } else {
            default.map_or_else(String::new, |default| format!(" = {default}"))
        };
        lines.blank(1);
        lines.line(1, &format!("{}: {annotation}{value}", field_name(&field.name)));
        if !field.doc.is_empty() {
            lines.doc(1, &field.doc, &[]);
        }
    }
    let renamed = message.fields.iter().any(|field| field_name(&field.name) != field.name);
    if message.list || renamed {
        let any = types.import("typing", "Any");
        types.import("pydantic", "model_serializer");
        types.import("pydantic", "model_validator");
        let names: Vec<_> = message
            .fields
            .iter()
            .map(|field| format!("{}: {}", layout::text(&field.name), layout::text(&field_name(&field.name))))
            .collect();
        let as_list = if message.list { "True" } else { "False" };
        let mapping = format!("{{{}}}", names.join(", "));
        let mut convert = |decorators: &[&str], head: &str, function: &str, value: &str| {
            lines.blank(1);
            for line in decorators {
                lines.line(1, line);
            }
            lines.line(1, head);
            let arguments = [value.to_owned(), mapping.clone(), format!("as_list={as_list}")];
            lines.list(2, &format!("return support.{function}("), &arguments, ")");
        };
        let before = ["@model_validator(mode=\"before\")", "@classmethod"];
        convert(&before, &format!("def _from_wire(cls, value: {any}) -> {any}:"), "from_wire", "value");
        convert(&["@model_serializer"], &format!("def _to_wire(self) -> {any}:"), "to_wire", "self");
    }
    lines.blank(2);
    Ok(())
}

fn client(lines: &mut Lines, types: &mut Types, description: &Description) -> Result<(), Problem> {
    let name = class_name(description)?;
    let base = if description.children {
        types.import("jumpstarter_driver_composite.client", "CompositeClient")
    } else {
        types.import("jumpstarter.client", "DriverClient")
    };
    types.import("click", "");
    lines.line(0, &format!("class {name}(support.Calls, {base}):"));
    lines.doc(1, &or_name(&description.doc, &description.name), &[]);
    for method in &description.methods {
        lines.blank(1);
        print_method(lines, types, method).map_err(|problem| problem.within(&method.call))?;
    }
    lines.blank(1);
    Commands { lines, types }.print(description);
    Ok(())
}

fn print_method(lines: &mut Lines, types: &mut Types, method: &Method) -> Result<(), Problem> {
    let name = method_name(&method.call);
    let call = layout::text(&method.call);
    if matches!(method.answers, Answers::Bytes | Answers::Messages) {
        let manager = types.import("contextlib", "AbstractContextManager");
        let stream = types.import("jumpstarter.streams.blocking", "BlockingStream");
        lines.line(1, &format!("def {name}(self) -> {manager}[{stream}]:"));
        lines.doc(2, &or_name(&method.doc, &method.call), &[]);
        lines.line(2, &format!("return self.stream({call})"));
        return Ok(());
    }
    let (signature, defaults) = signature(types, &method.parameters)?;
    let returns = types.annotation(&method.returns);
    let returns = if method.answers == Answers::Stream {
        format!("{}[{returns}]", types.import("collections.abc", "Iterator"))
    } else {
        returns
    };
    if !method.parameters.is_empty() {
        types.import("pydantic", "validate_call");
        lines.line(1, "@validate_call(config=support.CHECKED)");
    }
    lines.list(1, &format!("def {name}("), &signature, &format!(") -> {returns}:"));
    lines.doc(2, &or_name(&method.doc, &method.call), &parameter_docs(&method.parameters));

    let mut depth = 2;
    let mut values = Vec::new();
    let mut rest = None;
    for parameter in &method.parameters {
        let name = parameter_name(&parameter.name);
        match parameter.role {
            Role::Value if parameter.rest => rest = Some(format!("*{name}")),
            Role::Value => values.push(name),
            role => {
                let open = if role == Role::Source { "reading" } else { "writing" };
                lines.line(depth, &format!("with support.{open}(self, {name}) as handle:"));
                depth += 1;
                values.push("handle".to_owned());
            }
        }
    }
    let arguments = if let Some(rest) = rest {
        values.push(rest);
        values.join(", ")
    } else if defaults.is_empty() {
        values.join(", ")
    } else {
        let comma = if defaults.len() == 1 { "," } else { "" };
        values.push(format!("defaults=({}{comma})", defaults.join(", ")));
        lines.list(depth, "arguments = support.arguments(", &values, ")");
        "*arguments".to_owned()
    };
    let separator = if arguments.is_empty() { "" } else { ", " };
    let invoke = |function: &str| format!("self.{function}({call}{separator}{arguments})");
    match method.answers {
        Answers::Stream => {
            let adapter = types.adapter(&method.returns);
            lines.line(depth, &format!("for item in {}:", invoke("streamingcall")));
            lines.line(depth + 1, &format!("yield {adapter}.validate_python(item)"));
        }
        _ if method.returns == Type::Unit => lines.line(depth, &invoke("call")),
        _ => {
            let adapter = types.adapter(&method.returns);
            lines.list(depth, &format!("return {adapter}.validate_python("), &[invoke("call")], ")");
        }
    }
    Ok(())
}

/// Parameters with types and defaults, and the defaults of those at the end.
fn signature(types: &mut Types, parameters: &[Parameter]) -> Result<(Vec<String>, Vec<String>), Problem> {
    let mut signature = vec!["self".to_owned()];
    let mut defaults = Vec::new();
    for (index, parameter) in parameters.iter().enumerate() {
        let name = parameter_name(&parameter.name);
        let ty = match parameter.role {
            Role::Source => "support.Source".to_owned(),
            Role::Sink => "support.Sink".to_owned(),
            Role::Value => match &parameter.ty {
                Type::List(item) if parameter.rest => types.annotation(item),
                ty => types.annotation(ty),
            },
        };
        if parameter.rest {
            signature.push(format!("*{name}: {ty}"));
            continue;
        }
        let may_be_absent = |parameter: &Parameter| {
            parameter.rest || parameter.default.is_some() || matches!(parameter.ty, Type::Optional(_))
        };
        let default = if !parameters[index..].iter().all(may_be_absent) {
            None
        } else if let Some(value) = &parameter.default {
            Some(types.literal(&parameter.ty, value).map_err(|problem| problem.within(&parameter.name))?)
        } else {
            Some("None".to_owned())
        };
        match default {
            Some(default) => {
                signature.push(format!("{name}: {ty} = {default}"));
                defaults.push(default);
            }
            None => signature.push(format!("{name}: {ty}")),
        }
    }
    Ok((signature, defaults))
}

fn parameter_docs(parameters: &[Parameter]) -> Vec<String> {
    let described: Vec<_> = parameters
        .iter()
        .filter(|parameter| !parameter.doc.is_empty())
        .map(|parameter| {
            let doc = parameter.doc.split_whitespace().collect::<Vec<_>>().join(" ");
            format!(":param {}: {doc}", parameter_name(&parameter.name))
        })
        .collect();
    if described.is_empty() { described } else { [vec![String::new()], described].concat() }
}
