//! Which services there are, what they are set up with, and how they are opened.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use jumpstarter::{Error, Result, time::Duration};
use opendal::{Configurator, Operator, services};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// A service that `scheme:` can name.
struct Service {
    scheme: &'static str,
    /// What brings it; nothing if it is always there.
    feature: Option<&'static str>,
    /// What it is set up with; only known of services that are built in.
    keys: Option<fn() -> Vec<String>>,
    /// Further names for some of these.
    aliases: &'static [&'static str],
}

/// The keys of a configuration: those that it has when written down.
#[cfg_attr(
    not(feature = "web"),
    expect(clippy::unnecessary_wraps, reason = "other services may not be there")
)]
fn keys<C: Configurator + Serialize + Default>() -> Vec<String> {
    match serde_json::to_value(C::default()) {
        Ok(serde_json::Value::Object(keys)) => keys.into_iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    }
}

macro_rules! services {
    ($($scheme:literal: $config:ident $(if $feature:literal)? $(also $aliases:expr)?;)*) => {
        /// One line per service. A new one also needs a feature in `Cargo.toml`.
        const SERVICES: &[Service] = &[$(services!(@one $scheme, $config, [$($feature)?], [$($aliases)?])),*];
    };
    (@one $scheme:literal, $config:ident, [], [$($aliases:expr)?]) => {
        Service {
            scheme: $scheme,
            feature: None,
            keys: Some(keys::<services::$config>),
            aliases: services!(@aliases $($aliases)?),
        }
    };
    (@one $scheme:literal, $config:ident, [$feature:literal], [$($aliases:expr)?]) => {
        Service {
            scheme: $scheme,
            feature: Some($feature),
            #[cfg(feature = $feature)]
            keys: Some(keys::<services::$config>),
            #[cfg(not(feature = $feature))]
            keys: None,
            aliases: services!(@aliases $($aliases)?),
        }
    };
    (@aliases) => { &[] };
    (@aliases $aliases:expr) => { $aliases };
}

services! {
    "azblob": AzblobConfig if "services-azblob";
    "azdls": AzdlsConfig if "services-azdls";
    "azfile": AzfileConfig if "services-azfile";
    "b2": B2Config if "services-b2";
    "cos": CosConfig if "services-cos";
    "fs": FsConfig;
    "gcs": GcsConfig if "services-gcs";
    "github": GithubConfig if "services-github";
    "http": HttpConfig if "services-http";
    "memory": MemoryConfig;
    "obs": ObsConfig if "services-obs";
    "oss": OssConfig if "services-oss";
    "s3": S3Config if "services-s3" also S3_ALIASES;
    "swift": SwiftConfig if "services-swift";
    "webdav": WebdavConfig if "services-webdav";
    "webhdfs": WebhdfsConfig if "services-webhdfs";
}

/// What the library takes beside the names of its own configuration of S3.
const S3_ALIASES: &[&str] = &[
    "aws_access_key_id",
    "aws_bucket",
    "aws_bucket_name",
    "aws_checksum_algorithm",
    "aws_endpoint",
    "aws_endpoint_url",
    "aws_profile",
    "aws_region",
    "aws_request_payer",
    "aws_secret_access_key",
    "aws_server_side_encryption",
    "aws_session_token",
    "aws_sse_customer_key_base64",
    "aws_sse_kms_key_id",
    "aws_token",
    "aws_virtual_hosted_style_request",
    "bucket_name",
    "endpoint_url",
    "request_payer",
    "token",
    "virtual_hosted_style_request",
];

