//! The object that belongs to a user of another issuer.

/// Longest name, in characters (a DNS label of RFC 1123).
const LONGEST: usize = 63;

/// What a username of a service account of Kubernetes has behind its prefix.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Namespace and name of a service account, `ns:name`, if this is the username of one: a prefix without a colon, and the rest.
pub fn service_account(username: &str) -> Option<&str> {
    let (_, rest) = username.split_once(':')?;
    let account = rest.strip_prefix(SERVICE_ACCOUNT)?;
    account.contains(':').then_some(account)
}

/// The name of the object for a username: what is behind the prefix, in the letters that names can have.
///
/// Two users can get the same name. What tells them apart is the username on the object.
pub fn derived(username: &str) -> String {
    let rest = match service_account(username) {
        Some(account) => account,
        None => username.split_once(':').map_or(username, |(_, rest)| rest),
    };
    let mut name = String::new();
    for char in rest.chars() {
        let char = lower(char);
        let char = if char.is_ascii_lowercase() || char.is_ascii_digit() { char } else { '-' };
        if char != '-' || !name.ends_with('-') {
            name.push(char);
        }
    }
    let name = name.strip_prefix('-').unwrap_or(&name);
    let name = name.strip_suffix('-').unwrap_or(name);
    let name = &name[..name.len().min(LONGEST)];
    name.strip_suffix('-').unwrap_or(name).to_owned()
}

/// As Go has it, one for one. The one letter that Rust makes two of is `İ`; the first of them is Go's.
fn lower(char: char) -> char {
    char.to_lowercase().next().unwrap_or(char)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_derived_as_upstream_does() {
        for (username, name) in [
            ("dex:foo@example.com", "foo-example-com"),
            ("prefix:with:multiple:colons", "with-multiple-colons"),
            ("dex:system:serviceaccount:lab:robot", "lab-robot"),
            // Two segments before it are no service account's.
            ("a:b:system:serviceaccount:lab:robot", "b-system-serviceaccount-lab-robot"),
            ("plain", "plain"),
            ("dex:Alice Smith", "alice-smith"),
            ("dex:--a__b--", "a-b"),
            ("dex:", ""),
            ("dex:@@@", ""),
            ("", ""),
        ] {
            assert_eq!(derived(username), name, "{username}");
        }
        let long = format!("dex:{}-{}", "a".repeat(62), "b".repeat(10));
        assert_eq!(derived(&long), "a".repeat(62), "no dash where it is cut");
    }

    #[test]
    fn pitfall_x6_letters_outside_ascii_are_lowered_as_go_does() {
        // U+0130 becomes `i` alone, and the Kelvin sign U+212A a `k`; others are no letters of names.
        assert_eq!(derived("dex:\u{130}stanbul"), "istanbul");
        assert_eq!(derived("dex:\u{212a}elvin"), "kelvin");
        assert_eq!(derived("dex:ÄÖÜ-Σ"), "");
        assert_eq!(derived("dex:Zoë"), "zo");
    }

    #[test]
    fn a_service_account_has_one_prefix_and_two_parts() {
        assert_eq!(service_account("dex:system:serviceaccount:lab:robot"), Some("lab:robot"));
        for username in [
            "system:serviceaccount:lab:robot",
            "a:b:system:serviceaccount:lab:robot",
            "dex:system:serviceaccount:lab",
        ] {
            assert_eq!(service_account(username), None, "{username}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_derived_name_is_empty_or_a_label(username in ".{0,200}") {
            let name = derived(&username);
            let good = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
            prop_assert!(name.len() <= LONGEST && name.chars().all(good), "{}", name);
            prop_assert!(!name.starts_with('-') && !name.ends_with('-') && !name.contains("--"), "{}", name);
        }
    }
}
