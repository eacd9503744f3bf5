//! Which client this is: a file that was named, the user's own, or what the environment says.
//!
//! | Order | Client | The environment |
//! |---|---|---|
//! | 1 | the file that was named | fills what it does not say |
//! | 2 | `JMP_CLIENT_CONFIG`, then `JMP_CLIENT` | replaces what it says |
//! | 3 | `JMP_NAMESPACE` and `JMP_NAME` together | is all there is |
//! | 4 | the user's default, in `config.yaml` | replaces what it says |

use std::{
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use etcetera::BaseStrategy as _;
use jumpstarter_core::{
    Error, Result,
    config::{
        Problems,
        client::{self, ClientConfig, DriverPolicy, Environment, LeaseOptions},
        document::MAX_BYTES,
        encoding,
        encoding::Text,
        nearest,
        source::Secret,
        user,
    },
};
use jumpstarter_transport::{
    connect::{Endpoint, Security},
    grpc_options::GrpcOptions,
};

/// The port of a controller or router that names none, as gRPC has it.
const PORT: u16 = 443;

/// Which client is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The one that the environment or the user's own file says.
    #[default]
    Default,
    /// The one of this name among the user's.
    Alias(String),
    /// The one in this file.
    File(PathBuf),
}

/// A client that was chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What it says.
    pub config: ClientConfig,
    /// Its file, unless it is in the environment alone.
    pub file: Option<PathBuf>,
    /// What people call it: its alias, or its name in the environment.
    pub alias: String,
}

/// Why there is no client.
#[derive(Debug)]
pub enum Unusable {
    /// A file makes no sense; every problem of it.
    Problems(Problems),
    /// There is none of this name, or it cannot be read.
    Failed(String),
    /// None was named, and none is the default.
    Nobody(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problems(problems) => f.write_str(problems.render().trim_end()),
            Self::Failed(message) | Self::Nobody(message) => f.write_str(message),
        }
    }
}

impl From<Unusable> for Error {
    fn from(unusable: Unusable) -> Self {
        Self::configuration(unusable.to_string())
    }
}

/// What looks up one variable of the environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The user's folder for configuration: `JMP_CLIENT_CONFIG_HOME` itself, else `jumpstarter` below the XDG folder.
pub fn home(lookup: Lookup<'_>) -> Option<PathBuf> {
    let set = |name| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(home) = set("JMP_CLIENT_CONFIG_HOME") {
        return Some(home);
    }
    // The XDG convention on every platform: that is where the existing files are.
    let base = etcetera::base_strategy::Xdg::new().ok().map(|xdg| xdg.config_dir());
    set("XDG_CONFIG_HOME").or(base).map(|base| base.join("jumpstarter"))
}

/// The folder with the user's clients.
pub fn folder(lookup: Lookup<'_>) -> Option<PathBuf> {
    home(lookup).map(|home| home.join("clients"))
}

/// The files of the user's clients with their aliases, sorted.
pub fn clients(lookup: Lookup<'_>) -> Vec<(String, PathBuf)> {
    let entries = folder(lookup).and_then(|folder| std::fs::read_dir(folder).ok());
    let files = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = files.filter(|path| path.is_file()).filter_map(named).collect();
    found.sort();
    found
}

/// A client's file with its alias; whatever else is in the folder is none.
fn named(path: PathBuf) -> Option<(String, PathBuf)> {
    let ending = path.extension()?;
    let alias = path.file_stem()?.to_str()?.to_owned();
    let hidden = alias.starts_with('.');
    ((ending == "yaml" || ending == "yml") && !hidden).then_some((alias, path))
}

/// Whether a word can be an alias: it names a file without folder and ending.
pub fn is_alias(word: &str) -> bool {
    !(word.is_empty() || word == "." || word == ".." || word.contains(['/', '\\', '\0']))
}

