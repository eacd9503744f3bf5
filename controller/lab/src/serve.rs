//! Everything on one port; how it starts and ends.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jumpstarter_identity::{Authenticator, External, Https, Issuer, SigningKey};
use jumpstarter_protocol::{
    DESCRIPTORS, admin::v1::admin_service_server::AdminServiceServer,
    client::v1::client_service_server::ClientServiceServer,
    v1::controller_service_server::ControllerServiceServer,
};
use jumpstarter_router::{Key, Limits, Router, STREAM_WINDOW, Tokens};
use jumpstarter_service::{Callers, Clients, Exporters, Lab, Listeners, Route, Routers, routers::Load};
use jumpstarter_store::Engine;
use jumpstarter_transport::server::{Identity, Server, Tuning};
use tokio::{
    net::{TcpListener, UnixListener},
    task::JoinHandle,
};
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    Data, NAMESPACE,
    admin::{Admin, Owner, Place},
    certificate,
    config::{KeyOrigin, LabConfig},
    metrics::{Counted, Metrics},
    routers,
    status::status,
    web::{Pages, Provider},
};

/// Interval of pings on quiet connections, and how long their answer may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// How connections are protected.
#[derive(Clone, Debug)]
pub enum Protection {
    /// By a certificate that the lab makes, for all names of this machine and these.
    Own {
        /// Further names and addresses.
        names: Vec<String>,
    },
    /// By this one; whoever connects knows its authority already.
    Given(Identity),
    /// Not at all: something in front of the lab does it.
    None,
}

/// How a lab is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where clients and exporters find it, `HOST:PORT`; if absent, the name of this machine, or `localhost` if it listens
    /// only there.
    pub endpoint: Option<String>,
    /// How connections are protected.
    pub protection: Protection,
    /// What its file says.
    pub config: LabConfig,
    /// The existing controller's `CONTROLLER_KEY`, if the file says that tokens are signed with what is derived from it.
    pub controller_key: Option<Vec<u8>>,
}

/// A lab at work.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where clients and exporters find it.
    pub endpoint: String,
    /// Whom its certificate is by, PEM; empty if it needs no introduction.
    pub authority: String,
    server: Server<Counted<Routes>>,
    admin: Server<Routes>,
    socket: PathBuf,
    store: Arc<Engine>,
    work: JoinHandle<()>,
    /// Looks at routers elsewhere.
    watching: Vec<JoinHandle<()>>,
    /// It ends: whoever asks is sent elsewhere.
    draining: Arc<AtomicBool>,
    health: HealthReporter,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").field("address", &self.address).finish_non_exhaustive()
    }
}

fn endpoint(settings: &Settings, address: SocketAddr) -> String {
    settings.endpoint.clone().unwrap_or_else(|| {
        let host = if address.ip().is_loopback() {
            "localhost".to_owned()
        } else if address.ip().is_unspecified() {
            rustix::system::uname().nodename().to_string_lossy().into_owned()
        } else {
            address.ip().to_string()
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        format!("{host}:{}", address.port())
    })
}

/// The host of `HOST:PORT`.
fn host(endpoint: &str) -> &str {
    endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host).trim_matches(['[', ']'])
}

fn protect(
    protection: &Protection,
    folder: &Path,
    endpoint: &str,
) -> Result<(Option<Identity>, String), String> {
    match protection {
        Protection::None => {
            tracing::warn!("this lab speaks clear text: everybody on the way can read tokens and data");
            Ok((None, String::new()))
        }
        Protection::Given(identity) => Ok((Some(identity.clone()), String::new())),
        Protection::Own { names } => {
            let mut wanted: BTreeSet<String> = certificate::own_names();
            wanted.extend(names.iter().cloned());
            wanted.insert(host(endpoint).to_owned());
            if let Some(bad) = wanted.iter().find(|name| !certificate::is_name(name)) {
                return Err(format!("`{bad}` is neither a host name nor an address"));
            }
            let made = certificate::of(folder, &wanted)?;
            // The key stands beside the chain.
            let pem = made.pem.as_bytes();
            let identity = Identity::from_pem(pem, pem).map_err(|error| error.message().to_owned())?;
            Ok((Some(identity), made.authority))
        }
    }
}

/// What the pages say.
fn pages(config: &LabConfig, issuer: &Issuer, endpoint: &str, authority: &str) -> Pages {
    let providers = config
        .authentication
        .jwt
        .iter()
        .map(|jwt| Provider { issuer: jwt.issuer.url.clone(), audiences: jwt.issuer.audiences.clone() });
    Pages {
        endpoint: endpoint.to_owned(),
        namespace: NAMESPACE.to_owned(),
        authority: authority.to_owned(),
        providers: providers.collect(),
        discovery: issuer.discovery(),
        jwks: issuer.jwks(),
    }
}

/// Who signs the lab's tokens.
fn issuer(data: &Data, settings: &Settings) -> Result<Issuer, String> {
    let internal = &settings.config.authentication.internal;
    let key = match (internal.key, &settings.controller_key) {
        (KeyOrigin::Random, _) => data.signing_key()?,
        (KeyOrigin::ControllerKey, Some(seed)) => {
            tracing::warn!(
                "tokens are signed with a key derived from CONTROLLER_KEY: whoever has one of them can find it"
            );
            SigningKey::derived(seed)?
        }
        (KeyOrigin::ControllerKey, None) => {
            return Err(
                "`authentication.internal.key` is `controller-key`: set CONTROLLER_KEY, as the existing \
                        controller has it"
                    .to_owned(),
            );
        }
    };
    let issuer = Issuer::new(key);
    Ok(match internal.token_lifetime {
        Some(lifetime) => issuer.with_lifetime(lifetime.signed().unsigned_abs()),
        None => issuer,
    })
}

