//! `j`: the same program as `jmp`, which looks at the name it was started under.

fn main() -> std::process::ExitCode {
    jumpstarter_cli::main(&[jumpstarter_cli::DRIVERS])
}