/// The file of the client with this alias.
///
/// # Errors
/// When there is none; says which there are.
pub fn file(alias: &str, lookup: Lookup<'_>) -> Result<PathBuf, Unusable> {
    let failed = |why: String| Err(Unusable::Failed(format!("client {alias:?} {why}")));
    if !is_alias(alias) {
        return failed(
            "is no alias: it names a file without folder and ending; use --client-config for a path"
                .to_owned(),
        );
    }
    let known = clients(lookup);
    if let Some((_, path)) = known.iter().find(|(known, _)| known == alias) {
        return Ok(path.clone());
    }
    let Some(folder) = folder(lookup) else {
        return failed("does not exist: there is no home folder".to_owned());
    };
    let hint = match nearest(alias, known.iter().map(|(known, _)| known.as_str())) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => there_are(&known, "; there are: "),
    };
    failed(format!("does not exist: there is no {}{hint}", folder.join(format!("{alias}.yaml")).display()))
}

fn there_are(known: &[(String, PathBuf)], before: &str) -> String {
    if known.is_empty() {
        return String::new();
    }
    let names: Vec<_> = known.iter().map(|(alias, _)| alias.as_str()).collect();
    format!("{before}{}", names.join(", "))
}

/// The alias of the user's default client, if one was chosen.
///
/// # Errors
/// When the user's file cannot be read or makes no sense.
pub fn current(lookup: Lookup<'_>) -> Result<Option<String>, Unusable> {
    let Some(path) = home(lookup).map(|home| home.join("config.yaml")).filter(|path| path.exists()) else {
        return Ok(None);
    };
    let (name, text) = read(&path)?;
    let user = user::read(&name, &text).into_result().map_err(Unusable::Problems)?;
    Ok(user.config.current_client)
}

/// Finds the client that is meant, and reads it.
///
/// # Errors
/// When there is none, or its file makes no sense.
pub fn choose(choice: &Choice, lookup: Lookup<'_>) -> Result<Chosen, Unusable> {
    let set = |name| lookup(name).filter(|value| !value.is_empty());
    match choice {
        Choice::Alias(alias) => return load(&file(alias, lookup)?, lookup, Environment::Fills),
        Choice::File(path) => return load(path, lookup, Environment::Fills),
        Choice::Default => {}
    }
    if let Some(path) = set("JMP_CLIENT_CONFIG") {
        return load(Path::new(&path), lookup, Environment::Overrides);
    }
    if let Some(alias) = set("JMP_CLIENT") {
        return load(&file(&alias, lookup)?, lookup, Environment::Overrides);
    }
    if let Some(reading) = client::from_environment(lookup) {
        let config = reading.into_result().map_err(Unusable::Problems)?;
        let alias = config.metadata.name.clone().unwrap_or_default();
        return Ok(Chosen { config, file: None, alias });
    }
    match current(lookup)? {
        Some(alias) => {
            let path = file(&alias, lookup).map_err(|missing| match missing {
                Unusable::Failed(why) => Unusable::Failed(format!(
                    "the default {why}; choose another with `jmp config client use`"
                )),
                other => other,
            })?;
            load(&path, lookup, Environment::Overrides)
        }
        None => Err(Unusable::Nobody(format!(
            "none of --client, --client-config is specified, and default config is not set{}",
            there_are(&clients(lookup), "; choose one with `jmp config client use`: ")
        ))),
    }
}

/// Reads one client's file.
///
/// # Errors
/// When it cannot be read or makes no sense.
pub fn load(path: &Path, lookup: Lookup<'_>, mode: Environment) -> Result<Chosen, Unusable> {
    let (name, text) = read(path)?;
    let config = client::read(&name, &text, lookup, mode).into_result().map_err(Unusable::Problems)?;
    let alias = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Chosen { config, file: Some(path.to_owned()), alias })
}

fn read(path: &Path) -> Result<(String, String), Unusable> {
    let name = path.display().to_string();
    let failed = |why: &str| Unusable::Failed(format!("cannot read {name}: {why}"));
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // What is no file may keep its reader waiting for ever.
    let metadata = std::fs::metadata(path).map_err(|error| failed(&reason(&error)))?;
    if metadata.is_dir() {
        return Err(failed("it is a folder"));
    }
    std::fs::File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(&reason(&error)))?;
    if bytes.len() > MAX_BYTES {
        return Err(Unusable::Problems(
            encoding::too_long(&name, metadata.is_file().then_some(metadata.len())).into(),
        ));
    }
    match encoding::text(&name, bytes) {
        Text { text: Some(text), problems } if problems.is_empty() => Ok((name, text)),
        Text { problems, .. } => Err(Unusable::Problems(problems)),
    }
}

