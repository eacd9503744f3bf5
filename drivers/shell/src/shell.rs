//! From a call to a command and back.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, time::Duration};

use indexmap::IndexMap;
use jumpstarter::{Driver, Error, ErrorKind, Open, Result, Stream, config::nearest, driver, log::Logger};
use jumpstarter_interfaces::{Shell as ShellInterface, ShellOutput, shell::TIMED_OUT};
use jumpstarter_process::{End, Event, Job, Jobs, Running, programs};

use crate::{
    config::{MethodConfig, MethodSettings, ShellConfig},
    environment,
    text::Text,
};

/// Runs commands that its configuration names.
#[driver(
    type = "shell",
    provides(ShellInterface),
    config = ShellConfig,
    aliases("jumpstarter_driver_shell.driver.Shell")
)]
#[derive(Debug)]
pub struct Shell {
    methods: IndexMap<String, Method>,
    program: Vec<String>,
    cwd: Option<PathBuf>,
    jobs: Jobs,
    logger: Logger,
}

#[derive(Debug)]
struct Method {
    command: String,
    limit: Duration,
}

impl Driver for Shell {
    async fn open(config: ShellConfig, cx: &mut Open) -> Result<Self> {
        let ShellConfig { methods, shell, timeout, cwd } = config;
        let Some(program) = shell.first() else {
            return Err(Error::configuration("`shell` is empty: name the program that runs commands"));
        };
        if programs::find(program).is_none() {
            return Err(Error::configuration(format!(
                "`shell`: there is no program `{program}` here: install it, or name another one"
            )));
        }
        let mut known = IndexMap::new();
        for (name, MethodConfig(MethodSettings { command, description, timeout: own })) in methods {
            if let Some(description) = description {
                cx.describe_method(&name, description);
            }
            if command.trim().is_empty() {
                return Err(Error::configuration(format!("`methods.{name}` has an empty command")));
            }
            let limit = own.unwrap_or(timeout).get();
            if limit.is_zero() {
                return Err(Error::configuration(format!("`methods.{name}`: `timeout` has to be above 0")));
            }
            known.insert(name, Method { command, limit });
        }
        Ok(Self { methods: known, program: shell, cwd, jobs: Jobs::default(), logger: cx.logger() })
    }

    async fn close(&self) -> Result<()> {
        self.jobs.close().await;
        Ok(())
    }
}

impl Shell {
    fn job(&self, name: &str, variables: &BTreeMap<String, String>, args: &[String]) -> Result<Job> {
        let method = self.methods.get(name).ok_or_else(|| self.unknown(name))?;
        for variable in variables.keys() {
            environment::check(variable)?;
        }
        if let Some(cwd) = self.cwd.as_deref().filter(|cwd| !cwd.is_dir()) {
            return Err(Error::invalid_argument(format!("there is no working directory {}", cwd.display())));
        }
        let mut words = self.program.iter();
        let job = Job::new(words.next().map(String::as_str).unwrap_or_default())
            .args(words)
            .args([method.command.as_str(), name])
            .args(args)
            .limit(method.limit);
        let job = variables.iter().fold(job, |job, (variable, value)| job.env(variable, value));
        Ok(match &self.cwd {
            Some(cwd) => job.folder(cwd),
            None => job,
        })
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<_> = self.methods.keys().map(String::as_str).collect();
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None if known.is_empty() => "there are none".to_owned(),
            None => format!("there are: {}", known.join(", ")),
        };
        Error::invalid_argument(format!("argument `method`: there is no method {name:?}; {help}"))
    }
}

impl ShellInterface for Shell {
    async fn get_methods(&self) -> Result<Vec<String>> {
        Ok(self.methods.keys().cloned().collect())
    }

