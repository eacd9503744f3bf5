//! The file that says how a lab is run: `jmp serve --config FILE`.
//!
//! Its keys are those of the existing controller's `config`, where both have them, so that a section can be moved as it is.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use jumpstarter_api::{GoDuration, labels};
use jumpstarter_core::{
    config::{self, Node, Problem, Problems, Subject},
    schemas,
    selector::{Labels, is_label_key, is_label_value},
};
use jumpstarter_identity::{External, JwtAuthenticator};
use jumpstarter_leasing::Settings as Leases;
use jumpstarter_service::clients::Policy;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::certificate::is_host_name;

/// Clients look at a lease every 5 s, and wait up to 10 s for the answer: one look may be missed.
const LEAST_CLIENT_TIMEOUT: Duration = Duration::from_secs(20);

/// The only value of `kind`.
pub const KIND: &str = "LabConfig";

/// The keys at the top of the file, in the order in which files are written.
pub const FILE_KEYS: &[&str] = &[
    "apiVersion",
    "kind",
    "authentication",
    "provisioning",
    "leasePolicy",
    "exporterOptions",
    "hiddenLabels",
    "deprecatedLabels",
    "routers",
];

/// How a lab is run. What is left out is as it is without a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct LabConfig {
    #[schemars(skip)]
    api_version: Option<Version>,
    #[schemars(skip)]
    kind: Option<Kind>,
    /// Whose tokens are believed.
    pub authentication: Authentication,
    /// Whether people whom an identity provider knows become clients by themselves.
    pub provisioning: Provisioning,
    /// What leases may have.
    pub lease_policy: LeasePolicy,
    /// When an exporter counts as gone.
    pub exporter_options: ExporterOptions,
    /// Labels of exporters that are not shown to clients.
    pub hidden_labels: HiddenLabels,
    /// Labels of exporters that will go away.
    pub deprecated_labels: DeprecatedLabels,
    /// Routers on other machines, by name. The lab's own is always there as well.
    #[schemars(extend("examples" = [{ "north": { "endpoint": "north.example.com:8083", "labels": { "site": "north" } } }]))]
    pub routers: BTreeMap<String, RouterEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Version {
    #[serde(rename = "jumpstarter.dev/v1alpha1")]
    V1Alpha1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Kind {
    LabConfig,
}

/// Whose tokens are believed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Authentication {
    /// The lab's own tokens.
    pub internal: Internal,
    /// Tokens of others (OpenID Connect): `JWTAuthenticator`s as Kubernetes has them.
    #[schemars(extend("examples" = [[{
        "issuer": { "url": "https://dex.example.com:5556", "audiences": ["jumpstarter-cli"] },
        "claimMappings": { "username": { "claim": "name", "prefix": "dex:" } },
    }]]))]
    pub jwt: Vec<JwtAuthenticator>,
}

/// The lab's own tokens.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Internal {
    /// How long a new token is valid, such as `8760h`: hours, minutes and seconds. A year if absent.
    #[schemars(extend("examples" = ["8760h"]))]
    pub token_lifetime: Option<GoDuration>,
    /// What tokens are signed with.
    pub key: KeyOrigin,
}

/// What tokens are signed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyOrigin {
    /// A key that is made by chance at the first start and kept in the lab's folder.
    #[default]
    Random,
    /// The key that the existing controller derives from the variable `CONTROLLER_KEY`, so that its tokens stay good.
    /// Whoever has one of them can find it by trying: for a move only.
    ControllerKey,
}

/// Whether people whom an identity provider knows become clients by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Provisioning {
    /// Whether a client is made for whoever comes with a good token of another issuer for the first time.
    pub enabled: bool,
}

/// What leases may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct LeasePolicy {
    /// How many tags a lease may have.
    #[schemars(range(min = 1, max = 10))]
    pub max_tags: usize,
    /// How long a lease goes on when its client has gone without giving it back; `0s`: to its end. Clients that hold a lease
    /// (`jmp shell`, tests) look at it every few seconds; what `jmp create lease` makes is held by nobody, and lasts. Hours,
    /// minutes and seconds, 20 s or more.
    #[schemars(extend("default" = "5m"))]
    pub client_timeout: GoDuration,
}