/// The service behind a storage: `fs`, `memory`, `s3`, `http` and so on.
#[derive(Clone, Copy)]
pub struct Scheme(&'static Service);

impl Scheme {
    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.scheme
    }

    /// Whether its files are files of this machine.
    pub(crate) fn is_fs(self) -> bool {
        self.0.scheme == services::FS_SCHEME
    }

    /// Whether it answers without waiting for anybody.
    pub(crate) fn is_local(self) -> bool {
        self.is_fs() || self.0.scheme == services::MEMORY_SCHEME
    }

    fn find(name: &str) -> Result<Self, String> {
        let known = SERVICES.iter().find(|service| service.scheme == name);
        match known {
            Some(service) if service.keys.is_some() => Ok(Self(service)),
            Some(Service { feature: Some(feature), .. }) => Err(format!(
                "scheme `{name}` is not built into this program: build it with the feature `{feature}` of \
                 jumpstarter-driver-storage; {}",
                Self::built_in()
            )),
            _ => Err(format!("unknown scheme `{name}`; {}", Self::all())),
        }
    }

    fn built_in() -> String {
        let names: Vec<_> = SERVICES.iter().filter(|s| s.keys.is_some()).map(|s| s.scheme).collect();
        format!("built in: {}", names.join(", "))
    }

    fn all() -> String {
        let others: Vec<_> = SERVICES
            .iter()
            .filter(|service| service.keys.is_none())
            .filter_map(|service| Some(format!("{} ({})", service.scheme, service.feature?)))
            .collect();
        if others.is_empty() {
            return Self::built_in();
        }
        format!("{}; with a feature of jumpstarter-driver-storage: {}", Self::built_in(), others.join(", "))
    }

    /// Opens it.
    ///
    /// # Errors
    /// When a key is unknown or missing, or a value makes no sense.
    pub(crate) fn open(self, options: BTreeMap<String, String>, patience: Duration) -> Result<Operator> {
        let operator = self.set_up(options)?;
        if self.is_local() { Ok(operator) } else { web(operator, patience) }
    }

    /// Why it could never be opened with these.
    pub(crate) fn refuses(self, mut options: BTreeMap<String, String>) -> Option<Error> {
        if self.is_local() {
            // Setting one up makes its folder.
            return None;
        }
        let is_region = |key: &String| key.to_ascii_lowercase().ends_with("region");
        if self.keys().iter().any(is_region) && !options.keys().any(is_region) {
            // The exporter's environment may say which.
            options.insert("region".to_owned(), "any".to_owned());
        }
        self.set_up(options).err()
    }

    /// What it can be set up with.
    fn keys(self) -> Vec<String> {
        self.0.keys.map(|keys| keys()).unwrap_or_default()
    }

    /// Sets it up, without a connection to anything. A service of files makes its folder.
    ///
    /// # Errors
    /// As [`Scheme::open`].
    fn set_up(self, options: BTreeMap<String, String>) -> Result<Operator> {
        let known = self.keys();
        let unknown = options.keys().find(|key| {
            let key = key.to_ascii_lowercase();
            !known.contains(&key) && !self.0.aliases.contains(&key.as_str())
        });
        if let Some(unknown) = unknown {
            return Err(Error::configuration(format!(
                "unknown key `{unknown}` in `kwargs` of scheme `{self}`; known keys: {}",
                known.join(", ")
            )));
        }
        opendal::init_default_registry();
        Operator::via_iter(self.name(), options).map_err(|error| {
            // The library says of some settings only below that they are missing.
            let below = std::error::Error::source(&error).map(|source| format!(": {source}"));
            let text = format!("{}{}", error.message(), below.unwrap_or_default());
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let missing = words.find_map(|word| known.iter().find(|key| *key == word));
            // Some are named as people would.
            let missing = missing.or_else(|| {
                known.iter().find(|key| key.contains('_') && text.contains(&key.replace('_', " ")))
            });
            let remedy = missing.map(|key| format!(": set `{key}`")).unwrap_or_default();
            let text = format!("`kwargs` of scheme `{self}`: {text}{remedy}");
            Error::configuration(text).caused_by(error)
        })
    }
}

/// Adds to the schema of a configuration what each service can and must be set up with.
pub(crate) fn with_keys(schema: &mut schemars::Schema) {
    let of_service = |service: &Service| {
        let mut keys = service.keys?();
        keys.extend(service.aliases.iter().map(|alias| (*alias).to_owned()));
        let known: serde_json::Map<_, _> = keys.into_iter().map(|key| (key, true.into())).collect();
        let mut kwargs = serde_json::json!({ "properties": known, "additionalProperties": false });
        if service.scheme == services::FS_SCHEME {
            kwargs["required"] = serde_json::json!(["root"]);
        }
        Some(serde_json::json!({
            "if": { "properties": { "scheme": { "const": service.scheme } }, "required": ["scheme"] },
            "then": { "properties": { "kwargs": kwargs } },
        }))
    };
    let all: Vec<_> = SERVICES.iter().filter_map(of_service).collect();
    schema.insert("allOf".to_owned(), all.into());
}

