//! References to other objects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of another object in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Reference {
    /// Its name.
    #[serde(default)]
    pub name: String,
}

impl Reference {
    /// To the object of this name.
    pub fn to(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// The name in a reference that may be absent or empty, which mean the same.
    pub fn name(reference: Option<&Self>) -> Option<&str> {
        reference.map(|reference| reference.name.as_str()).filter(|name| !name.is_empty())
    }
}
