//! Which variables a caller may set: only those that cannot make a command do something else than what was configured.

use jumpstarter::{Error, Result};

/// Names that decide what a command runs or loads. Those of the first line are upstream's; the others let bash run text
/// from the environment while it traces, or read a file first.
const REFUSED: &[&str] = &[
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONPATH",
    "BASH_ENV",
    "KUBECONFIG",
    "HOME",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "ENV",
    "IFS",
];

/// Beginnings of such names: loaders and exported functions.
const REFUSED_BEGINNINGS: &[&str] = &["LD_", "DYLD_", "BASH_FUNC_"];

/// Whether a caller may set this variable.
pub(crate) fn check(name: &str) -> Result<()> {
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|c| c == '_' || c.is_alphabetic());
    if !begins || !letters.all(|c| c == '_' || c.is_alphanumeric()) {
        return Err(Error::invalid_argument(format!(
            "argument `env`: {name:?} is no name of an environment variable: use letters, digits and `_`"
        )));
    }
    if REFUSED.contains(&name) || REFUSED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) {
        return Err(Error::invalid_argument(format!(
            "argument `env`: {name} may not be set: it could make the command do something else than what was configured"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_decides_what_a_command_runs_is_refused() {
        for name in ["PATH", "HOME", "LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "BASH_FUNC_ls", "PS4", "DYLD_X"] {
            let error = check(name).unwrap_err();
            assert!(error.message().contains("may not be set"), "{error}");
        }
        for name in ["", "1A", "A-B", "A=B", "A B", "A\n", "BASH_FUNC_ls%%", "a\0"] {
            let error = check(name).unwrap_err();
            assert!(error.message().contains("no name of an environment variable"), "{error}");
        }
        for name in ["A", "_", "a1", "PATHS", "MY_PATH", "HOMEPAGE", "ENVIRONMENT", "größe"] {
            check(name).unwrap();
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_accepted_is_one_word_that_no_loader_looks_at(name in "\\PC{0,12}|(LD_|BASH_FUNC_|DYLD_)\\PC{0,6}") {
            if check(&name).is_ok() {
                prop_assert!(!name.is_empty());
                prop_assert!(!name.contains(['=', '\0', ' ', '%', '(', '-', '$', '`', ';']));
                prop_assert!(!name.starts_with(|c: char| c.is_ascii_digit()));
                prop_assert!(!["LD_", "DYLD_", "BASH_FUNC_"].iter().any(|bad| name.starts_with(bad)));
                prop_assert!(!REFUSED.contains(&name.as_str()));
            }
        }
    }
}