/// Has it use an HTTP client that does not wait for ever.
#[cfg(feature = "web")]
fn web(operator: Operator, patience: Duration) -> Result<Operator> {
    use opendal::{HttpTransporter, OperationContext};
    use opendal_http_transport_reqwest::ReqwestTransport;

    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Error::internal(
            "no TLS provider is installed; a program must call rustls' CryptoProvider::install_default before it uses TLS",
        ));
    }
    let client = reqwest::Client::builder().connect_timeout(patience).read_timeout(patience).build();
    let client = client.map_err(|error| Error::internal(format!("an HTTP client: {error}")))?;
    let transport = HttpTransporter::new(ReqwestTransport::new(client));
    Ok(operator.with_context(OperationContext::new().with_http_transport(transport)))
}

#[cfg(not(feature = "web"))]
fn web(operator: Operator, _: Duration) -> Result<Operator> {
    Ok(operator)
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scheme({})", self.name())
    }
}

impl<'de> Deserialize<'de> for Scheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::find(&name).map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for Scheme {
    fn schema_name() -> Cow<'static, str> {
        "Scheme".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // Those that this program has: a file that names another one is refused.
        let names: Vec<_> =
            SERVICES.iter().filter(|service| service.keys.is_some()).map(|service| service.scheme).collect();
        schemars::json_schema!({
            "type": "string",
            "enum": names,
            "description": "The service behind a storage. `fs` and `memory` are always there, `http` and `s3` unless they \
                            were left out; others have to be built in.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(options: &[(&str, &str)]) -> BTreeMap<String, String> {
        options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// Continuous integration runs this with all features.
    #[test]
    fn every_service_that_is_built_in_is_known_to_the_library_and_says_what_it_needs() {
        let built_in: Vec<_> = SERVICES.iter().filter(|service| service.keys.is_some()).collect();
        let expected = SERVICES.iter().filter(|service| match service.feature {
            None => true,
            Some("services-http") => cfg!(feature = "services-http"),
            Some("services-s3") => cfg!(feature = "services-s3"),
            Some(_) => cfg!(feature = "services-gcs"),
        });
        assert_eq!(built_in.len(), expected.count());
        for service in built_in {
            let scheme = Scheme(service);
            assert!(!scheme.keys().is_empty(), "{scheme} has no settings");
            if scheme.is_fs() {
                continue;
            }
            // Nothing that was not said is needed, or it is named: a library without the service has other words.
            if let Err(error) = scheme.set_up(BTreeMap::new()) {
                let text = error.message();
                assert!(text.contains(": set `"), "{scheme}: {text}");
            }
        }
    }

    #[test]
    fn an_unknown_scheme_says_what_there_is_and_which_feature_brings_the_rest() {
        let error = Scheme::find("floppy").unwrap_err();
        assert!(error.starts_with("unknown scheme `floppy`; built in: "), "{error}");
        assert!(error.contains("fs, "), "{error}");
        #[cfg(not(feature = "services-gcs"))]
        {
            let error = Scheme::find("gcs").unwrap_err();
            assert!(error.contains("the feature `services-gcs` of jumpstarter-driver-storage"), "{error}");
        }
    }

    #[test]
    fn every_service_that_is_built_in_says_what_it_is_set_up_with() {
        for service in SERVICES {
            if let Some(keys) = service.keys {
                assert!(keys().contains(&"root".to_owned()), "{}: {:?}", service.scheme, keys());
            }
        }
    }

    #[test]
    fn a_key_that_a_service_does_not_have_is_refused() {
        let open = |scheme, given: &[(&str, &str)]| {
            Scheme::find(scheme).unwrap().open(options(given), Duration::from_secs(1))
        };
        let error = open("fs", &[("rot", "/tmp")]).unwrap_err();
        assert_eq!(
            error.message(),
            "unknown key `rot` in `kwargs` of scheme `fs`; known keys: atomic_write_dir, root"
        );
        let error = open("fs", &[]).unwrap_err();
        assert_eq!(error.message(), "`kwargs` of scheme `fs`: root is not specified: set `root`");
        open("memory", &[]).unwrap();
    }

    #[cfg(feature = "services-s3")]
    #[test]
    fn every_further_name_is_one_that_the_library_takes() {
        // What the library does not know it ignores, so each name has to make a difference.
        let plain = services::S3Config::default();
        for alias in S3_ALIASES {
            let value = if alias.contains("style") || alias.ends_with("payer") { "true" } else { "x" };
            let config = services::S3Config::from_iter(options(&[(alias, value)])).unwrap();
            assert_ne!(
                serde_json::to_value(&config).unwrap(),
                serde_json::to_value(&plain).unwrap(),
                "{alias} is ignored"
            );
        }
    }
}
