//! To a lab: through the socket in its folder, or from elsewhere with the administrator's token.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use clap::{Command, ValueHint};
use jumpstarter_lab::{Data, config::is_endpoint};
use jumpstarter_lease::Waits;
use jumpstarter_protocol::admin::v1::admin_service_client::AdminServiceClient;
use jumpstarter_transport::connect::{self, Channel, Endpoint, Options, Security};
use tonic::{
    Request, Status,
    body::Body,
    codegen::{Service, http},
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
};

use crate::{
    commands::{Invocation, serve},
    files,
    report::Stop,
    runtime,
    waiting::waits,
    words::{flag, option},
};

/// Holds the administrator's token, where no file is named.
const TOKEN: &str = "JMP_ADMIN_TOKEN";

pub(crate) type Client = AdminServiceClient<InterceptedService<Watched, Token>>;

/// A connection to a lab. Whoever waits for an answer is told so.
#[derive(Clone)]
pub(crate) struct Watched {
    channel: Channel,
    waits: Waits,
    lab: String,
}

impl Service<http::Request<Body>> for Watched {
    type Response = <Channel as Service<http::Request<Body>>>::Response;
    type Error = <Channel as Service<http::Request<Body>>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.channel, context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.channel.call(request);
        let (waits, lab) = (self.waits.clone(), self.lab.clone());
        Box::pin(async move { waits.over(&lab, answer).await })
    }
}

/// Sends a token along, if there is one.
#[derive(Clone)]
pub(crate) struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// The options of the whole group.
pub(crate) fn lab(command: Command) -> Command {
    command
        .arg(option("lab", "DIR", "The lab's folder").value_hint(ValueHint::DirPath))
        .arg(option(
            "endpoint",
            "HOST:PORT",
            "A lab on another machine; JMP_ADMIN_TOKEN holds the token, if no file does",
        ))
        .arg(
            option("token-file", "FILE", "File with the administrator's token: `admin.token` of the lab")
                .value_hint(ValueHint::FilePath),
        )
        .arg(
            option(
                "ca",
                "FILE",
                "Certificate (PEM) that the lab's own leads to: `tls/authority.pem` of the lab",
            )
            .value_hint(ValueHint::FilePath),
        )
        .arg(flag("clear-text", "Speak clear text with that lab: everybody on the way can read the token"))
}

/// Does something with a lab.
pub(super) fn with<T>(
    invocation: &Invocation<'_>,
    what: impl AsyncFnOnce(&mut Client) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let place = Place::of(invocation)?;
    invocation.log.start();
    runtime::single()?.block_on(async { what(&mut place.connect().await?).await })
}

/// The lab in this folder.
pub(crate) async fn here(folder: &Path) -> Result<Client, Stop> {
    let place = Place::here(folder)?;
    place.connect().await
}

/// Where a lab is, and how to get in.
struct Place {
    /// What messages call it.
    name: String,
    endpoint: Endpoint,
    options: Options,
    token: Token,
}

impl Place {
    async fn connect(self) -> Result<Client, Stop> {
        let waits = waits();
        let connecting = connect::connect(&self.endpoint, &self.options);
        let channel = waits.over(&self.name, connecting).await.map_err(|error| {
            let why = error.message().replace(
                connect::GIVE_CA,
                "name the lab's authority with --ca FILE, which is `tls/authority.pem` in its folder",
            );
            Stop::infrastructure(format!("{} does not answer: {why}", self.name))
        })?;
        let watched = Watched { channel, waits, lab: self.name };
        Ok(Client::new(InterceptedService::new(watched, self.token)))
    }

    fn of(invocation: &Invocation<'_>) -> Result<Self, Stop> {
        match (invocation.group("endpoint"), invocation.group("lab")) {
            (Some(_), Some(_)) => {
                Err(invocation.place.wrong("'--lab' is for a lab on this machine, '--endpoint' for another."))
            }
            (Some(endpoint), None) => Self::elsewhere(invocation, endpoint),
            (None, folder) => {
                let alone = ["token-file", "ca"].into_iter().find(|name| invocation.group(name).is_some());
                if let Some(name) = alone {
                    return Err(invocation.place.wrong(format!("'--{name}' needs '--endpoint'.")));
                }
                Self::here(&folder.map_or_else(serve::own, |folder| Ok(PathBuf::from(folder)))?)
            }
        }
    }

    fn here(folder: &Path) -> Result<Self, Stop> {
        let socket = Data::admin_socket(folder);
        let shown = folder.display();
        if !socket.exists() {
            return Err(Stop::infrastructure(format!(
                "no lab runs in {shown}: start it with `jmp serve --data {shown}`, or name its folder with --lab"
            )));
        }
        let socket =
            std::path::absolute(&socket).map_err(|error| Stop::configuration(files::reason(&error)))?;
        Ok(Self {
            name: format!("the lab in {shown}"),
            endpoint: Endpoint::Unix(socket),
            options: Options::default(),
            token: Token(None),
        })
    }

    fn elsewhere(invocation: &Invocation<'_>, endpoint: &str) -> Result<Self, Stop> {
        if !is_endpoint(endpoint) {
            return Err(invocation.place.wrong(format!("'--endpoint': {endpoint:?} is not HOST:PORT.")));
        }
        let token = match invocation.group("token-file") {
            Some(file) => String::from_utf8(files::bytes(file)?)
                .map_err(|_| Stop::configuration(format!("{file} holds no token: it is not text")))?,
            None => files::environment(TOKEN).ok_or_else(|| {
                invocation.place.wrong(format!("Who says that you may? Give '--token-file', or set {TOKEN}."))
            })?,
        };
        let token = MetadataValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| Stop::configuration("the administrator's token has characters that no token has"))?;
        let security = match (invocation.group("ca"), invocation.group_flag("clear-text")) {
            (Some(_), true) => {
                return Err(invocation.place.wrong("'--ca' makes no sense with '--clear-text'."));
            }
            (Some(file), false) => Security::VerifiedBy(files::authority(file)?),
            (None, true) => Security::ClearText,
            (None, false) => Security::Verified,
        };
        runtime::choose_tls();
        let parsed = Endpoint::parse(endpoint).map_err(|error| Stop::usage(error.message()))?;
        Ok(Self {
            name: format!("the lab at {endpoint}"),
            endpoint: parsed,
            options: Options { security, ..Options::default() },
            token: Token(Some(token)),
        })
    }
}
