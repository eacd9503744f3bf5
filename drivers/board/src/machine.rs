//! What runs while the board has power: boot ROM, image, prompt.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use jumpstarter_interfaces::{ImageInfo, Phase};
use tokio::sync::mpsc;

use crate::{
    board::Shared,
    image::{Image, Step},
    medium::{Content, Side},
};

/// Longest line the prompt takes; what is beyond it is dropped.
const MAX_LINE: usize = 4096;

/// Runs until it is dropped (power off) or the machine stops by itself.
pub(crate) async fn run(board: Arc<Shared>, mut input: mpsc::Receiver<Bytes>) {
    loop {
        match boot(&board, &mut input).await {
            Next::Reboot => board.console.print("\r\n"),
            Next::Halt => {
                board.enter(Phase::Halted);
                break;
            }
            Next::Panic => {
                board.enter(Phase::Panicked);
                break;
            }
        }
        board.led.send_replace(false);
    }
    // Halted, not switched off: the line is still read, nobody answers.
    while input.recv().await.is_some() {}
}

enum Next {
    Reboot,
    Halt,
    Panic,
}

async fn boot(board: &Shared, input: &mut mpsc::Receiver<Bytes>) -> Next {
    let say = |line: &str| board.console.print(format!("{line}\r\n"));
    board.change(|state| {
        state.phase = Phase::Boot;
        state.starts += 1;
        state.image = None;
    });
    say(&format!("Boot ROM of {}", board.name));
    jumpstarter::time::sleep(board.boot_delay).await;
    if board.button() {
        say("button held: recovery prompt");
        board.enter(Phase::Recovery);
        return Prompt::new(board, "recovery").run(input).await;
    }
    let elsewhere = match board.medium.side().await {
        Side::Dut => None,
        Side::Host => Some("no medium: it is connected to the host"),
        Side::Nobody => Some("no medium: it is connected to nobody"),
    };
    if let Some(elsewhere) = elsewhere {
        say(elsewhere);
        // Somebody whose transfer was cut never came to give the medium back: say what is wrong with it, too.
        if let Ok(Content::Incomplete { size }) = board.medium.content().await {
            say(&broken(size));
        }
        return Next::Halt;
    }
    let script = match board.medium.content().await {
        Ok(Content::Image { size, sha256, script }) => {
            say(&format!("image: {size} bytes, sha256 {sha256}"));
            board.change(|state| state.image = Some(ImageInfo { size, sha256 }));
            script
        }
        Ok(Content::Blank) => {
            say("no bootable image: the medium is blank");
            return Next::Halt;
        }
        Ok(Content::Incomplete { size }) => {
            say(&broken(size));
            return Next::Halt;
        }
        Err(error) => {
            say(&format!("medium failure: {error}"));
            return Next::Halt;
        }
    };
    let image = match script.as_deref().map(Image::parse) {
        Some(Ok(image)) => image,
        Some(Err(reason)) => {
            say(&format!("no bootable image: {reason}"));
            return Next::Halt;
        }
        None => {
            say("no bootable image: it is too large to be a board script");
            return Next::Halt;
        }
    };
    board.led.send_replace(true);
    board.enter(Phase::Running);
    for step in image.steps {
        match step {
            Step::Print(text) => say(&text),
            Step::Delay(time) => jumpstarter::time::sleep(time).await,
            Step::Prompt(name) => {
                board.enter(Phase::Prompt);
                return Prompt::new(board, &name).run(input).await;
            }
            Step::Panic(text) => {
                say(&format!("panic: {text}"));
                board.led.send_replace(false);
                return Next::Panic;
            }
        }
    }
    say("image ended");
    Next::Halt
}

fn broken(size: u64) -> String {
    format!("broken image: writing was interrupted ({size} bytes are there); flash it again")
}

/// A prompt that echoes and knows a few words.
struct Prompt<'a> {
    board: &'a Shared,
    name: String,
    line: Vec<u8>,
    started: Instant,
    after_return: bool,
}

impl<'a> Prompt<'a> {
    fn new(board: &'a Shared, name: &str) -> Self {
        Self { board, name: name.to_owned(), line: Vec::new(), started: Instant::now(), after_return: false }
    }

    fn ask(&self) {
        self.board.console.print(format!("{}> ", self.name));
    }

    async fn run(mut self, input: &mut mpsc::Receiver<Bytes>) -> Next {
        self.ask();
        while let Some(piece) = input.recv().await {
            for byte in piece {
                // A terminal sends CR, a script LF, some send both: one of them ends the line.
                let doubled = byte == b'\n' && std::mem::take(&mut self.after_return);
                match byte {
                    _ if doubled => {}
                    b'\r' | b'\n' => {
                        self.after_return = byte == b'\r';
                        self.board.console.print("\r\n");
                        let line = std::mem::take(&mut self.line);
                        if let Some(next) = self.execute(String::from_utf8_lossy(&line).trim()) {
                            return next;
                        }
                        self.ask();
                    }
                    0x7f | 0x08 if self.line.pop().is_some() => self.board.console.print("\x08 \x08"),
                    0x03 => {
                        self.line.clear();
                        self.board.console.print("^C\r\n");
                        self.ask();
                    }
                    _ if self.line.len() < MAX_LINE && (byte >= 0x20 || byte == b'\t') => {
                        self.line.push(byte);
                        self.board.console.print(String::from_utf8_lossy(&[byte]));
                    }
                    _ => {}
                }
            }
        }
        Next::Halt
    }

    fn execute(&self, line: &str) -> Option<Next> {
        let say = |text: &str| self.board.console.print(format!("{text}\r\n"));
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" => {}
            "help" => say("help echo version uptime button led reboot halt panic"),
            "echo" => say(rest),
            "version" => say(&format!("{} {}", self.board.name, env!("CARGO_PKG_VERSION"))),
            "uptime" => say(&format!("{:.1} s", self.started.elapsed().as_secs_f64())),
            "button" => say(if self.board.button() { "pressed" } else { "released" }),
            "led" => match rest.trim() {
                "on" | "off" => {
                    self.board.led.send_replace(rest.trim() == "on");
                }
                "" => say(if *self.board.led.borrow() { "on" } else { "off" }),
                _ => say("usage: led [on|off]"),
            },
            "reboot" => return Some(Next::Reboot),
            "halt" => {
                say("halted");
                return Some(Next::Halt);
            }
            "panic" => {
                say(&format!("panic: {}", if rest.is_empty() { "on request" } else { rest }));
                self.board.led.send_replace(false);
                return Some(Next::Panic);
            }
            _ => say(&format!("{word}: unknown; try help")),
        }
        None
    }
}
