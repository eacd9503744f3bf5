//! What a lab costs: leases of one exporter and of thousands, a long queue, and exporters on which nothing happens.
//!
//! The lab is a process of its own, with its store in a file, and everybody is connected to it with TLS.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jumpstarter_lab::{Data, LabConfig, Protection, Serving, Settings};
use jumpstarter_protocol::{
    admin::v1::{CreateRequest, IssueRequest, Key, admin_service_client::AdminServiceClient},
    client::v1::{CreateLeaseRequest, DeleteLeaseRequest, Lease, client_service_client::ClientServiceClient},
    v1::{
        DriverInstanceReport, ExporterStatus, RegisterRequest, ReportStatusRequest, StatusRequest,
        StatusResponse, controller_service_client::ControllerServiceClient,
    },
};
use jumpstarter_transport::connect::{Channel, Endpoint, Options, Security, connect};
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Request, Streaming, metadata::MetadataValue};

use crate::{
    Effort, Outcome,
    process::{self, Memory, Server, memory},
    relays::provide_tls,
    report::{Goal, Row, median},
};

/// Leases of one exporter, one after the other, per round.
const LEASES: usize = 200;

/// Exporters of a large lab.
const EXPORTERS: usize = 5_000;

/// How many of them share a connection here; for the lab that makes no difference but that of the connection.
const SHARE: usize = 100;

/// How many are made at once.
const AT_ONCE: usize = 64;

/// Leases that are asked for in the large lab: so many a second, so many in all.
const PER_SECOND: u32 = 100;
const ASKED: usize = 1_000;

/// Leases that wait, and the exporters that they wait for.
const QUEUE: usize = 500;
const SERVERS: usize = 20;

/// How long a lab is watched that has nothing to do.
const WATCHED: Duration = Duration::from_secs(20);

/// Time for a lab to calm down.
const SETTLE: Duration = Duration::from_secs(2);

/// How long something may take that has to happen.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where the folder of a lab is said.
const FOLDER: &str = "JUMPSTARTER_BENCH_LAB";

/// A lab until standard input ends. Where it is has been said by a variable; if not, in a folder for temporary files.
pub(crate) async fn serve() -> Outcome<()> {
    provide_tls();
    let temporary = tempfile::tempdir()?;
    let folder = std::env::var_os(FOLDER).map_or_else(|| temporary.path().join("lab"), PathBuf::from);
    let settings = Settings {
        listen: "127.0.0.1:0".parse()?,
        endpoint: None,
        protection: Protection::Own { names: Vec::new() },
        config: LabConfig::default(),
        controller_key: None,
    };
    let serving = Serving::start(Data::open(&folder)?, &settings).await?;
    process::announce(Path::new(&serving.endpoint));
    process::until_input_ends().await;
    serving.stop(Duration::ZERO).await;
    Ok(())
}

/// A lab, and its owner.
struct Lab {
    server: Server,
    endpoint: Endpoint,
    options: Options,
    admin: AdminServiceClient<Channel>,
    // Removed last.
    _folder: tempfile::TempDir,
}

/// Somebody with a token, and a connection.
#[derive(Clone)]
struct Caller {
    kind: &'static str,
    name: String,
    token: String,
    channel: Channel,
}

impl Caller {
    fn asks<T>(&self, what: T) -> Outcome<Request<T>> {
        let mut request = Request::new(what);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", MetadataValue::try_from(format!("Bearer {}", self.token))?);
        metadata.insert("jumpstarter-kind", MetadataValue::from_static(self.kind));
        metadata.insert("jumpstarter-namespace", MetadataValue::from_static("default"));
        metadata.insert("jumpstarter-name", MetadataValue::try_from(self.name.clone())?);
        Ok(request)
    }

    /// An exporter that can be leased, and what it is told.
    async fn register(&self) -> Outcome<Streaming<StatusResponse>> {
        let mut controller = ControllerServiceClient::new(self.channel.clone());
        let reports =
            vec![DriverInstanceReport { uuid: "one".to_owned(), ..DriverInstanceReport::default() }];
        controller.register(self.asks(RegisterRequest { reports, ..RegisterRequest::default() })?).await?;
        let status = ExporterStatus::Available.into();
        let report = ReportStatusRequest { status, ..ReportStatusRequest::default() };
        controller.report_status(self.asks(report)?).await?;
        let mut told = controller.status(self.asks(StatusRequest {})?).await?.into_inner();
        told.message().await?.ok_or("the lab says nothing")?;
        Ok(told)
    }

    async fn lease(&self, name: &str) -> Outcome<Lease> {
        let lease = Lease {
            selector: "board=demo".to_owned(),
            duration: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
            ..Lease::default()
        };
        let request = CreateLeaseRequest {
            parent: "namespaces/default".to_owned(),
            lease_id: name.to_owned(),
            lease: Some(lease),
        };
        let mut client = ClientServiceClient::new(self.channel.clone());
        Ok(client.create_lease(self.asks(request)?).await?.into_inner())
    }

