//! `jmp shell`: a command, or an interactive shell, with an exporter behind it.

mod leased;
mod lines;

use std::{ffi::OsString, io::IsTerminal as _, path::PathBuf, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use jumpstarter_client::{Connection, Credentials, Device, Endpoint, LogLine, Options, Security};
use jumpstarter_core::{config::Problems, log::Severity};
use jumpstarter_exporter::{local::Local, plan};
use jumpstarter_lease::{Unusable, Wanted, session};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::lines::Log;
use crate::{
    Program, child, client,
    commands::Invocation,
    files::{self, Named},
    relay,
    report::{Outcome, Stop},
    runtime,
    signals::Signals,
    style,
    tunnel::Tunnel,
    values,
    words::{flag, option},
};

pub(crate) const ABOUT: &str = "Run a command, or a shell, with an exporter behind it\n\n\
    Inside of it, `j` has a command for every device. Without COMMAND it is your shell; from a pipe, the shell reads its \
    commands there. The exit code is the command's.";

/// What allows commands to use every driver.
const EVERY_DRIVER: &str = "UNSAFE";

/// Shortest time for getting a lease, and for reaching its exporter: less would never succeed.
const SHORTEST: Duration = Duration::from_secs(5);

/// How long asking for something may take that a command can do without: the message of the day, the labels of the exporter.
const ASIDE: Duration = Duration::from_secs(5);

/// Options that are about a lease.
const LEASE: &[&str] = &[
    "client",
    "client-config",
    "lease",
    "selector",
    "name",
    "duration",
    "acquisition-timeout",
    "retry-timeout",
    "dial-timeout",
    "allow-disabled",
];

pub(crate) fn arguments(command: Command) -> Command {
    let path = |arg: Arg| arg.value_hint(ValueHint::FilePath);
    command
        .arg(option("exporter", "ALIAS", "Exporter of this machine, by the name of its file"))
        .arg(path(option("exporter-config", "FILE", "Exporter of this machine, by its file")))
        .arg(option("tls-grpc", "HOST:PORT", "Connect to an exporter that listens there (jmp run)"))
        .arg(flag("tls-grpc-insecure", "Connect without TLS"))
        .arg(option("passphrase", "TEXT", "What that exporter wants to hear"))
        .arg(flag("exporter-logs", "Show everything that the exporter and its drivers log"))
        .arg(option("client", "ALIAS", "Lease as this client, by the name of its file"))
        .arg(path(option("client-config", "FILE", "Lease as this client, by its file")))
        .arg(option("lease", "NAME", "Use a lease that exists (JMP_LEASE); it is not given back"))
        .arg(
            option("selector", "SELECTOR", "Lease an exporter with these labels; can be repeated")
                .short('l')
                .action(ArgAction::Append),
        )
        .arg(option("name", "EXPORTER", "Lease this exporter").short('n'))
        .arg(option("duration", "TIME", "How long to lease it; 30m if nothing is said"))
        .arg(option("acquisition-timeout", "TIME", "How long to wait for a lease; 2h if nothing is said"))
        .arg(option(
            "retry-timeout",
            "TIME",
            "How long to lease others while exporters do not answer; 5m if nothing is said, 0 for not at all",
        ))
        .arg(option("dial-timeout", "TIME", "How long to wait for the exporter; 1m if nothing is said"))
        .arg(flag("allow-disabled", "Lease an exporter that is disabled, if it is named"))
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(0..)
                .value_parser(clap::value_parser!(OsString))
                .value_hint(ValueHint::ExecutablePath)
                .help("Put -- before a command with options of its own"),
        )
}

