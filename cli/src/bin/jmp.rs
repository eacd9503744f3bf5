//! `jmp`, with the drivers of this project.

fn main() -> std::process::ExitCode {
    jumpstarter_cli::main(&[jumpstarter_cli::DRIVERS])
}
