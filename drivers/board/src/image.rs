//! What an image may say.
//!
//! An image is text whose first line is `#!board`. Each further line is one step:
//!
//! ```text
//! #!board
//! print Starting kernel
//! delay 200ms
//! prompt demo
//! ```
//!
//! | Step | Meaning |
//! |---|---|
//! | `print TEXT` | print a line |
//! | `delay TIME` | wait, for example `200ms` |
//! | `prompt NAME` | start a prompt that calls itself NAME; nothing follows it |
//! | `panic TEXT` | print a panic and stop |
//!
//! Empty lines and lines that begin with `#` mean nothing. Anything else is not an image.

use std::time::Duration;

use jumpstarter::Delay;

/// The first line of every image.
pub(crate) const MAGIC: &str = "#!board";

/// An image larger than this is data that nobody meant to be run.
pub(crate) const MAX_SCRIPT: u64 = 1024 * 1024;

/// What an image does, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The steps in order.
    pub steps: Vec<Step>,
}

/// One line of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Print a line.
    Print(String),
    /// Wait.
    Delay(Duration),
    /// Start a prompt with this name.
    Prompt(String),
    /// Print a panic and stop.
    Panic(String),
}

impl Image {
    /// Reads an image, or says why it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| format!("it is not text that begins with {MAGIC}"))?;
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line.trim_end()) != Some(MAGIC) {
            return Err(format!("its first line is not {MAGIC}"));
        }
        let lines = lines.map(|(index, line)| (index + 1, line.trim()));
        let steps = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let steps = steps
            .map(|(number, line)| Step::parse(line).map_err(|reason| format!("line {number}: {reason}")));
        Ok(Self { steps: steps.collect::<Result<_, _>>()? })
    }
}

impl Step {
    fn parse(line: &str) -> Result<Self, String> {
        let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match verb {
            "print" => Ok(Self::Print(rest.to_owned())),
            "delay" => {
                rest.parse::<Delay>().map(|delay| Self::Delay(delay.get())).map_err(|error| error.to_string())
            }
            "prompt" if rest.is_empty() => Err("a prompt needs a name: `prompt NAME`".to_owned()),
            "prompt" => Ok(Self::Prompt(rest.to_owned())),
            "panic" => Ok(Self::Panic(rest.to_owned())),
            _ => Err(format!("unknown step `{verb}`; known: print, delay, prompt, panic")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_its_steps() {
        let image =
            Image::parse(b"#!board\n# comment\n\nprint Hello  there\ndelay 20ms\nprompt demo\n").unwrap();
        let steps = [
            Step::Print("Hello  there".into()),
            Step::Delay(Duration::from_millis(20)),
            Step::Prompt("demo".into()),
        ];
        assert_eq!(image.steps, steps);
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        assert!(Image::parse(b"\x7fELF\xff").unwrap_err().contains("not text"));
        assert!(Image::parse(b"hello").unwrap_err().contains("first line"));
        assert_eq!(
            Image::parse(b"#!board\njump 3").unwrap_err(),
            "line 2: unknown step `jump`; known: print, delay, prompt, panic"
        );
        assert!(
            Image::parse(b"#!board\ndelay soon")
                .unwrap_err()
                .starts_with("line 2: expected a length of time")
        );
        assert!(Image::parse(b"#!board\nprompt").unwrap_err().contains("needs a name"));
    }
}
