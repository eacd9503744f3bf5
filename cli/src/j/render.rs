//! Values as people read them: one line for what fits on one, numbers with their units.

use jumpstarter_core::{
    describe::{Field, MessageSpec, Type},
    dynamic,
};
use prost_types::{Value, value::Kind};

use crate::style::printable;

/// Text for a value of this type; `None` where there is nothing to say.
///
/// Text is printed as it is, a list with a line per item, a message as `voltage=5.0 V  current=2.0 A`.
pub(super) fn text(ty: Type, value: &Value) -> Option<String> {
    match (ty.inner(), &value.kind) {
        (_, None | Some(Kind::NullValue(_))) => None,
        (Type::List(item), Some(Kind::ListValue(list))) => {
            let lines: Vec<_> = list.values.iter().map(|value| line(*item, value)).collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        }
        (Type::Map(item), Some(Kind::StructValue(map))) => {
            let lines: Vec<_> = map
                .fields
                .iter()
                .map(|(key, value)| format!("{}={}", printable(key), line(*item, value)))
                .collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        }
        // What has no form of its own is JSON, which people read better on several lines.
        (Type::Json, Some(Kind::StructValue(_))) => {
            let json = dynamic::json(ty, value);
            Some(serde_json::to_string_pretty(&json).unwrap_or_else(|_| json.to_string()))
        }
        (ty, _) => Some(line(ty, value)),
    }
}

fn line(ty: Type, value: &Value) -> String {
    match (ty.inner(), &value.kind) {
        (_, Some(Kind::StringValue(text))) => printable(text),
        (Type::F32 | Type::F64, Some(Kind::NumberValue(number))) => decimal(*number),
        (Type::Message(spec), Some(Kind::StructValue(_) | Kind::ListValue(_))) => fields(spec(), value),
        (ty, _) => dynamic::json(ty, value).to_string(),
    }
}

fn fields(spec: &'static MessageSpec, value: &Value) -> String {
    let member = |index: usize, field: &Field| match &value.kind {
        Some(Kind::StructValue(map)) => map.fields.get(field.name).cloned(),
        // Some messages are lists in upstream's calls.
        Some(Kind::ListValue(list)) => list.values.get(index).cloned(),
        _ => None,
    };
    let shown = spec.fields.iter().enumerate().filter_map(|(index, field)| {
        let value = member(index, field)?;
        if matches!(value.kind, None | Some(Kind::NullValue(_))) {
            return None;
        }
        let unit = if field.unit.is_empty() { String::new() } else { format!(" {}", field.unit) };
        Some(format!("{}={}{unit}", field.name, inner(field.ty, &value)))
    });
    shown.collect::<Vec<_>>().join("  ")
}

/// A value within a line: what has parts itself is JSON.
fn inner(ty: Type, value: &Value) -> String {
    match ty.inner() {
        Type::Message(_) | Type::List(_) | Type::Map(_) => dynamic::json(ty, value).to_string(),
        ty => line(ty, value),
    }
}

/// A number that may have a fraction always shows one: 5 and 5.0 are different measurements.
fn decimal(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e16 { format!("{number:.1}") } else { number.to_string() }
}

#[cfg(test)]
mod tests {
    use jumpstarter_core::wire::{Wire as _, value};
    use jumpstarter_interfaces::power::{PowerReading, PowerSample};

    use super::*;

    #[test]
    fn a_reading_is_one_line_with_units() {
        let sample = PowerSample::from(PowerReading { voltage: 5.0, current: 2.0 });
        let value = sample.to_value().unwrap();
        let text = text(PowerSample::TYPE, &value).unwrap();
        assert_eq!(text, "voltage=5.0 V  current=2.0 A  apparent_power=10.0 VA");
    }

    #[test]
    fn text_is_plain_nothing_is_nothing_and_lists_have_lines() {
        assert_eq!(text(Type::Str, &value::text("plain")).as_deref(), Some("plain"));
        assert_eq!(text(Type::Unit, &value::null()), None);
        assert_eq!(text(Type::F64, &value::number(0.25)).as_deref(), Some("0.25"));
        assert_eq!(text(Type::U8, &value::number(1.0)).as_deref(), Some("1"));
        let list = vec!["a".to_owned(), "b\u{1b}[2J".to_owned()].to_value().unwrap();
        assert_eq!(text(Type::List(&Type::Str), &list).as_deref(), Some("a\nb\\u{1b}[2J"));
    }
}
