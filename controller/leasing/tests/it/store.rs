//! A store as leasing expects one: versions, conditional writes to one part of an object, a log of changes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jumpstarter_api::{Exporter, ExporterAccessPolicy, Lease, labels::LEASE_ENDED, patch, time};
use jumpstarter_leasing::{Key, Kind, Object, Outcome, Part, Write, words::CATALOGUE};
use serde_json::{Value, json};

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) objects: BTreeMap<Key, Value>,
    /// What happened, in order: the object afterwards, or that it is gone.
    pub(crate) log: Vec<(Key, Option<Value>)>,
    revision: u64,
    uids: u64,
    /// Exporter → leases that have it.
    pub(crate) holders: BTreeMap<String, BTreeSet<Key>>,
    /// Exporters that were deleted.
    made_anew: BTreeSet<String>,
}

/// As a typed object.
pub(crate) fn object(key: &Key, value: &Value) -> Object {
    let mut value = value.clone();
    if value.get("spec").is_none() {
        value["spec"] = json!({});
    }
    match key.kind {
        Kind::Client => {
            Object::from(serde_json::from_value::<jumpstarter_api::Client>(value).expect("a client"))
        }
        Kind::Exporter => Object::from(serde_json::from_value::<Exporter>(value).expect("an exporter")),
        Kind::Lease => Object::from(serde_json::from_value::<Lease>(value).expect("a lease")),
        Kind::Policy => {
            Object::from(serde_json::from_value::<ExporterAccessPolicy>(value).expect("a policy"))
        }
    }
}

impl Store {
    pub(crate) fn create(&mut self, kind: Kind, mut value: Value, now: Timestamp) -> Key {
        let name = value["metadata"]["name"].as_str().expect("a name").to_owned();
        let key = Key::new(kind, name);
        assert!(!self.objects.contains_key(&key), "{key:?} exists");
        self.uids += 1;
        value["metadata"]["uid"] = json!(format!("uid-{}", self.uids));
        value["metadata"]["generation"] = json!(1);
        value["metadata"]["creationTimestamp"] = json!(time::whole(now));
        self.put(&key, value);
        key
    }

