//! The spellings of one name.
//!
//! A method is `set_limit` in upstream's calls and `SetLimit` in the gRPC service. Everything that goes from one to the
//! other goes through this module, so that there is one answer for acronyms and digits.

/// `SetLimit` → `set_limit`, `GetCPUInfo` → `get_cpu_info`, `Sha256Sum` → `sha256_sum`.
///
/// A word starts at an upper-case letter that follows a lower-case letter or a digit, and at the last of several
/// upper-case letters when a lower-case letter follows.
pub fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (i, &letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            continue;
        }
        let before = i.checked_sub(1).and_then(|i| letters.get(i));
        let after = letters.get(i + 1);
        let starts = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && after.is_some_and(|c| c.is_lowercase()))
            });
        if starts && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

/// `set_limit` → `SetLimit`. Letters inside of words stay as they are.
pub fn pascal(name: &str) -> String {
    name.split('_').map(capitalized).collect()
}

/// `PowerState` and `switched-off` → `POWER_STATE_SWITCHED_OFF`: enum values share one scope with their neighbours, so
/// they carry their enum's name.
pub fn enum_value(of: &str, text: &str) -> String {
    let text: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("{}{text}", enum_prefix(of))
}

/// What the values of this enum start with.
pub fn enum_prefix(of: &str) -> String {
    snake(of).to_uppercase() + "_"
}

/// The counterpart of [`enum_value`], as far as that can be undone: `POWER_STATE_ON` → `on`.
pub fn enum_text(of: &str, value: &str) -> String {
    value
        .strip_prefix(enum_prefix(of).as_str())
        .filter(|rest| !rest.is_empty())
        .unwrap_or(value)
        .to_lowercase()
}

/// The name that protobuf's JSON form uses: `max_size` → `maxSize`.
pub(super) fn json(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |out, word| out + &capitalized(word))
}

/// The name of a map field's entry type: `labels` → `LabelsEntry`.
pub(super) fn map_entry(field: &str) -> String {
    pascal(field) + "Entry"
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_v21_one_function_decides_how_acronyms_and_digits_are_split() {
        for (rpc, export) in [
            ("On", "on"),
            ("SetLimit", "set_limit"),
            ("GetCPUInfo", "get_cpu_info"),
            ("CPU", "cpu"),
            ("ReadI2C", "read_i2_c"),
            ("Sha256Sum", "sha256_sum"),
            ("GetIPv4Address", "get_i_pv4_address"),
            ("already_snake", "already_snake"),
        ] {
            assert_eq!(snake(rpc), export);
        }
    }

    #[test]
    fn snake_undoes_pascal_for_ordinary_method_names() {
        for export in ["on", "set_limit", "get_cpu_info", "sha256_sum"] {
            assert_eq!(snake(&pascal(export)), export);
        }
    }

    #[test]
    fn enum_values_carry_their_enums_name() {
        assert_eq!(enum_value("PowerState", "switched-off"), "POWER_STATE_SWITCHED_OFF");
        assert_eq!(enum_text("PowerState", "POWER_STATE_ON"), "on");
        assert_eq!(enum_text("PowerState", "FOREIGN"), "foreign");
    }

    #[test]
    fn json_names_follow_protobuf() {
        assert_eq!(
            [json("size"), json("max_size"), json("a__b"), json("_x")],
            ["size", "maxSize", "aB", "X"]
        );
    }
}
