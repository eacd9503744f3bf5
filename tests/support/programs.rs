//! Our own programs, `jmp`, `j` and `jumpstarter-router`, as they lie in the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `jmp`, freshly built, with `j` beside it.
///
/// # Panics
///
/// When it cannot be built, with what cargo says.
pub fn jmp() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&["jmp", "j"]).join("jmp")).clone()
}

/// `jumpstarter-router`, freshly built.
///
/// # Panics
///
/// When it cannot be built, with what cargo says.
pub fn router() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&["jumpstarter-router"]).join("jumpstarter-router")).clone()
}

/// Builds programs, and answers where they lie.
///
/// They are those that `cargo test --workspace` has made already, where that is what runs: cargo compiles a crate once for
/// each set of features that its dependants ask for together, so the same packages have to be selected here, and a test
/// among them, as tests ask for more than programs do.
fn build(programs: &[&str]) -> PathBuf {
    // Test programs lie in `<target>/<profile>/deps`.
    let program = std::env::current_exe().expect("the test program has a path");
    let mut above = program.ancestors().skip(3);
    let target = above.next().expect("it lies in a target directory");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace)
        .args(["build", "--workspace", "--test", "workspace"])
        .args(programs.iter().flat_map(|program| ["--bin", program]))
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_NET_OFFLINE", "true");
    // What cargo tells this test about itself would tell the other one about the wrong package.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR") {
            command.env_remove(name);
        }
    }
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("debug")
}