    fn put(&mut self, key: &Key, mut value: Value) {
        self.revision += 1;
        value["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.log.push((key.clone(), Some(value.clone())));
        let before = self.objects.insert(key.clone(), value);
        self.hold(key, before.as_ref());
        self.check(key, before.as_ref());
    }

    pub(crate) fn delete(&mut self, key: &Key) {
        if let Some(before) = self.objects.remove(key) {
            self.hold(key, Some(&before));
            if key.kind == Kind::Exporter {
                self.made_anew.insert(key.name.to_string());
            }
            self.revision += 1;
            self.log.push((key.clone(), None));
        }
    }

    /// Somebody else changes an object, whatever its version.
    pub(crate) fn change(&mut self, key: &Key, patch: &Value) {
        let Some(old) = self.objects.get(key).cloned() else { return };
        let mut new = old.clone();
        patch::apply(&mut new, patch);
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] =
                json!(old["metadata"]["generation"].as_i64().expect("a number") + 1);
        }
        if new != old {
            self.put(key, new);
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Object> {
        self.objects.get(key).map(|value| object(key, value))
    }

    pub(crate) fn write(&mut self, write: &Write) -> Outcome {
        let Some(old) = self.objects.get(&write.key) else { return Outcome::Conflict(None) };
        if old["metadata"]["resourceVersion"].as_str() != Some(&write.version) {
            return Outcome::Conflict(self.get(&write.key));
        }
        let parts: Vec<_> =
            write.patch.as_object().expect("a patch is a map").keys().map(String::as_str).collect();
        match write.part {
            Part::Status => assert_eq!(parts, ["status"], "a status is written alone"),
            Part::Main => assert!(!parts.contains(&"status"), "a status is not written with the rest"),
        }
        self.change(&write.key, &write.patch);
        Outcome::Written(self.get(&write.key).expect("it is there"))
    }

    pub(crate) fn all(&self, kind: Kind) -> Vec<Key> {
        self.objects.keys().filter(|key| key.kind == kind).cloned().collect()
    }

    pub(crate) fn lease(&self, name: &str) -> Lease {
        let key = Key::new(Kind::Lease, name);
        match self.get(&key) {
            Some(Object::Lease(lease)) => (*lease).clone(),
            _ => panic!("there is no lease {name}"),
        }
    }

    pub(crate) fn exporter(&self, name: &str) -> Exporter {
        match self.get(&Key::new(Kind::Exporter, name)) {
            Some(Object::Exporter(exporter)) => (*exporter).clone(),
            _ => panic!("there is no exporter {name}"),
        }
    }

    /// What must hold after every single write, whoever made it.
    fn check(&self, key: &Key, before: Option<&Value>) {
        let value = &self.objects[key];
        match key.kind {
            Kind::Lease => {
                let conditions = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let kinds = |of: &[Value]| -> Vec<String> {
                    of.iter()
                        .map(|condition| condition["type"].as_str().expect("a type").to_owned())
                        .collect()
                };
                let old = before
                    .and_then(|old| old["status"]["conditions"].as_array().cloned())
                    .unwrap_or_default();
                assert!(
                    kinds(&conditions).starts_with(&kinds(&old)),
                    "conditions are appended: {old:?} {conditions:?}"
                );
                for condition in &conditions {
                    assert!(condition["observedGeneration"].is_i64(), "{condition}");
                    assert_ne!(condition["reason"], "NoExporter");
                    let known = |(kind, so, reason): &(&str, bool, &str)| {
                        let status = if *so { "True" } else { "False" };
                        condition["type"] == *kind
                            && condition["status"] == status
                            && condition["reason"] == *reason
                    };
                    assert!(CATALOGUE.iter().any(known), "not in the catalogue: {condition}");
                    assert!(condition["type"] != "Pending" || condition["status"] == "True", "{condition}");
                }
                assert!(
                    value["metadata"]["labels"].get(LEASE_ENDED).is_none()
                        || value["status"]["ended"] == true
                );
                let Some(exporter) = value["status"]["exporterRef"]["name"].as_str() else { return };
                let old = before.and_then(|old| old["status"]["exporterRef"]["name"].as_str());
                assert!(old.is_none() || old == Some(exporter), "a lease keeps its exporter");
                assert!(
                    before
                        .is_none_or(|old| old["status"]["ended"] != true || value["status"]["ended"] == true)
                );
                self.nobody_else_has(exporter);
            }
            Kind::Exporter => {
                let epoch = |value: &Value| -> u64 {
                    let text = value["metadata"]["annotations"]["jumpstarter.dev/lease-epoch"].as_str();
                    text.map_or(0, |text| text.parse().expect("a number"))
                };
                let Some(before) = before else { return };
                let holder =
                    |value: &Value| value["metadata"]["annotations"]["jumpstarter.dev/lease-holder"].clone();
                assert!(epoch(value) >= epoch(before), "an epoch never goes back");
                assert_eq!(
                    holder(value) != holder(before),
                    epoch(value) > epoch(before),
                    "each holder has its own"
                );
            }
            Kind::Client | Kind::Policy => {}
        }
    }

    fn hold(&mut self, key: &Key, before: Option<&Value>) {
        if key.kind != Kind::Lease {
            return;
        }
        let has = |value: Option<&Value>| -> Option<String> {
            let value = value.filter(|value| value["status"]["ended"] != true)?;
            value["status"]["exporterRef"]["name"].as_str().map(str::to_owned)
        };
        if let Some(exporter) = has(before) {
            self.holders.entry(exporter).or_default().remove(key);
        }
        if let Some(exporter) = has(self.objects.get(key)) {
            self.holders.entry(exporter).or_default().insert(key.clone());
        }
    }

    fn nobody_else_has(&self, exporter: &str) {
        let holders = self.holders.get(exporter).map_or(0, BTreeSet::len);
        // An exporter that was deleted and made anew is another one. A lease that got the former may say so late.
        assert!(
            holders <= 1 || self.made_anew.contains(exporter),
            "{exporter} is held by {:?}",
            self.holders[exporter]
        );
    }
}