/// Where the devices are.
enum Mode {
    /// In this process.
    Local(PathBuf),
    /// Behind a port.
    Direct { endpoint: Endpoint, options: Options, environment: Vec<(&'static str, OsString)> },
    /// On an exporter that is leased.
    Leased(Box<leased::Asked>),
}

pub(crate) fn run(invocation: &Invocation<'_>) -> Outcome {
    let mode = mode(invocation)?;
    invocation.log.start();
    let words: Vec<OsString> = invocation.matches.get_many("command").unwrap_or_default().cloned().collect();
    let everything = invocation.flag("exporter-logs");
    let runtime = runtime::threads()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        match mode {
            Mode::Local(path) => local(invocation.program, &path, &words, everything, &mut signals).await,
            Mode::Direct { endpoint, options, environment } => {
                direct(&endpoint, &options, environment, &words, everything, &mut signals).await
            }
            Mode::Leased(asked) => leased::run(*asked, &words, everything, &mut signals).await,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

fn mode(invocation: &Invocation<'_>) -> Result<Mode, Stop> {
    let place = invocation.place;
    let given = |name: &str| is_given(invocation.matches, name);
    let choices = ["client", "client-config", "exporter", "exporter-config"];
    if choices.iter().filter(|name| given(name)).count() > 1 {
        let list = choices.map(|name| format!("--{name}")).join(", ");
        return Err(place.wrong(format!("Invalid value: only one of {list} should be specified")));
    }
    let here = ["exporter", "exporter-config"].into_iter().find(|name| given(name));
    let lease = LEASE.iter().copied().find(|name| given(name));
    if let (true, Some(other), _) | (true, None, Some(other)) | (false, Some(_), Some(other)) =
        (given("tls-grpc"), here, lease)
    {
        let mode = if given("tls-grpc") { "tls-grpc" } else { here.unwrap_or_default() };
        return Err(place.wrong(format!("'--{other}' and '--{mode}' exclude each other.")));
    }
    if let Some(option) =
        ["tls-grpc-insecure", "passphrase"].into_iter().find(|name| !given("tls-grpc") && given(name))
    {
        return Err(place.wrong(format!("'--{option}' needs '--tls-grpc'.")));
    }
    match (invocation.text("exporter"), invocation.text("exporter-config"), invocation.text("tls-grpc")) {
        (Some(alias), ..) => files::exporter(alias).map(Mode::Local),
        (_, Some(path), _) => Ok(Mode::Local(path.into())),
        (.., Some(target)) => direct_mode(invocation, target),
        _ => leased_mode(invocation, lease.is_some()),
    }
}

/// What is asked of a lab. Nothing at all is a slip, unless there is a client to ask as.
fn leased_mode(invocation: &Invocation<'_>, named: bool) -> Result<Mode, Stop> {
    let (matches, place) = (invocation.matches, invocation.place);
    let choice = client::choice(matches, place)?;
    let existing = invocation.text("lease").map(str::to_owned).or_else(|| files::environment("JMP_LEASE"));
    let existing = existing.filter(|name| !name.is_empty());
    if !named
        && existing.is_none()
        && let Err(Unusable::Nobody(_)) = jumpstarter_lease::choose(&choice, &files::environment)
    {
        let options = "--client, --client-config, --exporter, --exporter-config or --tls-grpc";
        return Err(place.wrong(format!("Specify one of {options}.")));
    }
    let wanted = Wanted {
        selector: values::selector_of(matches, place, "selector")?.unwrap_or_default(),
        exporter: invocation.text("name").filter(|name| !name.is_empty()).map(str::to_owned),
        duration: values::lease_duration(matches, place)?,
        allow_disabled: invocation.flag("allow-disabled"),
        ..Wanted::default()
    };
    Ok(Mode::Leased(Box::new(leased::Asked {
        choice,
        existing,
        wanted,
        acquisition: values::duration_of(matches, place, "acquisition-timeout", SHORTEST)?,
        retry: values::duration_of(matches, place, "retry-timeout", Duration::ZERO)?,
        dial: values::duration_of(matches, place, "dial-timeout", SHORTEST)?,
        place: place.clone(),
    })))
}

fn is_given(matches: &ArgMatches, name: &str) -> bool {
    matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
}

fn direct_mode(invocation: &Invocation<'_>, target: &str) -> Result<Mode, Stop> {
    let endpoint = match Endpoint::parse(target) {
        Ok(endpoint @ Endpoint::Tcp { .. }) => endpoint,
        Ok(Endpoint::Unix(_)) => {
            return Err(invocation
                .place
                .wrong(format!("Invalid value for '--tls-grpc': '{target}' is not HOST:PORT.")));
        }
        Err(error) => {
            return Err(invocation.place.wrong(format!("Invalid value for '--tls-grpc': {error}")));
        }
    };
    let mut options = Options::default();
    let mut environment = vec![("JMP_EXPORTER", OsString::from("direct"))];
    options.connect.security = if invocation.flag("tls-grpc-insecure") {
        environment.push(("JMP_GRPC_INSECURE", "1".into()));
        Security::ClearText
    } else if ["JMP_GRPC_INSECURE", "JUMPSTARTER_GRPC_INSECURE"]
        .iter()
        .any(|name| files::environment(name).as_deref() == Some("1"))
    {
        // Asked of `jmp`, this means encryption with whoever answers; `j` takes it for none at all, see `direct`.
        Security::Unverified
    } else {
        Security::Verified
    };
    if let Some(passphrase) = invocation.text("passphrase").filter(|text| !text.is_empty()) {
        options.connect.credentials = Credentials::passphrase(passphrase)
            .map_err(|error| invocation.place.wrong(format!("Invalid value for '--passphrase': {error}")))?;
        environment.push(("JMP_GRPC_PASSPHRASE", passphrase.into()));
    }
    Ok(Mode::Direct { endpoint, options, environment })
}

/// What every command in a shell finds in its environment.
fn environment(host: impl Into<OsString>, drivers: &str) -> Vec<(&'static str, OsString)> {
    vec![
        (jumpstarter_client::connection::HOST, host.into()),
        ("JMP_DRIVERS_ALLOW", drivers.into()),
        ("_JMP_SUPPRESS_DRIVER_WARNINGS", "1".into()),
    ]
}

async fn local(
    program: &Program,
    path: &std::path::Path,
    words: &[OsString],
    everything: bool,
    signals: &mut Signals,
) -> Outcome {
    let Named { name, text } = files::read(path)?;
    let plan = plan::check(&name, &text, &program.registry(), files::environment)?;
    warn(&plan.warnings);
    for unused in plan.unused(plan::Mode::Local) {
        tracing::info!("{name}: {unused}");
    }
    let motd = plan.file.motd.clone().unwrap_or_default();
    let local = tokio::select! {
        local = Local::start(plan) => local?,
        signal = signals.next() => return Err(Stop::Signal(signal)),
    };
    let ended = CancellationToken::new();
    let mut reader = local.session().logs().subscribe();
    let log = tokio::spawn({
        let ended = ended.clone();
        async move {
            while let Some(line) = reader.next(&ended).await {
                relay::line(&line, everything);
            }
        }
    });
    greet(words, &motd);
    let job = child::Job {
        words,
        context: "local",
        environment: environment(local.socket(), EVERY_DRIVER),
        profiles: false,
        hang_up: None,
    };
    let outcome = child::run(job, signals).await;
    for (device, error) in local.stop().await {
        tracing::warn!("closing {device}: {error}");
    }
    ended.cancel();
    let _ = log.await;
    outcome
}

fn warn(warnings: &Problems) {
    if !warnings.is_empty() {
        notice(warnings.render().trim_end());
    }
}

/// What the exporter wants to have said, for people only.
fn greet(words: &[OsString], motd: &str) {
    if words.is_empty() && !motd.trim().is_empty() && std::io::stdin().is_terminal() {
        notice(&style::printable(motd.trim_end()));
    }
}

/// The same for an exporter whose hook was waited for, and may have added to what it wants to have said.
async fn welcome(words: &[OsString], connection: &Connection, device: &Device) {
    // Only people read it.
    let now = if words.is_empty() {
        timeout(ASIDE, connection.report()).await.ok().and_then(Result::ok)
    } else {
        None
    };
    greet(words, now.as_ref().map_or(device.motd(), |report| report.motd.as_str()));
}

fn notice(text: &str) {
    // Where nobody reads, nobody needs to be told.
    let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), format!("{text}\n").as_bytes());
}

async fn direct(
    endpoint: &Endpoint,
    options: &Options,
    more: Vec<(&'static str, OsString)>,
    words: &[OsString],
    everything: bool,
    signals: &mut Signals,
) -> Outcome {
    let (device, _log) = tokio::select! {
        reached = reach(endpoint, options, everything) => reached?,
        signal = signals.next() => return Err(Stop::Signal(signal)),
    };
    welcome(words, device.connection(), &device).await;
    // Commands know two ways to a port: clear text, and encrypted with a proof of identity. For anything else, this
    // process makes the connections.
    let tunnel = match options.connect.security {
        Security::Unverified => Some(Tunnel::start(endpoint.clone(), options.connect.clone())?),
        _ => None,
    };
    let host = tunnel
        .as_ref()
        .map_or_else(|| endpoint.to_string().into(), |tunnel| tunnel.socket().into_os_string());
    let environment = environment(host, EVERY_DRIVER).into_iter().chain(more).collect();
    let job = child::Job { words, context: "direct", environment, profiles: false, hang_up: None };
    let outcome = child::run(job, signals).await;
    device.close();
    outcome
}

/// Connects, shows the log, and waits until the exporter is ready.
async fn reach(endpoint: &Endpoint, options: &Options, everything: bool) -> Result<(Device, Log), Stop> {
    let connection = Connection::open(endpoint, options).await?;
    let device = connection.device().await.map_err(Stop::of_session)?;
    // Whoever was connected before has read what the hook said.
    let log = Log::of(&connection, everything, true);
    match ready(&connection).await {
        Ok(()) => Ok((device, log)),
        Err(stop) => {
            // Why a hook failed is in what it said.
            log.last().await;
            Err(stop)
        }
    }
}

fn show(line: &LogLine) {
    let (source, message) = (line.origin(), line.message.as_str());
    match line.severity {
        Severity::Debug => tracing::debug!(source, "{message}"),
        Severity::Info => tracing::info!(source, "{message}"),
        Severity::Warning => tracing::warn!(source, "{message}"),
        Severity::Error | Severity::Critical => tracing::error!(source, "{message}"),
    }
}

/// Waits until the exporter takes calls.
async fn ready(connection: &Connection) -> Result<(), Stop> {
    let hook = || tracing::info!("Waiting for beforeLease hook to complete...");
    let warning = session::ready(connection, hook).await.map_err(Stop::of_session)?;
    if let Some(warning) = warning {
        notice(&format!("{} {}", style::warning(), style::printable(&warning)));
    }
    Ok(())
}
