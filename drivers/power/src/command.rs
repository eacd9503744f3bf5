//! Supplies that are switched by commands of the exporter's host.

use std::path::PathBuf;

use jumpstarter::{Delay, Driver, Error, Open, Result, Stream, config, driver, log::Logger, time::sleep};
use jumpstarter_interfaces::{Power, PowerCycle, PowerReading};
use jumpstarter_process::{End, Job, Jobs};

use crate::simulated::Simulated;

/// Which commands switch the supply, and which one measures it.
#[config]
#[derive(Clone, Debug)]
pub struct CommandPowerConfig {
    /// The command that switches on.
    #[schemars(length(min = 1), extend("examples" = ["echo on"]))]
    pub on: String,
    /// The command that switches off.
    #[schemars(length(min = 1), extend("examples" = ["echo off"]))]
    pub off: String,
    /// The command that measures. It prints volts and amperes: two numbers with a blank between them, or JSON with `voltage`
    /// and `current`. Without it, the supply cannot be measured.
    #[schemars(length(min = 1), extend("examples" = ["echo 12.0 0.5"]))]
    pub read: Option<String>,
    /// The command that switches off and on again; the time between, in seconds, is its first argument (`$1`). Without it,
    /// the exporter runs `off`, waits, and runs `on`.
    #[schemars(length(min = 1), extend("examples" = ["sleep $1"]))]
    pub cycle: Option<String>,
    /// The program that runs commands: a command follows as its next argument.
    #[default = vec!["sh".to_owned(), "-c".to_owned()]]
    #[schemars(length(min = 1))]
    pub shell: Vec<String>,
    /// How long a command may take; for `cycle`, the time between is added.
    #[default = "60s"]
    pub timeout: Delay,
    /// The folder in which commands run; that of the exporter if there is none.
    #[schemars(extend("examples" = ["/tmp"]))]
    pub cwd: Option<PathBuf>,
}

impl CommandPowerConfig {
    fn check(&self) -> Result<()> {
        if self.shell.is_empty() {
            return Err(Error::configuration("`shell` is empty: name the program that runs commands"));
        }
        if self.timeout == Delay::ZERO {
            return Err(Error::configuration("`timeout` has to be above 0"));
        }
        let commands = [
            ("on", Some(&self.on)),
            ("off", Some(&self.off)),
            ("read", self.read.as_ref()),
            ("cycle", self.cycle.as_ref()),
        ];
        match commands.iter().find(|(_, command)| command.is_some_and(|command| command.trim().is_empty())) {
            Some((key, _)) => Err(Error::configuration(format!("`{key}` is an empty command"))),
            None => Ok(()),
        }
    }
}

/// A supply that is switched by commands. A command that ends with another code than 0 has failed. What it says is what is
/// known: a state that cannot be asked for cannot be compared.
#[driver(
    type = "command-power",
    provides(PowerCycle, Power),
    config = CommandPowerConfig,
    client = "jumpstarter_driver_power.client.PowerClient"
)]
#[derive(Debug)]
pub struct CommandPower {
    config: CommandPowerConfig,
    jobs: Jobs,
    logger: Logger,
}

impl Driver for CommandPower {
    fn check(config: &CommandPowerConfig) -> Vec<Error> {
        config.check().err().into_iter().collect()
    }

    async fn open(config: CommandPowerConfig, cx: &mut Open) -> Result<Self> {
        config.check()?;
        Ok(Self { config, jobs: Jobs::default(), logger: cx.logger() })
    }

    async fn close(&self) -> Result<()> {
        self.jobs.close().await;
        Ok(())
    }
}

impl CommandPower {
    /// Runs a command and answers what it printed.
    async fn run(&self, name: &str, command: &str, wait: Option<Delay>) -> Result<String> {
        let config = &self.config;
        let limit = config.timeout.get() + wait.map(Delay::get).unwrap_or_default();
        let mut words = config.shell.iter();
        let mut job = Job::new(words.next().map(String::as_str).unwrap_or_default())
            .args(words)
            .args([command, name])
            .args(wait.map(|wait| wait.get().as_secs_f64().to_string()))
            .limit(limit);
        if let Some(cwd) = &config.cwd {
            job = job.folder(cwd);
        }
        self.logger.info(format!("running the command for `{name}`"));
        let output = self.jobs.output(&job).await?;
        let complaint = String::from_utf8_lossy(&output.complaint);
        let last = complaint.trim().lines().next_back().map(|line| format!(": {line}")).unwrap_or_default();
        match output.end {
            end if end.is_success() => Ok(String::from_utf8_lossy(&output.output).into_owned()),
            End::Limit(_) => Err(Error::timeout(format!("the command for `{name}` {}{last}", output.end))),
            end => Err(Error::device(format!("the command for `{name}` {end}{last}"))),
        }
    }
}

