//! To a lab: through the socket in its folder, or from elsewhere with the administrator's token.

use std::path::{Path, PathBuf};

use clap::{Command, ValueHint};
use jumpstarter_lab::{Data, config::is_endpoint};
use jumpstarter_protocol::admin::v1::admin_service_client::AdminServiceClient;
use jumpstarter_transport::connect::{self, Channel, Endpoint, Options, Security};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
};

use crate::{
    commands::{Invocation, serve},
    files,
    report::Stop,
    runtime,
    words::{flag, option},
};

/// Holds the administrator's token, where no file is named.
const TOKEN: &str = "JMP_ADMIN_TOKEN";

pub(super) type Client = AdminServiceClient<InterceptedService<Channel, Token>>;

/// Sends a token along, if there is one.
#[derive(Clone)]
pub(super) struct Token(Option<MetadataValue<Ascii>>);

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
    runtime::single()?.block_on(async {
        let channel = connect::connect(&place.endpoint, &place.options)
            .await
            .map_err(|error| Stop::failed(format!("{} does not answer: {}", place.name, error.message())))?;
        what(&mut Client::new(InterceptedService::new(channel, place.token))).await
    })
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
            return Err(Stop::failed(format!(
                "no lab runs in {shown}: start it with `jmp serve --data {shown}`, or name its folder with --lab"
            )));
        }
        let socket = std::path::absolute(&socket).map_err(|error| Stop::failed(files::reason(&error)))?;
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
        let read = |path: &str| {
            std::fs::read(path)
                .map_err(|error| Stop::failed(format!("cannot read {path}: {}", files::reason(&error))))
        };
        let token = match invocation.group("token-file") {
            Some(file) => String::from_utf8(read(file)?)
                .map_err(|_| Stop::failed(format!("{file} holds no token: it is not text")))?,
            None => files::environment(TOKEN).ok_or_else(|| {
                invocation.place.wrong(format!("Who says that you may? Give '--token-file', or set {TOKEN}."))
            })?,
        };
        let token = MetadataValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| Stop::failed("the administrator's token has characters that no token has"))?;
        let security = match (invocation.group("ca"), invocation.group_flag("clear-text")) {
            (Some(_), true) => {
                return Err(invocation.place.wrong("'--ca' makes no sense with '--clear-text'."));
            }
            (Some(file), false) => Security::VerifiedBy(read(file)?),
            (None, true) => Security::ClearText,
            (None, false) => Security::Verified,
        };
        runtime::choose_tls();
        let parsed = Endpoint::parse(endpoint).map_err(|error| Stop::failed(error.message()))?;
        Ok(Self {
            name: format!("the lab at {endpoint}"),
            endpoint: parsed,
            options: Options { security, ..Options::default() },
            token: Token(Some(token)),
        })
    }
}
