//! Serial ports: pseudo-terminals, sockets, RFC 2217 with pyserial's own server, and programs at the far end of a line.
//!
//! | Module | Contents |
//! |---|---|
//! | `counterparts` | what stands for the device |
//! | `methods` | every method, both ways |
//! | `ports` | what our driver does with each kind of port |
//! | `faults` | what a user reads when the device goes away, stands still, or is in use |
//! | `cycles` | what is left behind after many connections |
//! | `nvdemux` | the demultiplexer |

mod counterparts;
mod cycles;
mod faults;
mod methods;
mod nvdemux;
mod ports;

use std::{process::Stdio, time::Duration};

use jumpstarter_client::adapters::Expect;
use jumpstarter_interfaces::SerialClient;
use jumpstarter_tests::{programs, python::FOREIGN};
use tokio::process::Command;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The head of every configuration, with the devices below.
fn file(devices: &str) -> String {
    format!(
        "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\n\
         metadata: {{namespace: default, name: serial}}\nexport:\n{devices}"
    )
}

/// A port by its address.
fn port(name: &str, url: &str, more: &str) -> String {
    format!(
        "  {name}:\n    type: jumpstarter_driver_pyserial.driver.PySerial\n    config: {{url: \"{url}\"{more}}}\n"
    )
}

/// A conversation with a port that answers with what it is sent.
async fn echoes(serial: &SerialClient) -> jumpstarter::Result<()> {
    let mut console = Expect::new(serial.connect().await?).with_timeout(PATIENCE);
    console.send_line("ping").await?;
    console.expect("ping\n").await?;
    Ok(())
}

/// Our `j` with the session of an exporter.
fn j(host: &str, words: &[&str]) -> Command {
    let mut command = Command::new(programs::jmp().with_file_name("j"));
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    command.args(words).env("JUMPSTARTER_HOST", host).env("NO_COLOR", "1").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until something holds that nobody tells: what goes on after a client has gone.
async fn soon<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let mut last = String::new();
    for _ in 0..1000 {
        match look() {
            Ok(value) => return value,
            Err(problem) => last = problem,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{last}")
}