    async fn release(&self, name: &str) -> Outcome<()> {
        let request = DeleteLeaseRequest { name: format!("namespaces/default/leases/{name}") };
        ClientServiceClient::new(self.channel.clone()).delete_lease(self.asks(request)?).await?;
        Ok(())
    }
}

fn is_ready(lease: &Lease) -> bool {
    lease.exporter.is_some()
}

impl Lab {
    /// A new one: on the disk with the temporary files, or where there is no disk.
    async fn start(on_disk: bool) -> Outcome<Self> {
        provide_tls();
        let folder = if on_disk { tempfile::tempdir()? } else { tempfile::tempdir_in("/dev/shm")? };
        let path = folder.path().join("lab");
        let server = Server::start_with("lab", &[(FOLDER, path.as_os_str())])?;
        let endpoint = Endpoint::parse(&server.socket.display().to_string())?;
        let options = Options { security: Security::Unverified, ..Options::default() };
        let socket = Endpoint::Unix(Data::admin_socket(&path));
        let admin = AdminServiceClient::new(connect(&socket, &Options::default()).await?);
        Ok(Self { server, endpoint, options, admin, _folder: folder })
    }

    async fn connect(&self) -> Outcome<Channel> {
        Ok(connect(&self.endpoint, &self.options).await?)
    }

    async fn caller(&self, kind: &'static str, name: &str) -> Outcome<Caller> {
        introduce(self.admin.clone(), kind, name.to_owned(), self.connect().await?).await
    }

    /// So many exporters, each with what it is told.
    async fn exporters(&self, count: usize) -> Outcome<Vec<(Caller, Streaming<StatusResponse>)>> {
        let mut made = Vec::with_capacity(count);
        let mut all = JoinSet::new();
        let mut channel = self.connect().await?;
        for number in 0..count {
            if number % SHARE == 0 {
                channel = self.connect().await?;
            }
            if all.len() >= AT_ONCE
                && let Some(done) = all.join_next().await
            {
                made.push(done??);
            }
            let (admin, channel) = (self.admin.clone(), channel.clone());
            all.spawn(async move {
                let rig = introduce(admin, "Exporter", format!("rig-{number}"), channel).await?;
                let told = rig.register().await?;
                Outcome::Ok((rig, told))
            });
        }
        while let Some(done) = all.join_next().await {
            made.push(done??);
        }
        Ok(made)
    }
}

async fn introduce(
    mut admin: AdminServiceClient<Channel>,
    kind: &'static str,
    name: String,
    channel: Channel,
) -> Outcome<Caller> {
    let object = serde_json::json!({
        "kind": kind, "metadata": { "name": name, "labels": { "board": "demo" } },
    });
    admin.create(CreateRequest { json: object.to_string() }).await?;
    let key = Some(Key { kind: kind.to_owned(), name: name.clone() });
    let token = admin.issue(IssueRequest { key, rotate: false }).await?.into_inner().token;
    Ok(Caller { kind, name, token, channel })
}

/// All figures of the controller.
pub(crate) async fn take(effort: Effort) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    let goal = Goal::AtMost(2.0);
    rows.push(
        one_exporter(effort, true, "a lease of the only exporter, until it is ready, p50", goal).await?,
    );
    let what = "the same, where the store's file is in memory";
    rows.push(one_exporter(effort, false, what, Goal::None).await?);
    rows.extend(many_exporters(effort).await?);
    rows.extend(queue(effort).await?);
    Ok(rows)
}

/// Milliseconds from a wish to a lease that can be used.
async fn one_exporter(effort: Effort, on_disk: bool, what: &str, goal: Goal) -> Outcome<Row> {
    let lab = Lab::start(on_disk).await?;
    let me = lab.caller("Client", "me").await?;
    let (_, mut told) = lab.exporters(1).await?.pop().ok_or("there is no exporter")?;
    let leases = effort.of(LEASES);
    let mut medians = Vec::new();
    for round in 0..=effort.rounds {
        let mut times = Vec::with_capacity(leases);
        for number in 0..leases {
            let name = format!("lease-{round}-{number}");
            let begun = Instant::now();
            let lease = me.lease(&name).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            if !is_ready(&lease) {
                return Err(format!("the lease waits: {:?}", lease.conditions).into());
            }
            // A lease that is over before its exporter has heard of it is nothing that it is told about.
            while !told.message().await?.ok_or("the lab has gone")?.leased {}
            me.release(&name).await?;
            // Until it is free again.
            while told.message().await?.ok_or("the lab has gone")?.leased {}
        }
        // The first round warms up.
        if round > 0 {
            medians.extend(median(times));
        }
    }
    let mut row = Row::new("controller", what, "ms", goal);
    row.ours = median(medians);
    Ok(row)
}

