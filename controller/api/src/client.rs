//! Clients: people and programs that lease exporters.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, Reference, Time};

/// What is wanted of a client.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "jumpstarter.dev",
    version = "v1alpha1",
    kind = "Client",
    plural = "clients",
    namespaced,
    status = "ClientStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Somebody who leases exporters: a person, or a program such as a pipeline.",
    printcolumn(name = "Token Expires", type_ = "string", json_path = ".status.tokenExpiresAt")
)]
#[serde(rename_all = "camelCase")]
pub struct ClientSpec {
    /// Who may act as this client besides the holder of its token, as an identity provider names them: `dex:alice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// What is so about a client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientStatus {
    /// `TokenExpiring`: whether its token has to be replaced soon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The Secret that holds its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Reference>,
    /// Where its controller is, `HOST:PORT` without a scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// When its token ends.
    #[serde(default, deserialize_with = "crate::time::optional", skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Time>,
}
