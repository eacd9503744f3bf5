//! An exporter that does what the wire asks of one, and no more: it registers, waits for leases, and connects whoever
//! dials to a socket.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jumpstarter_protocol::{
    admin::v1::Credential,
    v1::{
        DriverInstanceReport, ExporterStatus, ListenRequest, ListenResponse, RegisterRequest,
        ReportStatusRequest, StatusRequest, controller_service_client::ControllerServiceClient,
    },
};
use jumpstarter_transport::{
    connect::{self, Channel, Endpoint, Options, Security},
    stream,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::{MetadataMap, MetadataValue};

/// Gone when it is dropped, without a word.
pub(crate) struct Rig {
    _task: AbortOnDropHandle<()>,
    listening: watch::Sender<bool>,
    hang_ups: watch::Sender<usize>,
    said: watch::Receiver<ExporterStatus>,
    link: Link,
}

#[derive(Clone)]
struct Link {
    controller: ControllerServiceClient<Channel>,
    options: Options,
    credential: Credential,
    name: String,
    target: PathBuf,
    /// What it has reported last.
    said: Arc<watch::Sender<ExporterStatus>>,
}

impl Rig {
    /// Leads whoever dials to the socket `target`. It has registered when this answers.
    pub(crate) async fn start(credential: Credential, name: &str, target: &Path) -> Self {
        let security = Security::VerifiedBy(credential.authority.clone().into());
        let options = Options { security, ..Options::default() };
        let channel =
            connect::connect(&Endpoint::parse(&credential.endpoint).unwrap(), &options).await.unwrap();
        let mut link = Link {
            controller: ControllerServiceClient::new(channel),
            options,
            credential,
            name: name.to_owned(),
            target: target.to_owned(),
            said: Arc::new(watch::Sender::new(ExporterStatus::Unspecified)),
        };
        let said = link.said.subscribe();
        let reports =
            vec![DriverInstanceReport { uuid: "one".to_owned(), ..DriverInstanceReport::default() }];
        let request = link.asks(RegisterRequest { reports, ..RegisterRequest::default() });
        link.controller.register(request).await.unwrap();
        link.report(ExporterStatus::Available).await;
        let listening = watch::Sender::new(true);
        let hang_ups = watch::Sender::new(0);
        let task = tokio::spawn(serve(link.clone(), listening.subscribe(), hang_ups.subscribe()));
        Self { _task: AbortOnDropHandle::new(task), listening, hang_ups, said, link }
    }

    /// Waits until the lab knows that it is ready for its lease.
    #[allow(dead_code, reason = "as below")]
    pub(crate) async fn ready(&mut self) {
        self.said.wait_for(|said| *said == ExporterStatus::LeaseReady).await.unwrap();
    }

    /// Tells the lab something else.
    #[allow(dead_code, reason = "as below")]
    pub(crate) async fn reports(&self, status: ExporterStatus) {
        self.link.clone().report(status).await;
    }

    /// Whether it takes tunnels for its lease.
    #[allow(dead_code, reason = "not every test that brings this file in needs it")]
    pub(crate) fn listens(&self, listens: bool) {
        self.listening.send_replace(listens);
    }

    /// Drops every tunnel, as when the network was gone for a moment.
    #[allow(dead_code, reason = "as above")]
    pub(crate) fn hangs_up(&self) {
        self.hang_ups.send_modify(|count| *count += 1);
    }
}

impl Link {
    fn asks<T>(&self, what: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(what);
        let value = |text: &str| MetadataValue::try_from(text).unwrap();
        let metadata = request.metadata_mut();
        metadata.insert("authorization", value(&format!("Bearer {}", self.credential.token)));
        metadata.insert("jumpstarter-kind", value("Exporter"));
        metadata.insert("jumpstarter-namespace", value(&self.credential.namespace));
        metadata.insert("jumpstarter-name", value(&self.name));
        request
    }

    async fn report(&mut self, status: ExporterStatus) {
        let request =
            self.asks(ReportStatusRequest { status: status.into(), ..ReportStatusRequest::default() });
        self.controller.report_status(request).await.unwrap();
        self.said.send_replace(status);
    }
}

async fn serve(mut link: Link, listening: watch::Receiver<bool>, hang_ups: watch::Receiver<usize>) {
    let request = link.asks(StatusRequest {});
    let mut told = link.controller.status(request).await.unwrap().into_inner();
    let mut lease: Option<(String, AbortOnDropHandle<()>)> = None;
    while let Ok(Some(status)) = told.message().await {
        let name = status.lease_name.filter(|_| status.leased);
        if lease.as_ref().map(|(name, _)| name) == name.as_ref() {
            continue;
        }
        lease = None;
        match name {
            Some(name) => {
                link.report(ExporterStatus::LeaseReady).await;
                let task =
                    tokio::spawn(listen(link.clone(), name.clone(), listening.clone(), hang_ups.clone()));
                lease = Some((name, AbortOnDropHandle::new(task)));
            }
            None => link.report(ExporterStatus::Available).await,
        }
    }
}

async fn listen(
    mut link: Link,
    lease: String,
    mut listening: watch::Receiver<bool>,
    mut hang_ups: watch::Receiver<usize>,
) {
    listening.wait_for(|listens| *listens).await.unwrap();
    let request = link.asks(ListenRequest { lease_name: lease });
    let mut dialled = link.controller.listen(request).await.unwrap().into_inner();
    // Dropping the set ends the tunnels.
    let mut tunnels = JoinSet::new();
    loop {
        tokio::select! {
            answer = dialled.message() => {
                let Ok(Some(answer)) = answer else { return };
                tunnels.spawn(tunnel(answer, link.options.clone(), link.target.clone()));
            }
            hang_up = hang_ups.changed() => {
                if hang_up.is_err() {
                    return;
                }
                tunnels.abort_all();
            }
        }
    }
}

async fn tunnel(answer: ListenResponse, options: Options, target: PathBuf) {
    let endpoint = Endpoint::parse(&answer.router_endpoint).unwrap();
    let Ok(channel) = connect::connect(&endpoint, &options).await else { return };
    let mut metadata = MetadataMap::new();
    metadata
        .insert("authorization", MetadataValue::try_from(format!("Bearer {}", answer.router_token)).unwrap());
    let (writer, opening) = stream::open(channel, metadata);
    let (mut read, mut write) = UnixStream::connect(target).await.unwrap().into_split();
    let up = async move {
        let mut piece = vec![0; 64 * 1024];
        loop {
            match read.read(&mut piece).await {
                Ok(0) => return writer.finish().await.map_err(drop),
                Ok(count) => {
                    writer.send(piece[..count].to_vec().into()).await.map_err(drop)?;
                }
                // Whatever the writer has begun is cut when it is dropped.
                Err(_) => return Err(()),
            }
        }
    };
    let down = async move {
        let mut reader = opening.await.map_err(drop)?.into_inner();
        while let Some(piece) = reader.chunk().await.map_err(drop)? {
            write.write_all(&piece).await.map_err(drop)?;
        }
        write.shutdown().await.map_err(drop)?;
        // As long as it is here, the call goes on.
        Ok(reader)
    };
    if let Ok(((), mut reader)) = tokio::try_join!(up, down) {
        let _ = reader.finish().await;
    }
}
