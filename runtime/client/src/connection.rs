//! [`Connection`]: one channel to a session, and the calls that concern the session as a whole.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use jumpstarter_core::{Error, ErrorKind, Result};
use jumpstarter_protocol::v1::{
    EndSessionRequest, ExporterStatus, GetReportResponse, GetStatusRequest,
    exporter_service_client::ExporterServiceClient,
};
use jumpstarter_transport::{
    connect::{self, Channel, Credentials, Endpoint, Security},
    server::MAX_MESSAGE,
    status::{self, Call},
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{Device, Logs};

/// How long the two small questions about a session may take. Over a half-open tunnel they would take for ever.
const QUESTION: Duration = Duration::from_secs(5);

/// Name of the variable that says where the session is.
pub const HOST: &str = "JUMPSTARTER_HOST";

/// How to connect, and how long to wait for what.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Protection, credentials, and how long connecting may take.
    pub connect: connect::Options,
    /// How long to wait for a peer that says nothing.
    pub patience: Patience,
}

/// How long to wait for a peer that says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a byte stream to open. Afterwards it counts as open, and a failure comes with the first read.
    pub stream: Duration,
    /// For a file's stream to be accepted; afterwards the call fails.
    pub resource: Duration,
    /// For data, once nothing but the other side can be the reason that none comes: for the rest of a file after the call
    /// that sends it has returned, and for the call after the file for it could not be read.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stream: Duration::from_secs(5),
            resource: Duration::from_mins(1),
            stall: Duration::from_secs(30),
        }
    }
}

/// A connection to a session. Cheap to clone; everything that is made from it shares its one channel, and belongs to the
/// tokio runtime that it was opened in.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    channel: Channel,
    place: String,
    patience: Patience,
    closed: CancellationToken,
}

/// What a session says about its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state; [`ExporterStatus::Unspecified`] for one that this version does not know.
    pub status: ExporterStatus,
    /// Words for people, possibly none.
    pub message: String,
    /// Grows by one with each report. Comparable within one connection only.
    pub version: u64,
    /// The state before, if there was one.
    pub previous: Option<ExporterStatus>,
}

/// What an exporter answers when it is asked to end its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndSession {
    /// Whether the end has begun. There is nothing to end without a lease.
    pub begun: bool,
    /// Words for people.
    pub message: String,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When there is no connection to be had, with the reason.
    pub async fn open(endpoint: &Endpoint, options: &Options) -> Result<Self> {
        let channel = connect::connect(endpoint, &options.connect).await?;
        Ok(Self::from_channel(channel, endpoint.to_string(), options.patience))
    }

    /// Uses a channel that exists already, for example through a tunnel. `place` names its far end in messages.
    pub fn from_channel(channel: Channel, place: impl Into<String>, patience: Patience) -> Self {
        Self(Arc::new(Shared { channel, place: place.into(), patience, closed: CancellationToken::new() }))
    }

    /// Connects to where the environment says, see [`from_env`]. `lookup` reads one variable.
    ///
    /// # Errors
    /// When a variable is missing or wrong, or there is no connection to be had.
    pub async fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let (endpoint, options) = from_env(lookup)?;
        Self::open(&endpoint, &options).await
    }

    /// The session's devices, as they are now. Asks the exporter each time.
    ///
    /// # Errors
    /// When the exporter does not answer, or its report makes no sense.
    pub async fn device(&self) -> Result<Device> {
        Device::from_report(self, self.report().await?)
    }

    /// The session's report as it is on the wire.
    ///
    /// # Errors
    /// When the exporter does not answer.
    pub async fn report(&self) -> Result<GetReportResponse> {
        let report = self.exporter()?.get_report(()).await;
        report
            .map(tonic::Response::into_inner)
            .map_err(|status| self.failed("asking for its report", &status))
    }

    /// What the exporter and its drivers say, from now on.
    pub fn logs(&self) -> Logs {
        Logs::subscribe(self.clone())
    }

    /// The session's state. Waits at most 5 s.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] from exporters that are too old to have one.
    pub async fn status(&self) -> Result<Status> {
        let answer =
            self.question("asking for its status", self.exporter()?.get_status(GetStatusRequest {})).await?;
        Ok(Status {
            status: answer.status(),
            version: answer.status_version,
            previous: answer.previous_status.map(|_| answer.previous_status()),
            message: answer.message.unwrap_or_default(),
        })
    }

    /// Asks the exporter to end the session: to run its hooks and give the devices back. It answers at once and goes on
    /// in the background; [`status`](Self::status) tells when it is done. Waits at most 5 s.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] from exporters that are too old to know the question.
    pub async fn end_session(&self) -> Result<EndSession> {
        let answer = self
            .question("asking it to end the session", self.exporter()?.end_session(EndSessionRequest {}))
            .await?;
        Ok(EndSession { begun: answer.success, message: answer.message.unwrap_or_default() })
    }

    async fn question<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T> {
        match tokio::time::timeout(QUESTION, call).await {
            Ok(answer) => {
                answer.map(tonic::Response::into_inner).map_err(|status| self.failed(what, &status))
            }
            Err(_) => {
                Err(Error::timeout(format!("the exporter at {} does not answer ({what})", self.0.place)))
            }
        }
    }

    fn failed(&self, what: &str, status: &tonic::Status) -> Error {
        let error = status::from_status(status, Call::Session);
        // Whoever passes calls on says that there is no way to the exporter, and why: that is not the exporter's answer.
        if status.code() == Code::Unavailable && StdError::source(status).is_none() {
            return error;
        }
        error.context(format_args!("the exporter at {}: {what}", self.0.place))
    }

    /// Ends what runs in the background for this connection, and refuses further calls. Calls and streams in progress go
    /// on until whoever holds them lets go of them; the channel closes with the last of them.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    /// Resolves when the connection was [closed](Self::close).
    pub async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Where the session is, for messages.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// How long to wait for a peer that says nothing.
    pub fn patience(&self) -> Patience {
        self.0.patience
    }

    /// The channel itself, for calls that this crate does not know.
    ///
    /// # Errors
    /// When the connection was closed.
    pub fn channel(&self) -> Result<Channel> {
        if self.0.closed.is_cancelled() {
            return Err(Error::disconnected(format!("the connection to {} was closed", self.0.place)));
        }
        Ok(self.0.channel.clone())
    }

    pub(crate) fn exporter(&self) -> Result<ExporterServiceClient<Channel>> {
        Ok(ExporterServiceClient::new(self.channel()?).max_decoding_message_size(MAX_MESSAGE))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.0.place)
    }
}