impl Serving {
    /// Begins.
    ///
    /// # Errors
    /// What prevents it, in words.
    pub async fn start(data: Data, settings: &Settings) -> Result<Self, String> {
        let listener = TcpListener::bind(settings.listen).await;
        let listener = listener.map_err(|error| format!("cannot listen on {}: {error}", settings.listen))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let endpoint = endpoint(settings, address);
        let (identity, authority) = protect(&settings.protection, data.path(), &endpoint)?;
        let issuer = issuer(&data, settings)?;
        let owner = Owner::of(data.admin_token()?);
        let tokens = Tokens::new(Key::File(data.router_key()?));
        let socket = Data::admin_socket(data.path());
        let store = Arc::new(data.store);

        let config = &settings.config;
        let externals = config.authentication.jwt.iter().map(External::new).collect::<Result<_, _>>()?;
        let pages = pages(config, &issuer, &endpoint, &authority);
        let lab = Lab::new(store.clone(), NAMESPACE, config.leases());
        let authenticator = Authenticator::<Https>::new(externals, issuer)?;
        let callers = Callers::new(lab.clone(), authenticator, config.provisioning.enabled);
        let router = Router::new(tokens.clone(), Limits::default());
        let carried = router.clone();
        let draining = Arc::new(AtomicBool::new(false));
        let ending = draining.clone();
        let mut routes = vec![Route {
            endpoint: endpoint.clone(),
            labels: jumpstarter_core::selector::Labels::new(),
            load: Load::asked(move || (!ending.load(Ordering::Relaxed)).then(|| carried.load().calls)),
        }];
        let (elsewhere, watching) = routers::watch_all(&config.routers)?;
        routes.extend(elsewhere);
        let exporters =
            Exporters::new(lab.clone(), callers.clone(), Listeners::default(), Routers::new(tokens, routes));
        let clients = Clients::new(lab.clone(), callers.clone(), config.policy());
        let shown = Arc::new(Clients::new(lab.clone(), callers.clone(), config.policy()));
        let metrics = Metrics::new(&lab, &router, &[DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET]);
        let place = Place { endpoint: endpoint.clone(), authority: authority.clone() };
        let admin = Admin::new(lab.clone(), callers.clone(), place);

        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let wrong = |error: tonic_reflection::server::Error| error.to_string();
        let (health_of, health) = tonic_health::server::health_reporter();
        let services = Routes::new(ControllerServiceServer::new(exporters))
            .add_service(ClientServiceServer::new(clients))
            // For whoever shows the administrator's token.
            .add_service(AdminServiceServer::with_interceptor(admin.clone(), owner))
            .add_service(router)
            .add_service(health)
            .add_service(reflection().build_v1().map_err(wrong)?)
            .add_service(reflection().build_v1alpha().map_err(wrong)?);
        let (asked, ending) = (lab.clone(), draining.clone());
        let is_ready = move || asked.is_at_work() && !ending.load(Ordering::Relaxed);
        let router =
            services.into_axum_router().route("/v1/status", axum::routing::get(status).with_state(shown));
        let page = metrics.clone();
        let web = pages.add(router, is_ready, move || page.page());
        let tuning = Tuning {
            stream_window: STREAM_WINDOW,
            // A stream that nobody reads must not take the room of the others on its connection.
            connection_window: Tuning::LARGEST_WINDOW,
            keepalive: Some(KEEPALIVE),
            pages: true,
        };
        let server = Server::tuned(metrics.count(Routes::from(web)), &tuning);

        let admin = Server::new(Routes::new(AdminServiceServer::new(admin)));
        // Whoever left it there is gone: the folder is ours.
        let _ = std::fs::remove_file(&socket);
        let owner = UnixListener::bind(&socket).map_err(|error| format!("{}: {error}", socket.display()))?;
        admin.listen_unix(owner);

        let running = lab.clone();
        let mut work = tokio::spawn(async move {
            if let Err(error) = running.run().await {
                tracing::error!(%error, "the lab cannot go on");
            }
        });
        // Who can connect finds a lab that does its work.
        tokio::select! {
            () = lab.begun() => {}
            _ = &mut work => return Err("the lab cannot begin: the line above says why".to_owned()),
        }
        server.listen_tcp(listener, identity);
        Ok(Self {
            address,
            endpoint,
            authority,
            server,
            admin,
            socket,
            store,
            work,
            watching,
            draining,
            health: health_of,
        })
    }

    /// Returns when the lab cannot go on by itself.
    pub async fn failed(&mut self) {
        let _ = (&mut self.work).await;
    }

    /// Ends: no new calls, some time for those that go on, and everything on the disk.
    pub async fn stop(self, grace: Duration) {
        let Self { server, admin, socket, store, work, watching, draining, health, .. } = self;
        draining.store(true, Ordering::Relaxed);
        let seconds = grace.as_secs();
        tracing::info!("no new calls; those that go on are given {seconds} s");
        health.set_service_status("", ServingStatus::NotServing).await;
        let all_ended = server.shutdown(grace).await;
        tracing::info!(all_ended, "the lab ends");
        admin.shutdown(Duration::from_secs(1)).await;
        let _ = std::fs::remove_file(socket);
        store.close().await;
        work.abort();
        for task in watching {
            task.abort();
        }
    }
}