impl Power for CommandPower {
    async fn on(&self) -> Result<()> {
        self.run("on", &self.config.on, None).await.map(drop)
    }

    async fn off(&self) -> Result<()> {
        self.run("off", &self.config.off, None).await.map(drop)
    }

    async fn read(&self) -> Result<Stream<PowerReading>> {
        let Some(command) = &self.config.read else { return Err(unreadable()) };
        let text = self.run("read", command, None).await?;
        let reading = reading(&text).ok_or_else(|| {
            Error::device(format!(
                "the command for `read` has to print volts and amperes, but it printed {:?}",
                text.trim()
            ))
        })?;
        Ok(Stream::from_values([reading]))
    }
}

impl PowerCycle for CommandPower {
    async fn cycle(&self, wait: Delay) -> Result<()> {
        if let Some(command) = &self.config.cycle {
            return self.run("cycle", command, Some(wait)).await.map(drop);
        }
        self.off().await?;
        sleep(wait.get()).await;
        self.on().await
    }
}

fn unreadable() -> Error {
    Error::unsupported_because("this supply cannot measure: `read` is not configured")
}

/// `5.0 2.0`, or `{"voltage": 5.0, "current": 2.0}`.
fn reading(text: &str) -> Option<PowerReading> {
    let json = serde_json::from_str::<serde_json::Value>(text).ok().filter(serde_json::Value::is_object);
    let (voltage, current) = if let Some(value) = json {
        (value.get("voltage")?.as_f64()?, value.get("current")?.as_f64()?)
    } else {
        let mut words = text.split_whitespace().map(str::parse);
        let (Some(Ok(voltage)), Some(Ok(current)), None) = (words.next(), words.next(), words.next()) else {
            return None;
        };
        (voltage, current)
    };
    (f64::is_finite(voltage) && f64::is_finite(current)).then_some(PowerReading { voltage, current })
}

/// A supply with the configuration of `command-power` that exists in memory: no command is run.
#[driver(
    type = "mock-command-power",
    provides(PowerCycle, Power),
    config = CommandPowerConfig,
    client = "jumpstarter_driver_power.client.PowerClient"
)]
#[derive(Debug)]
pub struct MockCommandPower {
    supply: Simulated,
    measures: bool,
}

impl Driver for MockCommandPower {
    fn check(config: &CommandPowerConfig) -> Vec<Error> {
        config.check().err().into_iter().collect()
    }

    async fn open(config: CommandPowerConfig, cx: &mut Open) -> Result<Self> {
        config.check()?;
        Ok(Self { supply: Simulated::new(cx.logger()), measures: config.read.is_some() })
    }
}

impl Power for MockCommandPower {
    async fn on(&self) -> Result<()> {
        self.supply.switch(true);
        Ok(())
    }

    async fn off(&self) -> Result<()> {
        self.supply.switch(false);
        Ok(())
    }

    async fn read(&self) -> Result<Stream<PowerReading>> {
        if self.measures { Ok(self.supply.read()) } else { Err(unreadable()) }
    }
}

impl PowerCycle for MockCommandPower {
    async fn cycle(&self, wait: Delay) -> Result<()> {
        self.supply.switch(false);
        sleep(wait.get()).await;
        self.supply.switch(true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_two_numbers_or_json() {
        let wanted = Some(PowerReading { voltage: 5.0, current: 0.25 });
        for text in ["5 0.25\n", "5.0\t.25", "{\"voltage\": 5, \"current\": 0.25, \"power\": 1}"] {
            assert_eq!(reading(text), wanted, "{text}");
        }
        for text in ["", "5", "5 2 1", "5 V", "nan 1", "{\"voltage\": 5}", "[5, 2]"] {
            assert_eq!(reading(text), None, "{text}");
        }
    }
}