/// Hears what exporters are told, so that nothing waits for them.
fn listen(exporters: Vec<(Caller, Streaming<StatusResponse>)>) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for (_, mut told) in exporters {
        all.spawn(async move { while let Ok(Some(_)) = told.message().await {} });
    }
    all
}

async fn many_exporters(effort: Effort) -> Outcome<Vec<Row>> {
    let count = effort.of(EXPORTERS);
    let lab = Lab::start(false).await?;
    let id = lab.server.id();
    // Whatever grows once has grown then.
    let me = lab.caller("Client", "me").await?;
    tokio::time::sleep(SETTLE).await;
    let before = memory(id, Memory::Resident)?;
    let _exporters = listen(lab.exporters(count).await?);
    tokio::time::sleep(SETTLE).await;
    let each = memory(id, Memory::Resident)?.saturating_sub(before) as f64 / 1024.0 / count as f64;
    let mut size = Row::new(
        "controller",
        format!("memory for each of {count} idle exporters"),
        "KiB",
        Goal::AtMost(32.0),
    );
    size.ours = Some(each);

    let watched = WATCHED / u32::try_from(effort.divisor)?;
    let work = process::processor_time(id)?;
    tokio::time::sleep(watched).await;
    let work = (process::processor_time(id)?.saturating_sub(work)).as_secs_f64() / watched.as_secs_f64();
    let what = format!("processor time of a lab with {count} idle exporters");
    let mut rest = Row::new("controller", what, "% of one", Goal::AtMost(0.1));
    rest.ours = Some(work * 100.0);

    // At their times, whether those before have been answered or not.
    let asked = effort.of(ASKED);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut all = JoinSet::new();
    for number in 0..asked {
        ticks.tick().await;
        let me = me.clone();
        all.spawn(async move {
            let name = format!("lease-{number}");
            let begun = Instant::now();
            let lease = me.lease(&name).await?;
            let took = begun.elapsed().as_secs_f64() * 1e3;
            if !is_ready(&lease) {
                return Err(format!("the lease waits: {:?}", lease.conditions).into());
            }
            me.release(&name).await?;
            Outcome::Ok(took)
        });
    }
    let mut times = Vec::with_capacity(asked);
    while let Some(done) = all.join_next().await {
        times.push(done??);
    }
    times.sort_by(f64::total_cmp);
    let what = format!("a lease among {count} exporters, {PER_SECOND} a second, p99");
    let mut late = Row::new("controller", what, "ms", Goal::AtMost(100.0));
    late.ours = times.get(times.len() * 99 / 100).copied();
    Ok(vec![size, rest, late])
}

async fn queue(effort: Effort) -> Outcome<Vec<Row>> {
    let leases = effort.of(QUEUE).max(2 * SERVERS);
    let lab = Lab::start(false).await?;
    let me = lab.caller("Client", "me").await?;
    // In the way until all of them wait.
    let exporters = lab.exporters(SERVERS).await?;
    let mut blocking = Vec::new();
    for number in 0..SERVERS {
        let name = format!("before-{number}");
        me.lease(&name).await?;
        blocking.push(name);
    }
    let mut places = HashMap::new();
    for number in 0..leases {
        let name = format!("lease-{number}");
        me.lease(&name).await?;
        places.insert(name, number);
    }
    let (serves, mut served) = mpsc::channel(SERVERS);
    for (_, mut told) in exporters {
        let serves = serves.clone();
        tokio::spawn(async move {
            while let Ok(Some(state)) = told.message().await {
                let Some(lease) = state.lease_name.filter(|_| state.leased) else { continue };
                if serves.send(lease).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(serves);
    let begun = Instant::now();
    let mut releasing = JoinSet::new();
    let mut order = Vec::with_capacity(leases);
    while order.len() < leases {
        let lease = tokio::time::timeout(PATIENCE, served.recv()).await?.ok_or("the lab has gone")?;
        order.extend(places.get(&lease).copied());
        let me = me.clone();
        // Its client needs it for no time at all.
        releasing.spawn(async move { me.release(&lease).await });
    }
    let seconds = begun.elapsed().as_secs_f64();
    while let Some(done) = releasing.join_next().await {
        done??;
    }
    let what = format!("{leases} leases wait for {SERVERS} exporters");
    let mut rate = Row::new("controller", what, "leases/s", Goal::AtLeast(100.0));
    rate.ours = Some(leases as f64 / seconds);
    // Those that begin at once may be heard of in any order.
    let limit = SERVERS as f64 - 1.0;
    let mut fair =
        Row::new("controller", "by how many the worst of them was overtaken", "leases", Goal::AtMost(limit));
    fair.ours = Some(overtaken(&order) as f64);
    Ok(vec![rate, fair])
}

/// The most that came later and were served before, over all.
fn overtaken(order: &[usize]) -> usize {
    let before = |at: usize, place: usize| order[..at].iter().filter(|other| **other > place).count();
    order.iter().enumerate().map(|(at, place)| before(at, *place)).max().unwrap_or(0)
}
