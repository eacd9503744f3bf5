//! The controller, as an exporter speaks with it.

use std::{
    collections::HashMap,
    error::Error as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jumpstarter_core::{Error, ErrorKind, Result, config::ExporterFile};
use jumpstarter_life::{Lease, Release, Report};
use jumpstarter_protocol::v1::{
    DriverInstanceReport, ExporterStatus, ListenRequest, ListenResponse, RegisterRequest,
    ReleaseLeaseRequest, ReportStatusRequest, StatusRequest, StatusResponse, UnregisterRequest,
    controller_service_client::ControllerServiceClient,
};
use jumpstarter_transport::{
    connect::{self, Channel, Endpoint, Liveness, Options, Security},
    grpc_options::GrpcOptions,
    status::innermost,
};
use tokio::time::timeout;
use tonic::{
    Code, Request, Status, Streaming,
    metadata::{MetadataMap, MetadataValue},
};

/// How long the controller may take for an answer, as upstream has it.
const ANSWER: Duration = Duration::from_secs(30);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How soon it is noticed that the controller has vanished. An exporter that does not know cannot be used.
const LIVENESS: Liveness =
    Liveness { ask_after: Duration::from_secs(10), answer_within: Duration::from_secs(10) };

/// Where the controller is, who we are for it, and the connection.
pub(crate) struct Controller {
    place: String,
    endpoint: Endpoint,
    options: Options,
    tuned: GrpcOptions,
    identity: MetadataMap,
    reports: Vec<DriverInstanceReport>,
    channel: Mutex<Option<Channel>>,
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Why, in words.
    pub(crate) error: Error,
    /// The controller answered, and its answer is not going to change by itself.
    pub(crate) refused: bool,
    /// The controller has no such method.
    pub(crate) unknown: bool,
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        // A status with a cause was made on this side, because there was no answer.
        let answered = status.source().is_none();
        let refused = matches!(
            status.code(),
            Code::Unauthenticated
                | Code::PermissionDenied
                | Code::InvalidArgument
                | Code::Unimplemented
                | Code::NotFound
                // Controllers say so when they cannot tell who somebody is, or that there is no such exporter.
                | Code::Unknown
        );
        let words = match (answered, status.message()) {
            (true, "") => {
                format!("the controller answered {}", jumpstarter_transport::status::code_name(status.code()))
            }
            (true, message) => format!("the controller answered: {message}"),
            (false, _) => format!("the connection to the controller was lost: {}", innermost(&status)),
        };
        let kind = if answered && refused { ErrorKind::Unauthenticated } else { ErrorKind::Disconnected };
        Self {
            error: Error::new(kind, words),
            refused: answered && refused,
            unknown: answered && status.code() == Code::Unimplemented,
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        // A certificate that is not trusted will not be trusted in a second.
        let refused =
            matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::Configuration | ErrorKind::Usage);
        Self { error, refused, unknown: false }
    }
}

/// A call with a limit.
async fn limited<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Failed> {
    if let Ok(answer) = timeout(ANSWER, call).await {
        Ok(answer?)
    } else {
        let limit = ANSWER.as_secs();
        Err(Error::timeout(format!("the controller did not answer within {limit} s")).into())
    }
}

