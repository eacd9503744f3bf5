//! Our own programs, `jmp` and `j`, as they lie in the target directory.

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
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    // Test programs lie in `<target>/<profile>/deps`.
    let program = std::env::current_exe().expect("the test program has a path");
    let mut above = program.ancestors().skip(3);
    let target = above.next().expect("it lies in a target directory");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace)
        .args(["build", "--package", "jumpstarter-cli", "--bins"])
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
    target.join("debug/jmp")
}
