//! Conditions, and the one way to set them.
//!
//! The order of conditions is data: clients take the last one for the latest. So a new one is appended, one that is there is
//! changed in its place, and none is ever sorted or removed.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Time, time};

/// Longest message, in bytes (Kubernetes, `metav1.Condition`).
pub const LONGEST_MESSAGE: usize = 32_768;

/// One thing that is so, is not so, or is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, in CamelCase.
    #[serde(rename = "type")]
    #[schemars(extend(
        "maxLength" = 316,
        "pattern" = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
    ))]
    pub kind: String,
    /// Whether it is so.
    pub status: ConditionStatus,
    /// The generation of the object that this was said about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0))]
    pub observed_generation: Option<i64>,
    /// When `status` last changed.
    pub last_transition_time: Time,
    /// Why, in one word for programs.
    #[schemars(extend(
        "minLength" = 1,
        "maxLength" = 1024,
        "pattern" = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
    ))]
    pub reason: String,
    /// Why, for people.
    #[schemars(extend("maxLength" = 32_768))]
    pub message: String,
}

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Nobody knows.
    Unknown,
}

impl JsonSchema for ConditionStatus {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConditionStatus".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": ["True", "False", "Unknown"] })
    }
}

impl From<bool> for ConditionStatus {
    fn from(so: bool) -> Self {
        if so { Self::True } else { Self::False }
    }
}

/// Says that something is so or not. Returns whether anything changed.
///
/// `generation` is that of the object as it was read. The time of the transition moves only when `so` turns over.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    so: impl Into<ConditionStatus>,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> bool {
    let status = so.into();
    let mut new = Condition {
        kind: kind.to_owned(),
        status,
        observed_generation: generation,
        last_transition_time: time::whole(now),
        reason: reason.to_owned(),
        message: cut(message).to_owned(),
    };
    let Some(known) = conditions.iter_mut().find(|condition| condition.kind == kind) else {
        conditions.push(new);
        return true;
    };
    if known.status == status {
        new.last_transition_time = known.last_transition_time.clone();
    }
    let changed = *known != new;
    *known = new;
    changed
}

/// A condition of this type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Whether a condition of this type is there and true.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// As much of a message as fits, at the end of a character.
fn cut(message: &str) -> &str {
    let end = (0..=message.len().min(LONGEST_MESSAGE)).rev().find(|end| message.is_char_boundary(*end));
    &message[..end.unwrap_or(0)]
}
