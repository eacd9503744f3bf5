//! `jmp serve`: a lab in one process.

use std::{
    ffi::OsString,
    net::SocketAddr,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Arg, ArgAction, Command, ValueHint};
use jumpstarter_lab::{
    Data, LabConfig, Protection, Serving, Settings, certificate::is_name, config::is_endpoint,
};
use jumpstarter_transport::server::Identity;

use crate::{
    commands::{Invocation, share},
    files, logging, output,
    report::{FAILURE, Outcome, Signalled, Stop},
    runtime,
    signals::Signals,
    words::{flag, option},
};

pub(crate) const ABOUT: &str = "Run a lab: controller, router and store in one process, without Kubernetes";

/// Where a lab listens, as upstream's controller does: on this port, of all addresses.
const LISTEN: &str = "0.0.0.0:8082";

/// How long calls may go on after a signal.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) fn arguments(command: Command) -> Command {
    let path = |arg: Arg| arg.value_hint(ValueHint::FilePath);
    command
        .arg(
            option("data", "DIR", "Folder that holds everything the lab remembers")
                .value_hint(ValueHint::DirPath),
        )
        .arg(option("listen", "ADDRESS:PORT", "Where to listen").default_value(LISTEN))
        .arg(option(
            "endpoint",
            "HOST:PORT",
            "Where clients and exporters find the lab; by default this machine's name",
        ))
        .arg(
            option("name", "HOST", "A further name or address in the lab's certificate; can be repeated")
                .action(ArgAction::Append),
        )
        .arg(path(option(
            "tls-cert",
            "FILE",
            "Certificate chain (PEM) to use instead of one that the lab makes",
        )))
        .arg(path(option("tls-key", "FILE", "Its private key (PEM)")))
        .arg(path(option(
            "config",
            "FILE",
            "How the lab is run: identity providers, routers elsewhere, hidden labels",
        )))
        .arg(
            option(
                "invite",
                "CLIENT",
                "Print the command with which somebody elsewhere logs in as this client; can be repeated",
            )
            .action(ArgAction::Append),
        )
        .arg(flag("insecure", "Speak clear text, for something in front of the lab that does TLS"))
        .args(logging::options())
}

/// The lab of this user.
pub(crate) fn own() -> Result<PathBuf, Stop> {
    let set = |name| files::environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(lab) = set("JMP_LAB") {
        return Ok(lab);
    }
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    let data = data.ok_or_else(|| Stop::configuration("there is no home folder: name the lab's folder"))?;
    Ok(data.join("jumpstarter/lab"))
}

