//! Access policies: who may lease which exporters, for how long, before whom.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GoDuration, LabelSelector, is_false, is_zero};

/// Who may lease some exporters. As soon as a namespace has one policy, what no policy allows is refused.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "jumpstarter.dev",
    version = "v1alpha1",
    kind = "ExporterAccessPolicy",
    plural = "exporteraccesspolicies",
    namespaced,
    status = "ExporterAccessPolicyStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Who may lease which exporters, for how long, and before whom."
)]
#[serde(rename_all = "camelCase")]
pub struct ExporterAccessPolicySpec {
    /// Which exporters it is about; without it, all.
    #[serde(default, skip_serializing_if = "LabelSelector::is_empty")]
    pub exporter_selector: LabelSelector,
    /// What it allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Rule>,
}

/// One thing that a policy allows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// What to do to get access; told to clients that have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Higher ones come first.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "crate::integer")]
    pub priority: i64,
    /// For whom; nobody when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<From>,
    /// The longest lease that it allows, as `4h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_duration: Option<GoDuration>,
    /// Whether a lease may be ended for somebody with better access.
    #[serde(default, skip_serializing_if = "is_false")]
    pub spot_access: bool,
}

/// Some clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct From {
    /// By their labels; without it, all.
    #[serde(default, skip_serializing_if = "LabelSelector::is_empty")]
    pub client_selector: LabelSelector,
}

/// Nothing: a policy does not change by being applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExporterAccessPolicyStatus {}
