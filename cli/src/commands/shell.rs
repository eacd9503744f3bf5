//! `jmp shell`: a command, or an interactive shell, with an exporter behind it.

use std::{ffi::OsString, io::IsTerminal as _, path::PathBuf, time::Duration};

use clap::{Arg, ArgMatches, Command, ValueHint};
use jumpstarter_client::{
    Connection, Credentials, Device, Endpoint, ExporterStatus, LogLine, Options, Security,
};
use jumpstarter_core::{ErrorKind, config::Problems, log::Severity};
use jumpstarter_exporter::{local::Local, plan};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    Program, child,
    commands::Invocation,
    files::{self, Named},
    relay,
    report::{Outcome, Stop},
    runtime,
    signals::Signals,
    style,
    tunnel::Tunnel,
    words::{flag, option},
};

pub(crate) const ABOUT: &str = "Run a command, or a shell, with an exporter behind it\n\n\
    Inside of it, `j` has a command for every device. Without COMMAND it is your shell; from a pipe, the shell reads its \
    commands there. The exit code is the command's.";

/// How long an exporter may take to become ready: its hooks are given that much.
const READY: Duration = Duration::from_mins(5);

/// Options that ask for a lease. They mean something as soon as there is a controller.
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
        .arg(option("client", "ALIAS", "Client configuration, by its name").hide(true))
        .arg(path(option("client-config", "FILE", "Client configuration, by its file")).hide(true))
        .arg(option("lease", "NAME", "Use a lease that exists").hide(true))
        .arg(option("selector", "SELECTOR", "Lease an exporter with these labels").short('l').hide(true))
        .arg(option("name", "EXPORTER", "Lease this exporter").short('n').hide(true))
        .arg(option("duration", "TIME", "How long to lease it").hide(true))
        .arg(option("acquisition-timeout", "TIME", "How long to wait for a lease").hide(true))
        .arg(option("retry-timeout", "TIME", "How long to ask again").hide(true))
        .arg(option("dial-timeout", "TIME", "How long to wait for the exporter").hide(true))
        .arg(flag("allow-disabled", "Lease exporters that are disabled, too").hide(true))
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
    let lease = LEASE.iter().copied().chain(["allow-disabled"]).find(|name| given(name));
    match (given("tls-grpc"), here, lease) {
        (true, Some(other), _) | (true, None, Some(other)) | (false, Some(_), Some(other)) => {
            let mode = if given("tls-grpc") { "tls-grpc" } else { here.unwrap_or_default() };
            return Err(place.wrong(format!("'--{other}' and '--{mode}' exclude each other.")));
        }
        (false, None, Some(option)) => return Err(needs_controller(&format!("--{option}"))),
        _ => {}
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
        _ if std::env::var_os("JMP_LEASE").is_some_and(|lease| !lease.is_empty()) => {
            Err(needs_controller("JMP_LEASE"))
        }
        _ => Err(place.wrong("Specify one of --exporter, --exporter-config or --tls-grpc.")),
    }
}

fn is_given(matches: &ArgMatches, name: &str) -> bool {
    matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
}

fn needs_controller(what: &str) -> Stop {
    Stop::failed(format!(
        "{what} asks for a lease, which needs a controller; this version has none yet. \
         Use --exporter, --exporter-config or --tls-grpc"
    ))
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
fn environment(host: impl Into<OsString>) -> Vec<(&'static str, OsString)> {
    vec![
        (jumpstarter_client::connection::HOST, host.into()),
        ("JMP_DRIVERS_ALLOW", "UNSAFE".into()),
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
    let job = child::Job { words, context: "local", environment: environment(local.socket()) };
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
    let device = tokio::select! {
        device = reach(endpoint, options, everything) => device?,
        signal = signals.next() => return Err(Stop::Signal(signal)),
    };
    greet(words, device.motd());
    // Commands know two ways to a port: clear text, and encrypted with a proof of identity. For anything else, this
    // process makes the connections.
    let tunnel = match options.connect.security {
        Security::Unverified => Some(Tunnel::start(endpoint.clone(), options.connect.clone())?),
        _ => None,
    };
    let host = tunnel
        .as_ref()
        .map_or_else(|| endpoint.to_string().into(), |tunnel| tunnel.socket().into_os_string());
    let environment = environment(host).into_iter().chain(more).collect();
    let job = child::Job { words, context: "direct", environment };
    let outcome = child::run(job, signals).await;
    device.close();
    outcome
}

/// Connects, shows the log, and waits until the exporter is ready.
async fn reach(endpoint: &Endpoint, options: &Options, everything: bool) -> Result<Device, Stop> {
    let connection = Connection::open(endpoint, options).await?;
    let device = connection.device().await.map_err(Stop::of_session)?;
    let mut logs = connection.logs();
    tokio::spawn(async move {
        while let Some(line) = logs.next().await {
            if line.is_hook() || everything {
                show(&line);
            }
        }
    });
    ready(&connection).await?;
    Ok(device)
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

/// Waits until the exporter takes calls. There is no call that waits; clients look again and again.
async fn ready(connection: &Connection) -> Result<(), Stop> {
    const PAUSE: Duration = Duration::from_millis(200);
    let deadline = Instant::now() + READY;
    let mut said = false;
    loop {
        let status = match timeout_at(deadline, connection.status()).await {
            Ok(Ok(status)) => status,
            // Exporters that have no status take calls at once.
            Ok(Err(error)) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            Ok(Err(error)) => return Err(Stop::of_session(error)),
            Err(_) => return Err(Stop::failed("the exporter did not become ready in time")),
        };
        match status.status {
            ExporterStatus::LeaseReady | ExporterStatus::Unspecified => {
                if let Some(warning) = status.message.strip_prefix("[HOOK_WARNING] ") {
                    notice(&format!("{} {}", style::warning(), style::printable(warning)));
                }
                return Ok(());
            }
            ExporterStatus::BeforeLeaseHookFailed
            | ExporterStatus::AfterLeaseHookFailed
            | ExporterStatus::Offline => {
                return Err(Stop::failed(status.message));
            }
            _ if !said => {
                tracing::info!("Waiting for beforeLease hook to complete...");
                said = true;
            }
            _ => {}
        }
        if Instant::now() >= deadline {
            return Err(Stop::failed(format!(
                "the exporter did not become ready in time: {}",
                status.message
            )));
        }
        sleep(PAUSE).await;
    }
}
