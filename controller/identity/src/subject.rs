//! Whom a token of the lab is about, and the object that it is compared with.

use std::{collections::BTreeMap, fmt, str::FromStr};

/// Annotation that overrides the namespace in the subject of an object's tokens, so that they survive its move.
pub const MIGRATED_NAMESPACE: &str = "jumpstarter.dev/migrated-namespace";

/// Annotation that overrides the uid there.
pub const MIGRATED_UID: &str = "jumpstarter.dev/migrated-uid";

/// Annotation with the number of times that an administrator has made all tokens of an object invalid. Absent is never.
pub const GENERATION: &str = "jumpstarter.dev/token-generation";

/// What can have a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who leases devices.
    Client,
    /// What offers them.
    Exporter,
}

impl Kind {
    /// As it is written in the metadata of calls, and as the kind of an object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "Client",
            Self::Exporter => "Exporter",
        }
    }

    /// As it is written in subjects and in messages.
    pub fn lower(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Exporter => "exporter",
        }
    }
}

/// Whom a token of the lab is about: `client:lab:alice:6f0c…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// What it is.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// What tells it from others that had or will have this name.
    pub uid: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.kind.lower(), self.namespace, self.name, self.uid)
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(':').collect();
        let [kind, namespace, name, uid] = parts[..] else {
            return Err(format!("it has {} parts instead of kind, namespace, name and uid", parts.len()));
        };
        let kind = match kind {
            "client" => Kind::Client,
            "exporter" => Kind::Exporter,
            _ => return Err("it is neither a client nor an exporter".to_owned()),
        };
        if [namespace, name, uid].contains(&"") {
            return Err("a part of it is empty".to_owned());
        }
        let (namespace, name, uid) = (namespace.to_owned(), name.to_owned(), uid.to_owned());
        Ok(Self { kind, namespace, name, uid })
    }
}

/// What has to be known of an object to tell whether somebody may act as it.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name there.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// Which user of another issuer may act as it (`spec.username`).
    pub username: Option<&'a str>,
}

impl Holder<'_> {
    /// Whom its tokens are about.
    pub fn subject(&self) -> Subject {
        let or = |annotation: &str, own: &str| {
            let moved = self.annotations.get(annotation).filter(|value| !value.is_empty());
            moved.map_or(own, String::as_str).to_owned()
        };
        Subject {
            kind: self.kind,
            namespace: or(MIGRATED_NAMESPACE, self.namespace),
            name: self.name.to_owned(),
            uid: or(MIGRATED_UID, self.uid),
        }
    }

    /// The generation of the tokens that are believed; older ones are not.
    ///
    /// # Errors
    /// When the annotation is no number, in words. No token is believed then: somebody wanted to end some.
    pub fn generation(&self) -> Result<u64, String> {
        match self.annotations.get(GENERATION) {
            None => Ok(0),
            Some(text) => text.parse().map_err(|_| format!("the annotation {GENERATION} is no number")),
        }
    }

    /// What to write into the annotation [`GENERATION`] to make all tokens invalid that were made before.
    pub fn rotated(&self) -> u64 {
        self.generation().map_or(u64::MAX, |generation| generation.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_written_as_upstream_writes_it() {
        let text = "client:lab:alice:6f0c8c5e-0000-4000-8000-000000000000";
        let subject: Subject = text.parse().unwrap();
        assert_eq!((subject.kind, subject.name.as_str()), (Kind::Client, "alice"));
        assert_eq!(subject.to_string(), text);
        for wrong in
            ["", "client", "client:lab:alice", "client:lab:alice:1:2", "user:lab:alice:1", "client:lab::1"]
        {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }

    fn holder(annotations: &BTreeMap<String, String>) -> Holder<'_> {
        let (kind, namespace, name, uid) = (Kind::Exporter, "new", "rack", "2");
        Holder { kind, namespace, name, uid, annotations, username: None }
    }

    #[test]
    fn an_object_that_has_moved_keeps_its_subject() {
        let mut annotations = BTreeMap::new();
        assert_eq!(holder(&annotations).subject().to_string(), "exporter:new:rack:2");
        annotations.insert(MIGRATED_NAMESPACE.to_owned(), "old".to_owned());
        annotations.insert(MIGRATED_UID.to_owned(), "1".to_owned());
        assert_eq!(holder(&annotations).subject().to_string(), "exporter:old:rack:1");
        annotations.insert(MIGRATED_UID.to_owned(), String::new());
        assert_eq!(holder(&annotations).subject().to_string(), "exporter:old:rack:2");
    }
}
