//! Exporters: hosts of devices.

#![allow(clippy::duplicated_attributes, reason = "each printed column names its type and path")]

use std::collections::BTreeMap;

use jumpstarter_protocol::v1;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, Reference, Time, condition, labels};

/// What is wanted of an exporter.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "jumpstarter.dev",
    version = "v1alpha1",
    kind = "Exporter",
    plural = "exporters",
    namespaced,
    status = "ExporterStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A host of devices that can be leased.",
    printcolumn(name = "Enabled", type_ = "boolean", json_path = ".spec.enabled"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.exporterStatus"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.statusMessage", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct ExporterSpec {
    /// Who may act as this exporter besides the holder of its token, as an identity provider names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Whether it is given to new leases. A lease that has it keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
}

/// What is so about an exporter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExporterStatus {
    /// `Registered`: whether it has told what it has. `Online`: whether it answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The Secret that holds its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Reference>,
    /// What it has, as it told when it registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// The lease that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ref: Option<Reference>,
    /// When it was last heard of.
    #[serde(default, deserialize_with = "crate::time::optional", skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Time>,
    /// Where its controller is, `HOST:PORT` without a scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What it does, as it told last. Absent: it never told.
    #[serde(default, deserialize_with = "state", skip_serializing_if = "Option::is_none")]
    pub exporter_status: Option<ExporterState>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
}

/// One driver instance that an exporter has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// Its identity in this session.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uuid: String,
    /// The instance that it belongs to. The name of this field is in snake case for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_uuid: Option<String>,
    /// What its driver says about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What an exporter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ExporterState {
    /// Not told, or not known to this version.
    Unspecified,
    /// It is going away or gone.
    Offline,
    /// It can be leased.
    Available,
    /// It prepares for a lease.
    BeforeLeaseHook,
    /// It serves a lease.
    LeaseReady,
    /// It tidies up after a lease.
    AfterLeaseHook,
    /// It could not prepare for a lease.
    BeforeLeaseHookFailed,
    /// It could not tidy up.
    AfterLeaseHookFailed,
}

impl ExporterState {
    /// Each state, its name in objects, and its number on the wire.
    pub const ALL: [(Self, &'static str, v1::ExporterStatus); 8] = [
        (Self::Unspecified, "Unspecified", v1::ExporterStatus::Unspecified),
        (Self::Offline, "Offline", v1::ExporterStatus::Offline),
        (Self::Available, "Available", v1::ExporterStatus::Available),
        (Self::BeforeLeaseHook, "BeforeLeaseHook", v1::ExporterStatus::BeforeLeaseHook),
        (Self::LeaseReady, "LeaseReady", v1::ExporterStatus::LeaseReady),
        (Self::AfterLeaseHook, "AfterLeaseHook", v1::ExporterStatus::AfterLeaseHook),
        (Self::BeforeLeaseHookFailed, "BeforeLeaseHookFailed", v1::ExporterStatus::BeforeLeaseHookFailed),
        (Self::AfterLeaseHookFailed, "AfterLeaseHookFailed", v1::ExporterStatus::AfterLeaseHookFailed),
    ];

    /// Its name in objects.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(state, ..)| *state == self).map_or("Unspecified", |(_, name, _)| name)
    }

    /// Its number on the wire.
    pub fn to_wire(self) -> v1::ExporterStatus {
        Self::ALL
            .iter()
            .find(|(state, ..)| *state == self)
            .map_or(v1::ExporterStatus::Unspecified, |(.., wire)| *wire)
    }

    /// From a number on the wire; one that is not known is [`Self::Unspecified`].
    pub fn from_wire(number: i32) -> Self {
        Self::ALL
            .iter()
            .find(|(.., wire)| i32::from(*wire) == number)
            .map_or(Self::Unspecified, |(state, ..)| *state)
    }
}

impl JsonSchema for ExporterState {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExporterState".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<_> = Self::ALL.iter().map(|(_, name, _)| *name).collect();
        schemars::json_schema!({ "type": "string", "enum": names })
    }
}

/// A state of another version must not make the object unreadable.
fn state<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<ExporterState>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    Ok(text.map(|text| {
        let known = ExporterState::ALL.iter().find(|(_, name, _)| *name == text);
        known.map_or(ExporterState::Unspecified, |(state, ..)| *state)
    }))
}

/// Whether it answers: a type of condition.
pub const ONLINE: &str = "Online";
/// Whether it has told what it has: a type of condition.
pub const REGISTERED: &str = "Registered";

impl Exporter {
    /// Whether it is given to new leases.
    pub fn is_enabled(&self) -> bool {
        self.spec.enabled.unwrap_or(true)
    }

    /// Whether it answers, as its conditions say.
    pub fn is_online(&self) -> bool {
        self.status.as_ref().is_some_and(|status| condition::is_true(&status.conditions, ONLINE))
    }

    /// Whether it has told what it has, as its conditions say.
    pub fn is_registered(&self) -> bool {
        self.status.as_ref().is_some_and(|status| condition::is_true(&status.conditions, REGISTERED))
    }

    /// What it told last about what it does.
    pub fn state(&self) -> Option<ExporterState> {
        self.status.as_ref()?.exporter_status
    }

    /// The number of the lease that it serves or served last, counted from 1; 0 if there was none.
    pub fn lease_epoch(&self) -> u64 {
        let text = self.metadata.annotations.as_ref().and_then(|all| all.get(labels::LEASE_EPOCH));
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The lease that it was last given to: name and UID.
    pub fn holder(&self) -> Option<(&str, &str)> {
        self.metadata.annotations.as_ref()?.get(labels::LEASE_HOLDER)?.split_once('/')
    }
}