/// Where the session is and how to get there, as `jmp shell` tells the programs it starts.
///
/// | Variable | Meaning |
/// |---|---|
/// | `JUMPSTARTER_HOST` | absolute path of a socket, or `host:port` |
/// | `JMP_GRPC_INSECURE`, `JUMPSTARTER_GRPC_INSECURE` | `1`: **no encryption** for `host:port` |
/// | `JMP_GRPC_PASSPHRASE` | passphrase of a standalone exporter |
///
/// Elsewhere the same two variables mean encryption without verification. Here, where they come from `jmp shell`, they
/// mean clear text, as for the existing `j`.
///
/// # Errors
/// When a variable is missing or wrong; says what to write instead.
pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<(Endpoint, Options)> {
    let Some(host) = lookup(HOST).filter(|host| !host.is_empty()) else {
        return Err(Error::usage(format!(
            "{HOST} is not set: run this inside of `jmp shell`, or set it to a session's socket"
        )));
    };
    let endpoint = Endpoint::parse(&host).map_err(|error| error.context(HOST).with_kind(ErrorKind::Usage))?;
    let mut options = Options::default();
    let clear_text = ["JMP_GRPC_INSECURE", "JUMPSTARTER_GRPC_INSECURE"];
    if clear_text.into_iter().any(|name| lookup(name).as_deref() == Some("1")) {
        options.connect.security = Security::ClearText;
    }
    if let Some(passphrase) = lookup("JMP_GRPC_PASSPHRASE").filter(|text| !text.is_empty()) {
        options.connect.credentials =
            Credentials::passphrase(&passphrase).map_err(|error| error.context("JMP_GRPC_PASSPHRASE"))?;
    }
    Ok((endpoint, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn a_missing_host_says_where_to_run() {
        let error = from_env(environment(&[])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains("inside of `jmp shell`"), "{error}");
        assert!(from_env(environment(&[(HOST, "")])).is_err());
    }

    #[test]
    fn pitfall_t9_insecure_in_the_environment_of_a_shell_means_clear_text() {
        let host = (HOST, "localhost:8082");
        let (endpoint, options) = from_env(environment(&[host])).unwrap();
        assert_eq!(endpoint.to_string(), "localhost:8082");
        assert_eq!(options.connect.security, Security::Verified);
        for name in ["JMP_GRPC_INSECURE", "JUMPSTARTER_GRPC_INSECURE"] {
            let (_, options) = from_env(environment(&[host, (name, "1")])).unwrap();
            assert_eq!(options.connect.security, Security::ClearText);
            let (_, options) = from_env(environment(&[host, (name, "0")])).unwrap();
            assert_eq!(options.connect.security, Security::Verified);
        }
    }

    #[test]
    fn a_url_is_refused_with_what_to_write_instead() {
        let error = from_env(environment(&[(HOST, "unix:///run/s")])).unwrap_err();
        assert!(error.message().starts_with("JUMPSTARTER_HOST: "), "{error}");
        assert!(error.message().contains("\"/run/s\""), "{error}");
    }

    #[test]
    fn an_unsendable_passphrase_names_its_variable() {
        let error = from_env(environment(&[(HOST, "h:1"), ("JMP_GRPC_PASSPHRASE", "ä\n")])).unwrap_err();
        assert!(error.message().starts_with("JMP_GRPC_PASSPHRASE: "), "{error}");
    }
}