pub(crate) fn run(invocation: &Invocation<'_>) -> Outcome {
    let place = invocation.place;
    let listen = invocation.text("listen").unwrap_or(LISTEN);
    let listen: SocketAddr = listen.parse().map_err(|_| {
        place.wrong(format!("'--listen': {listen:?} is not ADDRESS:PORT, such as 0.0.0.0:8082 or [::]:8082."))
    })?;
    if let Some(endpoint) = invocation.text("endpoint").filter(|endpoint| !is_endpoint(endpoint)) {
        return Err(place.wrong(format!(
            "'--endpoint': {endpoint:?} is not HOST:PORT, without a scheme, such as lab.example.com:8082."
        )));
    }
    let names: Vec<String> =
        invocation.matches.get_many::<String>("name").unwrap_or_default().cloned().collect();
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(place.wrong(format!(
            "'--name': {name:?} is neither a host name, such as lab.example.com, nor an address, such as 192.0.2.1."
        )));
    }
    let protection =
        match (invocation.flag("insecure"), invocation.text("tls-cert"), invocation.text("tls-key")) {
            (true, None, None) if names.is_empty() => Protection::None,
            (true, ..) => {
                return Err(place.wrong("'--insecure' excludes '--tls-cert', '--tls-key' and '--name'."));
            }
            (false, Some(chain), Some(key)) if names.is_empty() => {
                runtime::choose_tls();
                let identity = Identity::from_pem(&files::bytes(chain)?, &files::bytes(key)?);
                Protection::Given(identity.map_err(|error| {
                    Stop::configuration(format!("--tls-cert {chain}, --tls-key {key}: {}", error.message()))
                })?)
            }
            (false, Some(_), Some(_)) => {
                return Err(place.wrong(
                    "'--name' is for the certificate that the lab makes: a given one has its names.",
                ));
            }
            (false, None, None) => Protection::Own { names },
            (false, ..) => return Err(place.wrong("'--tls-cert' and '--tls-key' belong together.")),
        };
    let folder = match invocation.text("data") {
        Some(folder) => PathBuf::from(folder),
        None => own()?,
    };
    runtime::choose_tls();
    invocation.log.start_service("controller");
    let endpoint = invocation.text("endpoint").map(str::to_owned);
    let config = match invocation.text("config") {
        Some(file) => {
            let files::Named { name, text } = files::read(Path::new(file))?;
            LabConfig::read(&name, &text).map_err(Stop::Problems)?
        }
        None => LabConfig::default(),
    };
    let controller_key = std::env::var_os("CONTROLLER_KEY").map(OsString::into_vec);
    let settings = Settings { listen, endpoint, protection, config, controller_key };
    let invited: Vec<String> =
        invocation.matches.get_many::<String>("invite").unwrap_or_default().cloned().collect();
    let runtime = runtime::threads()?;
    let outcome = runtime.block_on(serve(folder, settings, &invited));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(folder: PathBuf, settings: Settings, invited: &[String]) -> Outcome {
    let mut signals = Signals::listen()?;
    let data = Data::open(&folder).map_err(Stop::configuration)?;
    let new = data.is_new();
    let mut serving = Serving::start(data, &settings).await.map_err(Stop::configuration)?;
    tracing::info!(address = %serving.address, endpoint = serving.endpoint, data = %folder.display(), "the lab is ready");
    for name in invited {
        // A secret: it goes to whoever looks, and not into the log.
        let invitation = share::invitation(&folder, name, &serving).await?;
        output::line(&invitation)?;
    }
    if new && invited.is_empty() {
        welcome(&folder, &settings);
    }
    let signal = tokio::select! {
        signal = signals.next() => Some(signal),
        () = serving.failed() => None,
    };
    tokio::select! {
        () = serving.stop(GRACE) => {}
        // Whoever asks twice means now.
        _ = signals.next() => {}
    }
    match signal {
        Some(Signalled::Terminate) => Ok(0),
        Some(other) => Err(Stop::Signal(other)),
        None => Ok(FAILURE),
    }
}

/// What has to be done before anybody can connect with a lab that speaks clear text, which neither clients nor exporters do.
fn front(settings: &Settings) -> Option<String> {
    match (&settings.protection, &settings.endpoint) {
        (Protection::Own { .. } | Protection::Given(_), _) => None,
        (Protection::None, Some(endpoint)) => Some(format!(
            "It speaks clear text, which neither clients nor exporters do: what does TLS for it has to be at {endpoint}."
        )),
        (Protection::None, None) => Some(
            "It speaks clear text, which neither clients nor exporters do, and what follows does not work yet. Set something up in \
             front of it that does TLS, with a certificate that all of them trust, and start the lab again with \
             `--endpoint HOST:PORT`, where that is: the files that are made then lead there."
                .to_owned(),
        ),
    }
}

/// What to do with a lab that nobody has used yet.
fn welcome(folder: &Path, settings: &Settings) {
    let lab = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let lab = quoted(&lab.display().to_string());
    let front = front(settings).map(|front| format!("{front}\n\n")).unwrap_or_default();
    output::notice(&format!(
        "\nThis lab is new. {front}Make an exporter, a client and a first lease, on this machine:\n\n  \
         jmp admin --lab {lab} create exporter rig --label board=demo --out rig.yaml\n  \
         jmp admin --lab {lab} create client me --allow '*' --out me.yaml\n  \
         jmp create lease --client-config me.yaml --selector board=demo\n\n\
         The lease waits for its exporter: list the devices of it in rig.yaml, for the `{{}}` behind `export:`, and run it where they are, \
         with `jmp run --exporter-config rig.yaml`. `jmp shell --client-config me.yaml --lease NAME` uses them.\n"
    ));
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-".contains(char);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