impl Controller {
    /// What an exporter file says about its controller; it has everything that is needed.
    pub(crate) fn new(file: &ExporterFile, reports: Vec<DriverInstanceReport>) -> Result<Self> {
        let lacks = |what: &str| Error::configuration(format!("the exporter file has no `{what}`"));
        let place = file.endpoint.as_ref().ok_or_else(|| lacks("endpoint"))?.value.clone();
        let token = file.token.as_ref().ok_or_else(|| lacks("token"))?;
        let name = file.metadata.name.clone().ok_or_else(|| lacks("metadata.name"))?;
        let namespace = file.metadata.namespace.clone().ok_or_else(|| lacks("metadata.namespace"))?;
        let endpoint = endpoint(&place)?;
        let security = security(file)?;
        let mut identity = MetadataMap::new();
        let mut put = |key: &'static str, what: &str, value: &str| {
            let mut value = MetadataValue::try_from(value).map_err(|_| {
                Error::configuration(format!(
                    "`{what}` has characters that cannot be sent; use printable ASCII only"
                ))
            })?;
            value.set_sensitive(key == "authorization");
            identity.insert(key, value);
            Ok::<_, Error>(())
        };
        put("jumpstarter-kind", "kind", "Exporter")?;
        put("jumpstarter-namespace", "metadata.namespace", &namespace)?;
        put("jumpstarter-name", "metadata.name", &name)?;
        put("authorization", "token", &format!("Bearer {}", token.value.expose()))?;
        let tuned = GrpcOptions::read(&file.grpc_options)?;
        let liveness = tuned.liveness(LIVENESS);
        let options = Options { security, timeout: CONNECT, liveness, ..Options::default() };
        Ok(Self { place, endpoint, options, tuned, identity, reports, channel: Mutex::new(None) })
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// How connections to the routers are made: protected like that to the controller.
    pub(crate) fn to_router(&self, timeout: Duration) -> Options {
        let security = self.options.security.clone();
        Options { security, timeout, liveness: self.tuned.liveness(Liveness::WATCHED), ..Options::default() }
    }

    fn client(&self) -> Result<ControllerServiceClient<Channel>, Failed> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lost = || Error::disconnected("there is no connection to the controller");
        Ok(ControllerServiceClient::new(channel.ok_or_else(lost)?))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.identity.clone();
        request
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<(), Failed> {
        let channel = connect::connect(&self.endpoint, &self.options).await?;
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = Some(channel);
        Ok(())
    }

    /// Connects and registers.
    pub(crate) async fn register(&self) -> Result<(), Failed> {
        self.connect().await?;
        let request = RegisterRequest { labels: HashMap::new(), reports: self.reports.clone() };
        limited(self.client()?.register(self.request(request))).await?;
        Ok(())
    }

    /// Begins to hear who has the exporter, with the first word.
    pub(crate) async fn watch(&self) -> Result<(Option<Lease>, Streaming<StatusResponse>), Failed> {
        let mut client = self.client()?;
        let first = async {
            let mut stream = client.status(self.request(StatusRequest {})).await?.into_inner();
            match stream.message().await? {
                Some(first) => Ok((lease(first), stream)),
                None => Err(Status::unavailable("the controller has nothing to say")),
            }
        };
        limited(first).await
    }

    pub(crate) async fn report(&self, report: Report) -> Result<(), Failed> {
        let request = ReportStatusRequest {
            status: report.status.into(),
            message: Some(report.message),
            release_lease: report.release.then_some(true),
        };
        limited(self.client()?.report_status(self.request(request))).await?;
        Ok(())
    }

    /// Asks the controller to release a lease of ours.
    pub(crate) async fn release(&self, name: &str) -> Release {
        let request = ReleaseLeaseRequest { name: name.to_owned() };
        let answer = match self.client() {
            Ok(mut client) => match timeout(ANSWER, client.release_lease(self.request(request))).await {
                Ok(answer) => answer,
                Err(_) => Err(Status::deadline_exceeded("no answer")),
            },
            Err(_) => return Release::Failed,
        };
        let Err(status) = answer else { return Release::Done };
        match status.code() {
            // Old controllers take this from clients only, and say so in one of these ways.
            Code::PermissionDenied | Code::InvalidArgument | Code::Unauthenticated | Code::Unimplemented => {
                Release::Unknown
            }
            // It is gone, or somebody else's.
            Code::NotFound | Code::FailedPrecondition => Release::Done,
            _ => {
                tracing::warn!(
                    lease = name,
                    "the lease could not be released: {}",
                    Failed::from(status).error
                );
                Release::Failed
            }
        }
    }

    /// Begins to hear of tunnels for a lease. Resolves when the controller speaks, which may be with the first tunnel.
    pub(crate) async fn listen(&self, lease: &str) -> Result<Streaming<ListenResponse>, Failed> {
        let request = self.request(ListenRequest { lease_name: lease.to_owned() });
        Ok(self.client()?.listen(request).await?.into_inner())
    }

