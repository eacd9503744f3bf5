//! The file that gets a token: which one it is, and what a new one says.

use std::path::PathBuf;

use jumpstarter_core::config::client::DriverPolicy;
use jumpstarter_lease::{Choice, Unusable, choose, config};
use jumpstarter_login::{Lab, Target, Tokens};
use serde_json::Value;

use crate::{
    commands::{Invocation, client, credentials, exporter},
    files::{self, environment},
    prompt,
    report::Stop,
    tokens,
};

/// What a client is called for which nobody has a name.
const DEFAULT: &str = "default";

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Client,
    Exporter,
}

/// The file that gets a token.
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) file: PathBuf,
    /// The name that people call it by, if it has one.
    pub(super) alias: Option<String>,
    /// What is in it, if it is there.
    pub(super) content: Option<Value>,
}

impl Place {
    fn at(kind: Kind, file: PathBuf, alias: Option<String>) -> Result<Self, Stop> {
        let content = if file.exists() {
            let text = files::read(&file)?.text;
            let content: Value = serde_yaml::from_str(&text)
                .map_err(|error| Stop::configuration(format!("{}: {error}", file.display())))?;
            // What it is, before somebody signs in for nothing.
            let expected = if kind == Kind::Client { "ClientConfig" } else { "ExporterConfig" };
            if content["kind"].as_str().is_some_and(|kind| kind != expected) || !content.is_object() {
                return Err(Stop::configuration(format!("{} is no {expected}", file.display())));
            }
            Some(content)
        } else {
            None
        };
        Ok(Self { kind, file, alias, content })
    }

    fn client(alias: &str) -> Result<Self, Stop> {
        let known = config::clients(&environment).into_iter().find(|(known, _)| known == alias);
        let file = match known {
            Some((_, file)) => file,
            None => client::folder()?.join(format!("{alias}.yaml")),
        };
        Self::at(Kind::Client, file, Some(alias.to_owned()))
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.content.as_ref()?.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// It says that nobody has to prove his name.
    pub(super) fn is_insecure(&self) -> bool {
        self.content.as_ref().is_some_and(|content| content["tls"]["insecure"] == true)
    }
}

/// Which file is meant.
pub(super) fn place(invocation: &Invocation<'_>, named: Option<&str>) -> Result<Place, Stop> {
    let options = ["client", "client-config", "exporter", "exporter-config"];
    let given: Vec<_> = options.iter().filter_map(|name| Some((*name, invocation.text(name)?))).collect();
    let alias = |alias: &str, option: &str| credentials::check_alias(invocation.place, option, alias);
    let place = match given.as_slice() {
        [] => match choose(&Choice::Default, &environment) {
            Ok(chosen) => match chosen.file {
                Some(file) => Place::at(Kind::Client, file, Some(chosen.alias))?,
                None => {
                    return Err(Stop::configuration(
                        "JMP_NAMESPACE and JMP_NAME make up the client: name a file with --client or --client-config",
                    ));
                }
            },
            Err(Unusable::Nobody(_)) => {
                let name = named.unwrap_or(DEFAULT);
                alias(name, "TARGET")?;
                Place::client(name)?
            }
            Err(unusable) => return Err(unusable.into()),
        },
        [("client", name)] => {
            alias(name, "--client")?;
            Place::client(name)?
        }
        [("client-config", file)] => Place::at(Kind::Client, file.into(), None)?,
        [("exporter", name)] => {
            alias(name, "--exporter")?;
            let home = || Ok::<_, Stop>(files::own_exporters()?.join(format!("{name}.yaml")));
            let file = files::find_exporter(name).or_else(|_| home())?;
            Place::at(Kind::Exporter, file, Some((*name).to_owned()))?
        }
        [("exporter-config", file)] => Place::at(Kind::Exporter, file.into(), None)?,
        _ => {
            let list = options.map(|name| format!("--{name}")).join(", ");
            return Err(invocation
                .place
                .wrong(format!("Invalid value: only one of {list} should be specified")));
        }
    };
    // Whoever names another client means that one, also where there is a default.
    match named {
        Some(name)
            if place.kind == Kind::Client && place.alias.as_deref().is_some_and(|alias| alias != name) =>
        {
            alias(name, "TARGET")?;
            Place::client(name)
        }
        _ => Ok(place),
    }
}

/// What a new file says beside its token.
pub(super) struct New {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) endpoint: String,
    pub(super) ca: String,
    pub(super) insecure: bool,
    drivers: DriverPolicy,
}

impl New {
    pub(super) fn ask(
        invocation: &Invocation<'_>,
        target: Option<&Target>,
        lab: Option<&Lab>,
        place: &Place,
        insecure: bool,
    ) -> Result<Self, Stop> {
        let silent = invocation.flag("nointeractive");
        let given = |option: &str, said: Option<&str>, what: &str| match invocation.text(option).or(said) {
            Some(text) => Ok(text.to_owned()),
            None => prompt::missing(invocation.place, silent, option, what, prompt::ask),
        };
        let namespace = given("namespace", lab.and_then(|lab| lab.namespace.as_deref()), "Namespace")?;
        let name = given("name", target.and_then(|target| target.client.as_deref()), "Name in the lab")?;
        let endpoint =
            given("endpoint", lab.map(|lab| lab.grpc_endpoint.as_str()), "Where the lab is (HOST:PORT)")?;
        config::place(&endpoint)
            .map_err(|error| invocation.place.wrong(format!("Invalid value for '--endpoint': {error}")))?;
        let everything = invocation.flag("unsafe");
        let allow = match invocation.text("allow") {
            Some(list) => list.to_owned(),
            None if everything || place.kind == Kind::Exporter => String::new(),
            None => {
                let answer = if silent { None } else { prompt::ask_or_nothing(prompt::DRIVERS)? };
                answer.ok_or_else(|| {
                    invocation.place.wrong("--allow LIST or --unsafe is required in non-interactive mode.")
                })?
            }
        };
        let allow = credentials::patterns(&allow);
        let authority = lab.map(Lab::authority).transpose()?.flatten();
        Ok(Self {
            namespace,
            name,
            endpoint,
            // What the lab said it is known by is more than no proof at all.
            insecure: insecure && authority.is_none(),
            ca: authority.map(|pem| tokens::base64(&pem)).unwrap_or_default(),
            drivers: DriverPolicy { allow, everything },
        })
    }

    pub(super) fn text(self, kind: Kind, tokens: &Tokens) -> Result<String, Stop> {
        let Self { namespace, name, endpoint, ca, insecure, drivers } = self;
        let token = tokens.access.expose().to_owned();
        if kind == Kind::Client {
            let refresh = tokens.refresh.as_ref().map(|token| token.expose().to_owned());
            let DriverPolicy { allow, everything } = drivers;
            return client::Client {
                namespace,
                name,
                endpoint,
                ca,
                insecure,
                token,
                refresh,
                allow,
                everything,
            }
            .text();
        }
        exporter::Exporter { namespace, name, endpoint, ca, insecure, token }.text()
    }
}
