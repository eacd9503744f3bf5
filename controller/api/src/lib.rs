//! The resources of a lab: [`Client`], [`Exporter`], [`Lease`] and [`ExporterAccessPolicy`], each with what is wanted (its
//! spec) and what is so (its status).
//!
//! They are custom resources of Kubernetes, and the same objects in a lab without it. One set of types serves both: the
//! definitions that Kubernetes is given are printed from them ([`crd`]), and the rules in those definitions are evaluated
//! here as well ([`validation`]), so an object is refused for the same reason and in the same words wherever it is kept.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`client`], [`exporter`], [`lease`], [`policy`] | the resources |
//! | [`condition`] | conditions, and the one way to set them |
//! | [`labels`] | the names of labels and annotations, and what may stand in them |
//! | [`selector`] | label selectors as objects carry them |
//! | [`duration`], [`time`] | durations and times as objects carry them |
//! | [`validation`] | whether an object is good, and what is wrong with it |
//! | [`patch`] | what has changed between two states of an object |
//! | [`crd`] | the definitions for Kubernetes |
//!
//! `k8s-openapi` wants to be told a version of Kubernetes, once, by a program or a test (its feature `v1_36`); libraries do
//! not choose one.

#![forbid(unsafe_code)]

pub mod client;
pub mod condition;
pub mod crd;
pub mod duration;
pub mod exporter;
pub mod labels;
pub mod lease;
pub mod patch;
pub mod policy;
mod reference;
pub mod selector;
pub mod time;
pub mod validation;

pub use client::{Client, ClientSpec, ClientStatus};
pub use condition::{Condition, ConditionStatus};
pub use duration::GoDuration;
pub use exporter::{Device, Exporter, ExporterSpec, ExporterState, ExporterStatus};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
pub use kube::{CustomResourceExt, Resource, ResourceExt};
pub use lease::{Lease, LeaseSpec, LeaseStatus};
pub use policy::{ExporterAccessPolicy, ExporterAccessPolicySpec, ExporterAccessPolicyStatus, From, Rule};
pub use reference::Reference;
pub use selector::LabelSelector;
pub use validation::Invalid;

/// The group of all resources.
pub const GROUP: &str = "jumpstarter.dev";

/// Their version.
pub const VERSION: &str = "v1alpha1";

/// For fields that are left out when they are false.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

/// For fields that are left out when they are zero.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
pub(crate) fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// A whole number without a bound of its own, as definitions of other programs have it.
pub(crate) fn integer(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "integer" })
}