    /// Tells the controller that the exporter goes, and why.
    pub(crate) async fn leave(&self, report: Report, reason: &str) -> Result<(), Failed> {
        debug_assert_eq!(report.status, ExporterStatus::Offline);
        self.report(report).await?;
        let request = UnregisterRequest { reason: reason.to_owned() };
        limited(self.client()?.unregister(self.request(request))).await?;
        Ok(())
    }
}

/// What the controller says about who has the exporter.
pub(crate) fn lease(said: StatusResponse) -> Option<Lease> {
    let name = said.lease_name.filter(|name| said.leased && !name.is_empty())?;
    Some(Lease { name, client: said.client_name.unwrap_or_default() })
}

/// `HOST[:PORT]` of a controller, by default the port of HTTPS.
fn endpoint(place: &str) -> Result<Endpoint> {
    let wrong = |error: Error| error.context("`endpoint`");
    match Endpoint::parse(place) {
        Ok(endpoint @ Endpoint::Tcp { .. }) => Ok(endpoint),
        Ok(Endpoint::Unix(_)) => Err(Error::configuration(format!(
            "`endpoint`: {place:?} is a path; expected HOST:PORT of the controller"
        ))),
        Err(error) if place.contains("://") || place.is_empty() => Err(wrong(error)),
        Err(error) => Endpoint::parse(&format!("{place}:443")).map_err(|_| wrong(error)),
    }
}

fn security(file: &ExporterFile) -> Result<Security> {
    let insecure = |name| std::env::var(name).is_ok_and(|value| value == "1");
    if file.tls.insecure || insecure("JUMPSTARTER_GRPC_INSECURE") || insecure("JMP_GRPC_INSECURE") {
        return Ok(Security::Unverified);
    }
    let text: String = file.tls.ca.split_whitespace().collect();
    if text.is_empty() {
        return Ok(Security::Verified);
    }
    let pem = BASE64_STANDARD.decode(text).map_err(|error| {
        Error::configuration(format!("`tls.ca` is not the base64 of a certificate: {error}"))
    })?;
    Ok(Security::VerifiedBy(pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_without_a_port_is_on_that_of_https() {
        let place =
            |text| endpoint(text).map(|endpoint| endpoint.to_string()).map_err(|error| error.to_string());
        assert_eq!(place("grpc.lab.example.com"), Ok("grpc.lab.example.com:443".to_owned()));
        assert_eq!(place("grpc.lab.example.com:8082"), Ok("grpc.lab.example.com:8082".to_owned()));
        // pitfall K16
        assert_eq!(place("[2001:db8::1]:8082"), Ok("[2001:db8::1]:8082".to_owned()));
        assert!(place("https://lab:8082").unwrap_err().contains("leave out \"https\""));
        assert!(place("/run/lab").unwrap_err().contains("is a path"));
        assert!(place("").is_err());
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let refused = |status: Status| Failed::from(status).refused;
        assert!(
            refused(Status::unauthenticated("no"))
                && refused(Status::unknown("failed to authenticate token"))
        );
        assert!(!refused(Status::unavailable("later")) && !refused(Status::internal("later")));
        // Without an answer there is no refusal.
        let lost = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
        assert!(!refused(lost));
        assert!(Failed::from(Status::unimplemented("what?")).unknown);
        let certificate = Error::new(ErrorKind::Unauthenticated, "the server's certificate is not trusted");
        assert!(Failed::from(certificate).refused);
    }

    #[test]
    fn a_lease_without_a_name_is_none() {
        let said = |leased, name: &str| {
            lease(StatusResponse { leased, lease_name: Some(name.to_owned()), ..StatusResponse::default() })
        };
        assert_eq!(said(true, ""), None);
        assert_eq!(said(false, "a"), None);
        assert_eq!(said(true, "a"), Some(Lease { name: "a".to_owned(), client: String::new() }));
    }
}