    async fn call_method(
        &self,
        method: String,
        env: Option<BTreeMap<String, String>>,
        args: Vec<String>,
    ) -> Result<Stream<ShellOutput>> {
        let job = self.job(&method, &env.unwrap_or_default(), &args)?;
        let running = self.jobs.start(&job).map_err(|error| match error.kind() {
            // What the operating system says about arguments that are too long.
            ErrorKind::Io if error.message().contains("Argument list too long") => Error::invalid_argument(
                "the arguments and variables are longer than the operating system allows",
            ),
            _ => error,
        })?;
        self.logger.info(format!("running {method}"));
        let call = Calling {
            words: repr(job.words().map(|word| word.to_string_lossy().into_owned())),
            method,
            running,
            output: Text::default(),
            complaint: Text::default(),
            rest: None,
            logger: self.logger.clone(),
        };
        Ok(Stream::unfold(Some(call), async |call| {
            let Some(mut call) = call else { return Ok(None) };
            let piece = call.next().await?;
            let more = piece.returncode.is_none().then_some(call);
            Ok(Some((piece, more)))
        }))
    }
}

/// A method that runs.
struct Calling {
    method: String,
    /// The command as Python would print it.
    words: String,
    running: Running,
    output: Text,
    complaint: Text,
    /// What is said last.
    rest: Option<ShellOutput>,
    logger: Logger,
}

impl Calling {
    async fn next(&mut self) -> Result<ShellOutput> {
        if let Some(last) = self.rest.take() {
            return Ok(last);
        }
        loop {
            let piece = match self.running.next().await {
                Some(Event::Output(bytes)) => {
                    ShellOutput { stdout: self.output.push(&bytes), ..ShellOutput::default() }
                }
                Some(Event::Complaint(bytes)) => {
                    ShellOutput { stderr: self.complaint.push(&bytes), ..ShellOutput::default() }
                }
                Some(Event::Ended(end)) => return Ok(self.ended(end)),
                None => {
                    return Err(Error::cancelled(format!(
                        "`{}` was ended: the driver was closed",
                        self.method
                    )));
                }
            };
            if !piece.stdout.is_empty() || !piece.stderr.is_empty() {
                return Ok(piece);
            }
        }
    }

    fn ended(&mut self, end: End) -> ShellOutput {
        self.logger.info(format!("{} {end}", self.method));
        let cut =
            ShellOutput { stdout: self.output.finish(), stderr: self.complaint.finish(), returncode: None };
        let last = match end {
            End::Code(code) => ShellOutput { returncode: Some(code), ..ShellOutput::default() },
            End::Signal(signal) => ShellOutput { returncode: Some(-signal), ..ShellOutput::default() },
            End::Limit(limit) => {
                let (method, words, seconds) = (&self.method, &self.words, limit.as_secs_f64());
                // Word for word what upstream's clients know.
                let stderr = format!(
                    "\nTimeout expired while running {method}: Command '{words}' timed out after {seconds} seconds\n"
                );
                ShellOutput { stderr, returncode: Some(TIMED_OUT), ..ShellOutput::default() }
            }
        };
        if cut.stdout.is_empty() && cut.stderr.is_empty() {
            return last;
        }
        self.rest = Some(last);
        cut
    }
}

/// A list of texts as Python prints it.
fn repr(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.map(|word| quoted(&word)).collect();
    format!("[{}]", words.join(", "))
}

fn quoted(word: &str) -> String {
    let quote = if word.contains('\'') && !word.contains('"') { '"' } else { '\'' };
    let mut text = String::from(quote);
    for c in word.chars() {
        // Text takes everything.
        let _ = match c {
            '\\' => text.write_str("\\\\"),
            '\n' => text.write_str("\\n"),
            '\r' => text.write_str("\\r"),
            '\t' => text.write_str("\\t"),
            c if c == quote => write!(text, "\\{c}"),
            c if c.is_control() => write!(text, "\\x{:02x}", u32::from(c)),
            c => text.write_char(c),
        };
    }
    text.push(quote);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_upstream_shows_it() {
        let words = ["bash", "-c", "echo 'a'", "it's \"x\"", "a\nb\\", "\u{7f}"].map(str::to_owned);
        let shown = r#"['bash', '-c', "echo 'a'", 'it\'s "x"', 'a\nb\\', '\x7f']"#;
        assert_eq!(repr(words.into_iter()), shown);
    }
}
