//! A session that is kept, and one that cleans up, when its tunnel is lost.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt as _, stream::BoxStream};
use jumpstarter_lease::{
    Held, Session, Tunnels,
    session::{self, Seen},
};
use jumpstarter_protocol::v1::{
    DriverCallRequest, DriverCallResponse, DriverInstanceReport, EndSessionRequest, EndSessionResponse,
    ExporterStatus, GetReportResponse, GetStatusRequest, GetStatusResponse, LogStreamResponse, ResetRequest,
    ResetResponse, StreamingDriverCallRequest, StreamingDriverCallResponse,
    exporter_service_server::{ExporterService, ExporterServiceServer},
};
use jumpstarter_transport::server::Server;
use tokio::{
    net::UnixListener,
    sync::{mpsc, watch},
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{
    lab::{Lab, soon},
    rig::Rig,
};

/// A session whose hook is what the test says.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    ended: usize,
    /// How often somebody is told that the hook runs, after it was asked for.
    running: usize,
    last: Option<(ExporterStatus, String)>,
    /// While this is true, nobody is told which devices there are.
    silent: watch::Sender<bool>,
}

#[tonic::async_trait]
impl ExporterService for Script {
    type StreamingDriverCallStream = BoxStream<'static, Result<StreamingDriverCallResponse, Status>>;
    type LogStreamStream = BoxStream<'static, Result<LogStreamResponse, Status>>;

    async fn get_report(&self, _: Request<()>) -> Result<Response<GetReportResponse>, Status> {
        let mut silent = self.0.lock().unwrap().silent.subscribe();
        silent.wait_for(|silent| !silent).await.unwrap();
        let root = DriverInstanceReport {
            uuid: "6ba7b810-9dad-11d1-80b4-00c04fd430c8".to_owned(),
            ..DriverInstanceReport::default()
        };
        Ok(Response::new(GetReportResponse { reports: vec![root], ..GetReportResponse::default() }))
    }

    async fn driver_call(
        &self,
        _: Request<DriverCallRequest>,
    ) -> Result<Response<DriverCallResponse>, Status> {
        Err(Status::unimplemented("no device"))
    }

    async fn streaming_driver_call(
        &self,
        _: Request<StreamingDriverCallRequest>,
    ) -> Result<Response<Self::StreamingDriverCallStream>, Status> {
        Err(Status::unimplemented("no device"))
    }

    async fn log_stream(&self, _: Request<()>) -> Result<Response<Self::LogStreamStream>, Status> {
        let line = LogStreamResponse { message: "hello".to_owned(), ..LogStreamResponse::default() };
        Ok(Response::new(futures::stream::iter([Ok(line)]).chain(futures::stream::pending()).boxed()))
    }

    async fn reset(&self, _: Request<ResetRequest>) -> Result<Response<ResetResponse>, Status> {
        Err(Status::unimplemented("Reset"))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let mut state = self.0.lock().unwrap();
        let (status, message) = match &state.last {
            _ if state.ended == 0 => (ExporterStatus::LeaseReady, String::new()),
            Some(last) if state.running == 0 => last.clone(),
            _ => (ExporterStatus::AfterLeaseHook, String::new()),
        };
        if state.ended > 0 {
            state.running = state.running.saturating_sub(1);
        }
        Ok(Response::new(GetStatusResponse {
            status: status.into(),
            message: Some(message),
            ..GetStatusResponse::default()
        }))
    }

    async fn end_session(
        &self,
        _: Request<EndSessionRequest>,
    ) -> Result<Response<EndSessionResponse>, Status> {
        self.0.lock().unwrap().ended += 1;
        Ok(Response::new(EndSessionResponse { success: true, message: None }))
    }
}

struct Bench {
    lab: Lab,
    rig: Rig,
    held: Held,
    script: Script,
    _server: Server<Routes>,
}

impl Bench {
    async fn new() -> Self {
        let mut lab = Lab::start().await;
        let target = lab.path().join("target");
        let script = Script::default();
        let server = Server::new(Routes::new(ExporterServiceServer::new(script.clone())));
        server.listen_unix(UnixListener::bind(&target).unwrap());
        let rig = lab.rig("rig", &target).await;
        let me = lab.client("me").await;
        let held = lab.held(&me).await;
        Self { lab, rig, held, script, _server: server }
    }

    async fn session(&self, limit: Duration) -> Session {
        soon(Session::open(&Tunnels::new(&self.held, limit), "rig")).await.unwrap()
    }

    async fn end(self) {
        let _ = soon(self.held.release()).await;
        self.lab.stop().await;
    }
}

/// What was seen, for whoever waits for it.
fn told(seen: Seen<'_>) -> String {
    match seen {
        Seen::Hook => "hook".to_owned(),
        Seen::Lost(why) => format!("lost: {why}"),
        Seen::Away(why) => format!("away: {why}"),
        Seen::Back(_) => "back".to_owned(),
    }
}

