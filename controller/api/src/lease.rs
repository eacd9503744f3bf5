//! Leases: an exporter for one client, for a while.

#![allow(clippy::duplicated_attributes, reason = "each printed column names its type and path")]
#![allow(unreachable_pub, reason = "a derivation repeats an item where nobody can reach it")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    Condition, GoDuration, LabelSelector, Reference, Time, condition, is_false, is_zero, labels::LEASE_HELD,
};

/// What is wanted of a lease.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "jumpstarter.dev",
    version = "v1alpha1",
    kind = "Lease",
    plural = "leases",
    namespaced,
    status = "LeaseStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "An exporter for one client, for a while.",
    printcolumn(name = "Ended", type_ = "boolean", json_path = ".status.ended"),
    printcolumn(name = "Client", type_ = "string", json_path = ".spec.clientRef.name"),
    printcolumn(name = "Exporter", type_ = "string", json_path = ".status.exporterRef.name")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["clientRef", "selector"]))]
#[x_kube(
    validation = kube::core::Rule::new(
        "(has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0) \
         || (has(self.selector.matchExpressions) && self.selector.matchExpressions.size() > 0) \
         || (has(self.exporterRef) && has(self.exporterRef.name) && self.exporterRef.name != '')"
    ).message("one of selector or exporterRef.name is required"),
    validation = kube::core::Rule::new("!has(oldSelf.tags) || (has(self.tags) && self.tags == oldSelf.tags)")
        .message("tags are immutable after creation"),
    validation = kube::core::Rule::new(
        "!has(oldSelf.context) || (has(self.context) && self.context == oldSelf.context)"
    ).message("context is immutable after creation"),
    validation = kube::core::Rule::new(
        "!has(self.context) || self.context.all(key, key.size() <= 32 && self.context[key].size() <= 64)"
    ).message("context keys max 32 chars, values max 64 chars")
)]
pub struct LeaseSpec {
    /// The client that it is for. It changes when the lease is handed over.
    pub client_ref: Reference,
    /// Which exporters will do.
    #[serde(default)]
    pub selector: LabelSelector,
    /// The one exporter that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exporter_ref: Option<Reference>,
    /// For how long, as `1h30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<GoDuration>,
    /// Not before; without it as soon as possible.
    #[serde(default, deserialize_with = "crate::time::optional", skip_serializing_if = "Option::is_none")]
    pub begin_time: Option<Time>,
    /// Until.
    #[serde(default, deserialize_with = "crate::time::optional", skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// Names for people and scripts, to find the lease by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 10))]
    pub tags: BTreeMap<String, String>,
    /// What the lease is for (a build, a commit); it appears in logs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub context: BTreeMap<String, String>,
    /// Whether the exporter in `exporterRef` will do even when it is disabled.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_disabled: bool,
    /// Ends the lease.
    #[serde(default, skip_serializing_if = "is_false")]
    pub release: bool,
}

/// What is so about a lease.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["ended"]))]
pub struct LeaseStatus {
    /// When it began.
    #[serde(default, deserialize_with = "crate::time::optional", skip_serializing_if = "Option::is_none")]
    pub begin_time: Option<Time>,
    /// When it ended.
    #[serde(default, deserialize_with = "crate::time::optional", skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// The exporter that it got. It stays when the lease has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exporter_ref: Option<Reference>,
    /// Whether it is over.
    #[serde(default)]
    #[schemars(transform = said)]
    pub ended: bool,
    /// The priority that the access policy gave it.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "crate::integer")]
    pub priority: i64,
    /// Whether it may be ended for somebody with better access.
    #[serde(default, skip_serializing_if = "is_false")]
    pub spot_access: bool,
    /// `Pending`, `Ready`, `Unsatisfiable`, `Invalid`: in the order in which they first came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Whoever writes a status says whether the lease has ended; nobody fills that in.
fn said(schema: &mut schemars::Schema) {
    schema.remove("default");
}

/// It waits for an exporter. Once true it is never set to false: clients take that for a failure.
pub const PENDING: &str = "Pending";
/// It has its exporter; or it had one, and the reason says why not any more.
pub const READY: &str = "Ready";
/// No exporter will do.
pub const UNSATISFIABLE: &str = "Unsatisfiable";
/// It makes no sense.
pub const INVALID: &str = "Invalid";

impl Lease {
    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.ended)
    }

    /// The exporter that it got.
    pub fn exporter(&self) -> Option<&str> {
        Reference::name(self.status.as_ref()?.exporter_ref.as_ref())
    }

    /// The one exporter that it asks for.
    pub fn wanted_exporter(&self) -> Option<&str> {
        Reference::name(self.spec.exporter_ref.as_ref())
    }

    /// Whether its client has said that it holds it: it looks at the lease until it gives it back.
    pub fn is_held(&self) -> bool {
        self.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(LEASE_HELD))
    }

    /// Whether a condition is true.
    pub fn is(&self, condition: &str) -> bool {
        self.status.as_ref().is_some_and(|status| condition::is_true(&status.conditions, condition))
    }
}