impl Default for LeasePolicy {
    fn default() -> Self {
        let abandoned = Leases::default().abandoned_after;
        Self { max_tags: Policy::default().most_tags, client_timeout: abandoned.unwrap_or_default().into() }
    }
}

/// When an exporter counts as gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct ExporterOptions {
    /// An exporter that has not been connected for this long is offline. Hours, minutes and seconds, such as `1m30s`. That a
    /// connection is dead is found out within half a minute.
    #[schemars(extend("default" = "1m"))]
    pub offline_timeout: GoDuration,
    /// An exporter that has been offline for this long loses its lease; `0s`: never. Hours, minutes and seconds.
    #[schemars(extend("default" = "5m"))]
    pub lost_timeout: GoDuration,
}

impl Default for ExporterOptions {
    fn default() -> Self {
        let leases = Leases::default();
        Self {
            offline_timeout: leases.offline_after.into(),
            lost_timeout: leases.lost_after.unwrap_or_default().into(),
        }
    }
}

/// Labels of exporters that are not shown to clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct HiddenLabels {
    /// Their keys. A client that asks for hidden labels sees them.
    #[schemars(extend("examples" = [["rack"]]))]
    pub keys: Vec<String>,
}

/// Labels of exporters that will go away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct DeprecatedLabels {
    /// Their keys, and for each what to use instead. They are not shown; clients that select by them are told.
    #[schemars(extend("examples" = [{ "board-type": "use `board`" }]))]
    pub keys: BTreeMap<String, String>,
}

/// A router on another machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RouterEntry {
    /// Where clients and exporters reach it, `HOST:PORT`.
    #[schemars(extend("examples" = ["north.example.com:8083"]))]
    pub endpoint: String,
    /// What it is near to: exporters with the same labels prefer it.
    #[serde(default)]
    #[schemars(extend("examples" = [{ "site": "north" }]))]
    pub labels: Labels,
    /// How the lab looks whether it is there.
    #[serde(default)]
    pub tls: RouterTls,
}

/// How the lab looks whether a router is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct RouterTls {
    /// Path of a file with certificates (PEM) that the router's must lead to. Absent: those that this machine trusts.
    #[schemars(extend("examples" = ["/etc/lab/north-ca.crt"]))]
    pub ca: Option<String>,
    /// Whether any certificate will do. No secret goes to the router from here.
    pub insecure: bool,
    /// Whether it speaks clear text.
    pub clear_text: bool,
}

impl LabConfig {
    /// Reads a text. `name` is what messages call it.
    ///
    /// # Errors
    /// Everything that is wrong with it, with places.
    pub fn read(name: &str, text: &str) -> Result<Self, Problems> {
        let parsed = config::parse(name, text);
        let (source, mut problems) = (parsed.source, parsed.problems);
        let Some(document) = parsed.document else { return Err(problems) };
        let mut read = None;
        match config::decode_checked::<Self>(&document.root, &schema(), &Subject::new("a lab file", "")) {
            Ok(config) => {
                let mut wrong = Problems::new();
                config.check(&document.root, &mut wrong);
                problems.append(wrong);
                read = Some(config);
            }
            Err(wrong) => problems.append(wrong),
        }
        problems.attach(&source);
        match read {
            Some(config) => problems.into_result(config),
            None => Err(problems),
        }
    }

