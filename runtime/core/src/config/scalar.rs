//! What an unquoted scalar means.

use super::document::{Style, Value};

/// The value of a plain scalar. See [`super::document`] for the rules.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    // Every number starts with one of these: most text is told apart by its first byte.
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    let number = if numeric { integer(text).or_else(|| float(text)) } else { None };
    number.unwrap_or_else(|| Value::Str { text: text.to_owned(), style: Style::Plain })
}

/// Text that stands for a boolean in YAML 1.1 only.
pub(super) fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The digits behind the zeros of a number such as `017`, which readers of YAML disagree about.
pub(super) fn leading_zero(text: &str) -> Option<&str> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let ambiguous = digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    ambiguous.then(|| digits.trim_start_matches(['0', '_']))
}

fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = if let Some(hexadecimal) = digits.strip_prefix("0x") {
        i128::from_str_radix(unsigned(hexadecimal)?, 16).ok()?
    } else if let Some(octal) = digits.strip_prefix("0o") {
        i128::from_str_radix(unsigned(octal)?, 8).ok()?
    } else {
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
        if !plain || !digits.starts_with(|c: char| c.is_ascii_digit()) || leading_zero(digits).is_some() {
            return None;
        }
        let digits = digits.replace('_', "");
        match digits.parse() {
            Ok(number) => number,
            // Too large for any integer type; as floating point it is at least a number, and a
            // decoder that wants an integer says that it does not fit.
            Err(_) => return text.replace('_', "").parse().ok().map(Value::Float),
        }
    };
    Some(Value::Int(if negative { -magnitude } else { magnitude }))
}

/// `from_str_radix` accepts a second sign; YAML does not.
fn unsigned(digits: &str) -> Option<&str> {
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

fn float(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    // Rust reads `inf` and `nan` as well, and `1e5` without a mantissa's digit must stay text.
    let shaped = mantissa.bytes().any(|byte| byte.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
        && leading_zero(digits).is_none();
    if !shaped {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_numbers_and_everything_like_them_is_text() {
        for (text, value) in [
            ("0", 0),
            ("-17", -17),
            ("+5", 5),
            ("0x1F", 31),
            ("-0x10", -16),
            ("0o17", 15),
            ("115_200", 115_200),
            ("18446744073709551615", 18_446_744_073_709_551_615),
        ] {
            assert_eq!(resolve(text), Value::Int(value), "{text}");
        }
        for (text, value) in [("1.10", 1.1), ("-.5", -0.5), ("1e3", 1000.0), ("00.5", 0.5), ("2.", 2.0)] {
            assert_eq!(resolve(text), Value::Float(value), "{text}");
        }
        for text in [
            "017",
            "089",
            "-",
            ".",
            "12:30",
            "1.2.3",
            "0x",
            "0x-1",
            "--1",
            "_1",
            "e5",
            ".e5",
            "2024-01-01",
            "1-2",
            "inf",
            "nan",
            "on",
            "No",
            "y",
        ] {
            assert!(matches!(resolve(text), Value::Str { .. }), "{text}");
        }
    }

    #[test]
    fn a_leading_zero_is_recognised_only_where_readers_disagree() {
        assert_eq!(leading_zero("017"), Some("17"));
        assert_eq!(leading_zero("-00_7"), Some("7"));
        assert_eq!(leading_zero("0"), None);
        assert_eq!(leading_zero("0.5"), None);
    }
}