/// Keeps a session while something else is done.
async fn keeping<T>(session: &mut Session, tell: mpsc::Sender<String>, work: impl Future<Output = T>) -> T {
    let kept = session::keep(session, |seen| tell.try_send(told(seen)).unwrap());
    tokio::select! {
        done = work => done,
        never = kept => {
            let never: Infallible = never;
            match never {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_tunnel_of_a_session_that_nobody_uses_is_told_once_and_made_again() {
    let bench = Bench::new().await;
    let mut session = bench.session(Duration::from_secs(20)).await;
    let (tell, mut seen) = mpsc::channel(16);
    let work = async {
        bench.rig.hangs_up();
        let lost: String = soon(seen.recv()).await.unwrap();
        assert!(lost.starts_with("lost: the router at ") && lost.contains("has lost the exporter"), "{lost}");
        assert_eq!(soon(seen.recv()).await.unwrap(), "back");
    };
    keeping(&mut session, tell, work).await;
    assert!(session.connection().status().await.is_ok());
    let mut logs = session.connection().logs();
    assert_eq!(soon(logs.next()).await.unwrap().message, "hello");
    assert!(seen.try_recv().is_err(), "nothing else was told");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_lease_is_not_told_as_a_lost_tunnel() {
    let bench = Bench::new().await;
    let mut session = bench.session(Duration::from_secs(20)).await;
    let (tell, mut seen) = mpsc::channel(16);
    let work = async {
        // The exporter hangs up because the lease is over, and that is how it is noticed.
        bench.held.controller().delete_lease(bench.held.name()).await.unwrap();
        soon(bench.held.ended()).await;
    };
    keeping(&mut session, tell, work).await;
    assert!(seen.try_recv().is_err(), "nothing was told");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cleaning_up_connects_again_and_waits_for_the_hook() {
    for (last, message) in [
        (ExporterStatus::Available, "[HOOK_WARNING] it smells"),
        (ExporterStatus::AfterLeaseHookFailed, "it burns"),
    ] {
        let bench = Bench::new().await;
        let session = bench.session(Duration::from_secs(20)).await;
        *bench.script.0.lock().unwrap() =
            State { running: 3, last: Some((last, message.to_owned())), ..State::default() };
        // Lost while nobody looked, so the first question fails.
        bench.rig.hangs_up();
        soon(async { while session.connection().status().await.is_ok() {} }).await;
        let mut seen = Vec::new();
        let cleaned =
            soon(session::clean_up(&session, Duration::from_secs(20), |what| seen.push(told(what)))).await;
        assert_eq!(bench.script.0.lock().unwrap().ended, 1);
        assert!(seen[0].starts_with("lost: ") && seen[1..] == ["back", "hook"], "{seen:?}");
        if last == ExporterStatus::Available {
            let cleaned = cleaned.unwrap();
            assert!(cleaned.hook && cleaned.unseen.is_none(), "{cleaned:?}");
            assert_eq!(cleaned.warning.as_deref(), Some("it smells"));
        } else {
            assert_eq!(cleaned.unwrap_err().message(), "it burns");
        }
        bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_is_really_gone_is_given_up_with_the_reason() {
    let Bench { lab, rig, held, script: _script, _server } = Bench::new().await;
    let tunnels = Tunnels::new(&held, Duration::from_secs(1));
    let session = soon(Session::open(&tunnels, "rig")).await.unwrap();
    drop(rig);
    soon(async { while session.connection().status().await.is_ok() {} }).await;
    let cleaned = soon(session::clean_up(&session, tunnels.patience(), |_| {})).await.unwrap();
    assert!(!cleaned.hook, "nobody has seen a hook");
    let why = cleaned.unseen.unwrap();
    assert!(why.message().contains("the exporter cannot be reached, tried for 1 s"), "{why}");
    let _ = soon(held.release()).await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_says_nothing_is_given_up_in_the_time_of_a_tunnel_unless_its_hook_runs() {
    let mut bench = Bench::new().await;
    soon(bench.rig.ready()).await;
    bench.script.0.lock().unwrap().silent.send_replace(true);
    let tunnels = Tunnels::new(&bench.held, Duration::from_secs(1));
    let error = soon(Session::open(&tunnels, "rig")).await.unwrap_err();
    assert_eq!(error.message(), "exporter rig has not answered for 1 s; its own log may say why");
    assert!(jumpstarter_lease::controller::is_away(&error), "another one may answer");

    bench.rig.reports(ExporterStatus::BeforeLeaseHook).await;
    let waiting = tokio::spawn(async move { Session::open(&tunnels, "rig").await });
    // Longer than it is given otherwise; nothing tells that it goes on.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!waiting.is_finished(), "it is still waited for");
    bench.script.0.lock().unwrap().silent.send_replace(false);
    soon(waiting).await.unwrap().unwrap();
    bench.end().await;
}
