//! Values as text for people, and as JSON for programs.

use prost_types::{Value, value::Kind};

use crate::describe::{MessageSpec, Type};

/// JSON of a value whose type is not known. Whole numbers have no fraction; what JSON has no word for is null.
pub fn to_json(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(truth)) => (*truth).into(),
        Some(Kind::NumberValue(number)) => json_number(*number),
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(to_json).collect(),
        Some(Kind::StructValue(map)) => {
            map.fields.iter().map(|(key, item)| (key.clone(), to_json(item))).collect()
        }
    }
}

/// JSON of a value of this type: messages are objects, also where upstream's calls carry them as lists, and numbers
/// that may have a fraction always show one. A value of another form is printed as it is.
pub fn json(ty: Type, value: &Value) -> serde_json::Value {
    match (ty.inner(), &value.kind) {
        (Type::F32 | Type::F64, Some(Kind::NumberValue(number))) => {
            serde_json::Number::from_f64(*number).map_or(serde_json::Value::Null, Into::into)
        }
        (Type::List(item), Some(Kind::ListValue(list))) => {
            list.values.iter().map(|value| json(*item, value)).collect()
        }
        (Type::Map(item), Some(Kind::StructValue(map))) => {
            map.fields.iter().map(|(key, value)| (key.clone(), json(*item, value))).collect()
        }
        (Type::Message(spec), Some(Kind::StructValue(_) | Kind::ListValue(_))) => members(spec(), value)
            .map(|member| (member.name.to_owned(), json(member.ty, member.value)))
            .collect(),
        _ => to_json(value),
    }
}

/// A value of this type as text for people, without a newline at the end: scalars as they are, a small message on one line
/// (`voltage: 5 V  current: 2 A`), a larger one with a line for each field, lists with a line for each item. Nothing is
/// empty text.
pub fn render(ty: &Type, value: &Value) -> String {
    match form(*ty, value, "") {
        Form::Nothing => String::new(),
        Form::Scalar(text) | Form::Line(text) => text,
        Form::Lines(lines) => lines.join("\n"),
    }
}

/// Up to 2^53 every whole double is one integer. Negative zero is not one.
#[allow(clippy::cast_possible_truncation)]
fn json_number(number: f64) -> serde_json::Value {
    let integer = number.fract() == 0.0
        && number.abs() <= 9_007_199_254_740_992.0
        && number.to_bits() != (-0.0_f64).to_bits();
    if integer {
        (number as i64).into()
    } else {
        serde_json::Number::from_f64(number).map_or(serde_json::Value::Null, Into::into)
    }
}

struct Member<'a> {
    name: &'a str,
    ty: Type,
    unit: &'static str,
    value: &'a Value,
}

/// The fields of a message that are there, in the order of its description; then those that the description does not
/// know, which come from a newer peer.
fn members<'a>(spec: &'static MessageSpec, value: &'a Value) -> impl Iterator<Item = Member<'a>> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    match &value.kind {
        Some(Kind::ListValue(list)) => {
            let fields = spec.fields.iter().zip(&list.values);
            known.extend(fields.map(|(field, value)| Member {
                name: field.name,
                ty: field.ty,
                unit: field.unit,
                value,
            }));
        }
        Some(Kind::StructValue(map)) => {
            known.extend(spec.fields.iter().filter_map(|field| {
                let value = map.fields.get(field.name)?;
                Some(Member { name: field.name, ty: field.ty, unit: field.unit, value })
            }));
            let is_known = |name: &str| spec.fields.iter().any(|field| field.name == name);
            let others = map.fields.iter().filter(|(name, _)| !is_known(name));
            unknown.extend(others.map(|(name, value)| Member { name, ty: Type::Json, unit: "", value }));
        }
        _ => {}
    }
    known.into_iter().chain(unknown)
}

/// How much room a value takes.
enum Form {
    Nothing,
    Scalar(String),
    /// A message with scalars only.
    Line(String),
    Lines(Vec<String>),
}

fn form(ty: Type, value: &Value, unit: &str) -> Form {
    let number = |number: f64| if unit.is_empty() { number.to_string() } else { format!("{number} {unit}") };
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Form::Nothing,
        Some(Kind::BoolValue(truth)) => Form::Scalar(truth.to_string()),
        Some(Kind::NumberValue(value)) => Form::Scalar(number(*value)),
        Some(Kind::StringValue(text)) => Form::Scalar(text.clone()),
        Some(Kind::ListValue(list)) => match ty.inner() {
            Type::Message(spec) => fields(members(spec(), value)),
            other => {
                let item = if let Type::List(item) = other { *item } else { Type::Json };
                Form::Lines(list.values.iter().flat_map(|value| item_lines(form(item, value, ""))).collect())
            }
        },
        Some(Kind::StructValue(map)) => match ty.inner() {
            Type::Message(spec) => fields(members(spec(), value)),
            other => {
                let item = if let Type::Map(item) = other { *item } else { Type::Json };
                let entries =
                    map.fields.iter().map(|(name, value)| Member { name, ty: item, unit: "", value });
                Form::Lines(entries.flat_map(|member| named_lines(&member)).collect())
            }
        },
    }
}