    /// What no schema says.
    fn check(&self, root: &Node, problems: &mut Problems) {
        let mut wrong = |path: &[&str], message: String| {
            let mut place = root;
            for key in path {
                place = place.get(key).unwrap_or(place);
            }
            problems.push(Problem::error(message).at(place).path(path.join(".")));
        };
        let internal = &self.authentication.internal;
        if internal.token_lifetime.is_some_and(|lifetime| !lifetime.is_positive()) {
            let path = ["authentication", "internal", "tokenLifetime"];
            wrong(&path, "a token must be valid for some time: write for example `8760h`".to_owned());
        }
        if !self.exporter_options.offline_timeout.is_positive() {
            let message = "an exporter needs time to connect again: write for example `1m`";
            wrong(&["exporterOptions", "offlineTimeout"], message.to_owned());
        }
        if self.exporter_options.lost_timeout.signed().is_negative() {
            wrong(
                &["exporterOptions", "lostTimeout"],
                "this is less than nothing: write for example `5m`".to_owned(),
            );
        }
        let patience = self.lease_policy.client_timeout.signed();
        if patience.is_negative() || (!patience.is_zero() && patience.unsigned_abs() < LEAST_CLIENT_TIMEOUT) {
            wrong(
                &["leasePolicy", "clientTimeout"],
                "clients may be silent for some seconds: write 20 s or more, for example `5m`, or `0s` to wait for ever"
                    .to_owned(),
            );
        }
        for (name, router) in &self.routers {
            for (key, value) in &router.labels {
                if !is_label_key(key) {
                    wrong(
                        &["routers", name, "labels", key],
                        format!("`{key}` is not the key of a label: {}", labels::RULE),
                    );
                }
                if !is_label_value(value) {
                    let message = format!("`{value}` is not the value of a label: {}", labels::RULE);
                    wrong(&["routers", name, "labels", key], message);
                }
            }
            if !is_endpoint(&router.endpoint) {
                wrong(
                    &["routers", name, "endpoint"],
                    format!("`{}` is not HOST:PORT, such as north.example.com:8083", router.endpoint),
                );
            }
        }
        let listed = root.get("authentication").and_then(|node| node.get("jwt"));
        for (index, issuer) in self.authentication.jwt.iter().enumerate() {
            if let Err(message) = External::new(issuer) {
                let place = listed.and_then(|list| list.as_seq()?.get(index)).unwrap_or(root);
                let path = format!("authentication.jwt[{index}]");
                problems.push(Problem::error(message).at(place).path(path));
            }
        }
    }

    /// How leases are dealt with.
    pub fn leases(&self) -> Leases {
        let std = |duration: GoDuration| duration.signed().unsigned_abs();
        let lost = self.exporter_options.lost_timeout;
        let mut leases = Leases::default();
        leases.offline_after = std(self.exporter_options.offline_timeout);
        leases.lost_after = lost.is_positive().then(|| std(lost));
        let abandoned = self.lease_policy.client_timeout;
        leases.abandoned_after = abandoned.is_positive().then(|| std(abandoned));
        leases
    }

    /// What clients are shown, and what they may say.
    pub fn policy(&self) -> Policy {
        Policy {
            most_tags: self.lease_policy.max_tags,
            hidden: self.hidden_labels.keys.clone(),
            deprecated: self.deprecated_labels.keys.clone(),
        }
    }
}

/// Whether a text is `HOST:PORT`: the name of a machine, an IPv4 address, or an IPv6 address in brackets; and without a scheme.
pub fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok() || is_host_name(host),
    };
    is_host
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Schema of the file.
pub fn schema() -> Value {
    schemas::file::<LabConfig>(
        KIND,
        "Lab file",
        "How a lab is run: whose tokens are believed, what clients are shown, and \
                               which routers there are.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port_and_nothing_else() {
        for good in
            ["north.example.com:8083", "localhost:1", "192.0.2.1:65535", "[2001:db8::1]:8083", "my_lab:80"]
        {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in [
            "north",
            ":8083",
            "north:",
            "north:0",
            "north:+1",
            "north:65536",
            "http://north:1",
            "https://north",
            "north:1/",
            "2001:db8::1:8083",
            "[north]:1",
            "[192.0.2.1]:1",
            "no name:1",
            "bad!:1",
            "me@north:1",
            "north:1:2",
        ] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }
}
