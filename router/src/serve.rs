//! The program around the service: what it listens on, with which certificate, and how it ends.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use jumpstarter_transport::server::{Identity, Server, Tuning};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{Key, Limits, Router, STREAM_WINDOW, Tokens};

/// Port of the router, as upstream has it.
const PORT: u16 = 8083;

/// Interval of pings on quiet connections, and how long their answer may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// Carry the streams between clients and exporters that cannot reach each other.
#[derive(Clone, Debug, Parser)]
#[command(name = "jumpstarter-router", version)]
pub struct Arguments {
    /// Where to listen; by default port 8083 of 127.0.0.1, in a container of all addresses
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,

    /// File with the key that tokens are signed with, the same as the controller's, read whenever a token is checked;
    /// without it, the variable ROUTER_KEY holds the key itself
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Address that clients and exporters use; its host is in a self-made certificate
    #[arg(long, env = "GRPC_ROUTER_ENDPOINT", value_name = "HOST:PORT", default_value = "localhost:8083")]
    pub endpoint: String,

    /// File with the certificate chain, PEM; without it, one is made at each start
    #[arg(long, env = "EXTERNAL_CERT_PEM", value_name = "FILE", requires = "certificate_key")]
    pub certificate: Option<PathBuf>,

    /// File with the certificate's key, PEM
    #[arg(long, env = "EXTERNAL_KEY_PEM", value_name = "FILE", requires = "certificate")]
    pub certificate_key: Option<PathBuf>,

    /// Speak clear text, for a TLS proxy in front: everybody on the way can read everything
    #[arg(long, conflicts_with_all = ["certificate", "certificate_key"])]
    pub insecure: bool,

    /// Most calls at a time
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().calls)]
    pub max_calls: usize,

    /// Most calls at a time from one address
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().calls_per_address)]
    pub max_calls_per_address: usize,

    /// Seconds that a first caller waits for a second one
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().patience.as_secs())]
    pub patience: u64,

    /// Seconds that streams may go on after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub drain: u64,

    /// Which log lines are wanted: `debug`, `info`, `warn`, `error`
    #[arg(long, alias = "zap-log-level", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// Log lines as JSON
    #[arg(long)]
    pub log_json: bool,
}

/// Flags of upstream's router that mean nothing here, by their beginnings.
const IGNORED: &[&str] = &["zap-devel", "zap-encoder", "zap-stacktrace-level", "zap-time-encoding"];

impl Arguments {
    /// From the words of a command line. Go's programs take one dash where others take two, and people write what they are
    /// used to.
    pub fn from_words(words: impl IntoIterator<Item = String>) -> Result<Self, clap::Error> {
        let words = words.into_iter().filter_map(|word| {
            let name = word.strip_prefix('-').map(|rest| rest.strip_prefix('-').unwrap_or(rest));
            match name {
                Some(name) if IGNORED.iter().any(|ignored| name.split('=').next() == Some(ignored)) => None,
                Some(name) if name.len() > 1 => Some(format!("--{name}")),
                _ => Some(word),
            }
        });
        Self::try_parse_from(words)
    }

    /// No option holds the key itself: everybody on the machine can read the words of a command line.
    fn key(&self) -> Result<Key, String> {
        let key = match (&self.key_file, std::env::var_os("ROUTER_KEY")) {
            (Some(path), _) => Key::File(path.clone()),
            (None, Some(key)) => Key::Fixed(key.into_encoded_bytes()),
            (None, None) => {
                return Err("there is no key: set ROUTER_KEY, or name a file with --key-file".to_owned());
            }
        };
        key.check()?;
        Ok(key)
    }

    fn limits(&self) -> Limits {
        Limits {
            calls: self.max_calls,
            calls_per_address: self.max_calls_per_address,
            patience: Duration::from_secs(self.patience),
            ..Limits::default()
        }
    }

    fn identity(&self) -> Result<Option<Identity>, String> {
        if self.insecure {
            tracing::warn!("this router speaks clear text: everybody on the way can read tokens and data");
            return Ok(None);
        }
        let (chain, key) = match (&self.certificate, &self.certificate_key) {
            (Some(chain), Some(key)) => (read(chain)?, read(key)?),
            _ => self_made(&self.endpoint)?,
        };
        Identity::from_pem(&chain, &key).map(Some).map_err(|error| error.message().to_owned())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A certificate for the host of an endpoint and for this machine, and its key.
fn self_made(endpoint: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host).trim_matches(['[', ']']);
    let mut names: Vec<String> = [host, "localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.retain(|name| !name.is_empty());
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| format!("no certificate can be made for {host:?}: {error}"))?;
    Ok((made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes()))
}

/// Where to listen when nobody says: containers are reached from outside, other programs should not be by accident.
fn default_address() -> SocketAddr {
    let contained = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        || std::env::var_os("container").is_some()
        || Path::new("/.dockerenv").exists();
    let ip = if contained { IpAddr::from([0u16; 8]) } else { IpAddr::from([127, 0, 0, 1]) };
    SocketAddr::new(ip, PORT)
}

/// The service with health and reflection, on no listener yet; and what says how it is.
///
/// # Errors
/// When the descriptors are broken, which no caller can help.
pub fn server(router: Router) -> Result<(Server<Routes>, HealthReporter), String> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(jumpstarter_protocol::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| error.to_string())?;
    let tuning = Tuning {
        stream_window: STREAM_WINDOW,
        // A stream that nobody reads must not take the room of the others on its connection.
        connection_window: Tuning::LARGEST_WINDOW,
        keepalive: Some(KEEPALIVE),
        pages: false,
    };
    let (reporter, health) = tonic_health::server::health_reporter();
    let routes = Routes::new(router).add_service(health).add_service(reflection);
    Ok((Server::tuned(routes, &tuning), reporter))
}

/// Serves until a signal comes.
///
/// # Errors
/// What prevents it, in words.
pub async fn run(arguments: &Arguments) -> Result<(), String> {
    let router = Router::new(Tokens::new(arguments.key()?), arguments.limits());
    let identity = arguments.identity()?;
    let (server, mut health) = server(router.clone())?;
    let wanted = arguments.listen.unwrap_or_else(default_address);
    let listener =
        TcpListener::bind(wanted).await.map_err(|error| format!("cannot listen on {wanted}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let signals = |error: io::Error| format!("signals cannot be handled: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    server.listen_tcp(listener, identity);
    tracing::info!(%address, "the router is ready");
    let which = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(
        signal = which,
        calls = router.load().calls,
        "no new streams; those that go on are given time"
    );
    // Whoever watches sends nobody here any more, and is not what this router waits for.
    health.set_service_status("", ServingStatus::NotServing).await;
    health.clear_service_status("").await;
    health.set_service_status("", ServingStatus::NotServing).await;
    tokio::select! {
        ended = server.shutdown(Duration::from_secs(arguments.drain)) => {
            tracing::info!(all_ended = ended, "the router ends");
        }
        // Whoever asks twice means now.
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