/// On one line if all fields are scalars, else one below the other. Absent ones are not shown.
fn fields<'a>(members: impl Iterator<Item = Member<'a>>) -> Form {
    let members: Vec<_> = members.collect();
    let scalars: Option<Vec<_>> = members
        .iter()
        .filter_map(|member| match form(member.ty, member.value, member.unit) {
            Form::Nothing => None,
            Form::Scalar(text) => Some(Some(format!("{}: {}", member.name, one_line(text)))),
            Form::Line(_) | Form::Lines(_) => Some(None),
        })
        .collect();
    match scalars {
        Some(scalars) => Form::Line(scalars.join("  ")),
        None => Form::Lines(members.iter().flat_map(named_lines).collect()),
    }
}

/// `name: value`, or the name with the value's lines indented below.
fn named_lines(member: &Member<'_>) -> Vec<String> {
    let name = member.name;
    match form(member.ty, member.value, member.unit) {
        Form::Nothing => Vec::new(),
        Form::Scalar(text) => vec![format!("{name}: {}", one_line(text))],
        Form::Line(line) => vec![format!("{name}:"), format!("  {line}")],
        Form::Lines(lines) => {
            let lines = lines.into_iter().map(|line| format!("  {line}"));
            std::iter::once(format!("{name}:")).chain(lines).collect()
        }
    }
}

/// Items stand one below the other; what needs several lines itself has a dash in front.
fn item_lines(item: Form) -> Vec<String> {
    match item {
        Form::Nothing => vec!["-".to_owned()],
        Form::Scalar(text) | Form::Line(text) => vec![text],
        Form::Lines(lines) => {
            let lines = lines.into_iter().enumerate();
            lines.map(|(i, line)| format!("{}{line}", if i == 0 { "- " } else { "  " })).collect()
        }
    }
}

/// Text among other things is quoted when it would look like something else.
fn one_line(text: String) -> String {
    let plain =
        !text.is_empty() && text.trim() == text && !text.contains(char::is_control) && !text.contains("  ");
    if plain { text } else { serde_json::Value::String(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        describe::Field,
        wire::value::{boolean, list, map, null, number, text},
    };

    fn reading() -> &'static MessageSpec {
        static SPEC: MessageSpec = MessageSpec {
            name: "Reading",
            fields: &[
                Field { name: "voltage", tag: 1, ty: Type::F64, default: None, unit: "V", doc: "" },
                Field { name: "note", tag: 2, ty: Type::Opt(&Type::Str), default: None, unit: "", doc: "" },
            ],
            reserved: (&[], &[]),
            list: false,
            doc: "",
        };
        &SPEC
    }

    const READING: Type = Type::Message(reading);

    fn sample(note: Value) -> Value {
        map([("voltage".to_owned(), number(5.0)), ("note".to_owned(), note)].into())
    }

    #[test]
    fn a_small_message_is_one_line_with_units_in_the_order_of_its_fields() {
        assert_eq!(render(&READING, &sample(text("warm"))), "voltage: 5 V  note: warm");
        assert_eq!(render(&READING, &sample(null())), "voltage: 5 V");
        assert_eq!(render(&READING, &list(vec![number(1.5), text("")])), "voltage: 1.5 V  note: \"\"");
    }

    #[test]
    fn lists_and_maps_have_a_line_for_each_item() {
        assert_eq!(render(&Type::List(&Type::Str), &list(vec![text("a"), text("b c")])), "a\nb c");
        assert_eq!(
            render(&Type::List(&READING), &list(vec![sample(null()), sample(text("x"))])),
            "voltage: 5 V\nvoltage: 5 V  note: x"
        );
        let nested =
            map([("k".to_owned(), list(vec![number(1.0), boolean(true)])), ("l".to_owned(), null())].into());
        assert_eq!(render(&Type::Json, &nested), "k:\n  1\n  true");
        assert_eq!(render(&Type::Unit, &null()), "");
    }

    #[test]
    fn fields_of_newer_peers_are_shown_after_the_known_ones() {
        let newer = map([("a".to_owned(), number(1.0)), ("voltage".to_owned(), number(2.0))].into());
        assert_eq!(render(&READING, &newer), "voltage: 2 V  a: 1");
    }

    #[test]
    fn json_knows_which_numbers_are_whole_and_gives_list_messages_their_names() {
        assert_eq!(json(Type::I64, &number(5.0)).to_string(), "5");
        assert_eq!(json(Type::F64, &number(5.0)).to_string(), "5.0");
        assert_eq!(
            json(READING, &list(vec![number(5.0), text("x")])).to_string(),
            r#"{"note":"x","voltage":5.0}"#
        );
    }
}