/// What the operating system says, without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(reason, _)| reason.to_lowercase())
}

/// Everything that is needed to speak with a controller.
#[derive(Clone, Debug)]
pub struct Access {
    /// What people call this client.
    pub alias: String,
    /// Where the controller is.
    pub endpoint: Endpoint,
    /// How connections to controller and router are protected.
    pub security: Security,
    /// The namespace.
    pub namespace: String,
    /// The client's name in it.
    pub name: String,
    /// How it proves who it is.
    pub token: Secret,
    /// What else is said about connections.
    pub grpc: GrpcOptions,
    /// How long to wait for what.
    pub limits: LeaseOptions,
    /// Which drivers may be used.
    pub drivers: DriverPolicy,
    /// Whether a shell reads the user's own start files.
    pub use_profiles: bool,
}

impl Access {
    /// Of a client that was chosen.
    ///
    /// # Errors
    /// What its configuration lacks, or has and cannot be used.
    pub fn new(chosen: &Chosen, lookup: Lookup<'_>) -> Result<Self, Unusable> {
        let config = &chosen.config;
        let lacking = config.for_controller();
        if !lacking.is_empty() {
            return Err(Unusable::Problems(lacking));
        }
        let (Some(endpoint), Some(token)) = (&config.endpoint, &config.token) else {
            return Err(Unusable::Failed("endpoint or token not set in client config".to_owned()));
        };
        let grpc = GrpcOptions::read(&config.grpc_options)
            .map_err(|error| Unusable::Failed(error.message().to_owned()))?;
        for option in grpc.unused() {
            tracing::warn!("grpcOptions: {option} has no effect in this program");
        }
        let insecure = ["JUMPSTARTER_GRPC_INSECURE", "JMP_GRPC_INSECURE"];
        let security =
            if config.tls.insecure || insecure.iter().any(|name| lookup(name).as_deref() == Some("1")) {
                Security::Unverified
            } else if config.tls.ca.trim().is_empty() {
                Security::Verified
            } else {
                let text: String = config.tls.ca.split_whitespace().collect();
                let pem = BASE64_STANDARD
                    .decode(text)
                    .map_err(|error| Unusable::Failed(format!("`tls.ca` is not base64: {error}")))?;
                Security::VerifiedBy(pem)
            };
        Ok(Self {
            alias: chosen.alias.clone(),
            endpoint: place(&endpoint.value)
                .map_err(|error| Unusable::Failed(format!("`endpoint`: {error}")))?,
            security,
            namespace: config.metadata.namespace.clone().unwrap_or_default(),
            name: config.metadata.name.clone().unwrap_or_default(),
            token: token.value.clone(),
            grpc,
            limits: config.leases,
            drivers: config.drivers.clone(),
            use_profiles: config.shell.use_profiles,
        })
    }
}

/// Where a controller or a router is: `host:port`, or `host` alone for the port of HTTPS.
///
/// # Errors
/// Says what to write instead.
pub fn place(text: &str) -> Result<Endpoint> {
    let text = text.trim();
    let named = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let bare = !text.contains('/')
        && !text.is_empty()
        && !text.rsplit_once(':').is_some_and(|(_, port)| named(port));
    let parsed = if bare { Endpoint::parse(&format!("{text}:{PORT}")) } else { Endpoint::parse(text) };
    match parsed {
        Ok(endpoint @ Endpoint::Tcp { .. }) => Ok(endpoint),
        Ok(Endpoint::Unix(_)) => Err(Error::usage(format!("{text:?} is no host:port"))),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_k16_endpoints_are_authorities_with_the_port_of_https_by_default() {
        for (text, expected) in [
            ("lab.example.com:8082", "lab.example.com:8082"),
            ("lab.example.com", "lab.example.com:443"),
            ("[::1]:8082", "[::1]:8082"),
            ("[::1]", "[::1]:443"),
        ] {
            assert_eq!(place(text).expect(text).to_string(), expected);
        }
        for text in ["", "https://lab:1", "/run/socket", "::1:8082", "lab:0"] {
            assert!(place(text).is_err(), "{text}");
        }
    }
}
