//! What changes do to what is there: no clock, no disk, no waiting.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Revision, StoreError,
    object::{Change, Event, Key, New, Object, Page, Patch, Query, Scope, check, merge},
};

/// How much is remembered for watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// So many changes.
    pub changes: usize,
    /// About so many bytes of objects as they were.
    pub bytes: usize,
}

impl Default for Memory {
    /// What a lab of thousands changes in a minute.
    fn default() -> Self {
        Self { changes: 16 * 1024, bytes: 32 * 1024 * 1024 }
    }
}

/// What somebody wants to be changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// A new object.
    Create(New),
    /// Another spec, other labels and annotations.
    Update(Object),
    /// Another status.
    UpdateStatus(Object),
    /// Parts of spec, labels and annotations.
    Patch(Key, Patch),
    /// Parts of the status.
    PatchStatus(Key, Value),
    /// No object, if it has this revision or none was named.
    Delete(Key, Option<Revision>),
}

impl Wish {
    /// Which object it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Create(new) => &new.key,
            Self::Update(object) | Self::UpdateStatus(object) => &object.key,
            Self::Patch(key, _) | Self::PatchStatus(key, _) | Self::Delete(key, _) => key,
        }
    }
}

/// One change that is remembered.
#[derive(Clone, Debug)]
struct Remembered {
    revision: u64,
    weight: usize,
    event: Event,
}

/// Everything there is at one revision, and the changes that led to it.
#[derive(Clone, Debug, Default)]
pub struct State {
    objects: BTreeMap<Key, Arc<Object>>,
    revision: u64,
    log: VecDeque<Remembered>,
    weight: usize,
    memory: Memory,
    /// Of no kind are the changes up to this revision known.
    compacted: u64,
    /// The last change of each kind that has been forgotten since.
    forgotten: BTreeMap<String, u64>,
}

impl State {
    /// With nothing in it.
    pub fn new(memory: Memory) -> Self {
        Self { memory, ..Self::default() }
    }

    /// As it was written down: objects, the last changes, and the revision of the last one.
    pub fn restored(
        memory: Memory,
        objects: impl IntoIterator<Item = Object>,
        log: Vec<Event>,
        revision: u64,
    ) -> Self {
        let mut state = Self::new(memory);
        state.objects = objects.into_iter().map(|object| (object.key.clone(), Arc::new(object))).collect();
        state.revision = revision;
        state.compacted = log.first().map_or(revision, |event| number(event).saturating_sub(1));
        for event in log {
            state.remember(event);
        }
        state
    }

    /// The last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Everything that is known of the past happened after this revision.
    pub fn compacted(&self) -> u64 {
        self.log.front().map_or(self.revision, |oldest| oldest.revision - 1)
    }

    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// What a wish would change. Nothing, when it asks for what is so already.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn plan(&self, wish: Wish, now: Timestamp, uid: Uuid) -> Result<Option<Event>, StoreError> {
        let revision = Revision::from_number(self.revision + 1);
        match wish {
            Wish::Create(new) => {
                check(&new.key, &new.labels)?;
                if self.objects.contains_key(&new.key) {
                    return Err(StoreError::AlreadyExists(new.key));
                }
                let New { key, labels, annotations, spec, status } = new;
                let (created, deleted, generation) = (now, None, 1);
                let object = Object {
                    key,
                    uid,
                    revision,
                    generation,
                    created,
                    deleted,
                    labels,
                    annotations,
                    spec,
                    status,
                };
                Ok(Some(Event { change: Change::Added, object: Arc::new(object) }))
            }
            Wish::Update(wanted) => {
                let present = self.present(&wanted.key, Some(&wanted.revision), Some(wanted.uid))?;
                let object = Object {
                    labels: wanted.labels,
                    annotations: wanted.annotations,
                    spec: wanted.spec,
                    ..Object::clone(present)
                };
                modified(present, object, revision)
            }
            Wish::UpdateStatus(wanted) => {
                let present = self.present(&wanted.key, Some(&wanted.revision), Some(wanted.uid))?;
                modified(present, Object { status: wanted.status, ..Object::clone(present) }, revision)
            }
            Wish::Patch(key, patch) => {
                let present = self.present(&key, patch.revision.as_ref(), patch.uid)?;
                let mut object = Object::clone(present);
                let mut texts = |patch: BTreeMap<String, Option<String>>, annotations: bool| {
                    let map = if annotations { &mut object.annotations } else { &mut object.labels };
                    for (key, value) in patch {
                        match value {
                            Some(value) => map.insert(key, value),
                            None => map.remove(&key),
                        };
                    }
                };
                texts(patch.labels, false);
                texts(patch.annotations, true);
                if !patch.spec.is_null() {
                    merge(&mut object.spec, patch.spec);
                }
                modified(present, object, revision)
            }
            Wish::PatchStatus(key, patch) => {
                let present = self.present(&key, None, None)?;
                let mut object = Object::clone(present);
                merge(&mut object.status, patch);
                modified(present, object, revision)
            }
            Wish::Delete(key, wanted) => {
                let present = self.present(&key, wanted.as_ref(), None)?;
                let object = Object { revision, deleted: Some(now), ..Object::clone(present) };
                Ok(Some(Event { change: Change::Deleted, object: Arc::new(object) }))
            }
        }
    }

    fn present(
        &self,
        key: &Key,
        revision: Option<&Revision>,
        uid: Option<Uuid>,
    ) -> Result<&Arc<Object>, StoreError> {
        let present = self.objects.get(key).ok_or_else(|| StoreError::NotFound(key.clone()))?;
        let same = uid.is_none_or(|uid| uid == present.uid)
            && revision.is_none_or(|revision| *revision == present.revision);
        if same {
            return Ok(present);
        }
        let was = revision.unwrap_or(&present.revision).clone();
        Err(StoreError::Conflict { key: key.clone(), was })
    }

    /// Makes a planned change.
    pub fn apply(&mut self, event: Event) {
        let object = &event.object;
        self.revision = number(&event);
        match event.change {
            Change::Added | Change::Modified => {
                self.objects.insert(object.key.clone(), Arc::clone(object));
            }
            Change::Deleted => {
                self.objects.remove(&object.key);
            }
        }
        self.remember(event);
    }

    fn remember(&mut self, event: Event) {
        let weight = event.object.weight();
        self.weight += weight;
        self.log.push_back(Remembered { revision: number(&event), weight, event });
        while self.log.len() > self.memory.changes || (self.weight > self.memory.bytes && self.log.len() > 1)
        {
            let Some(oldest) = self.log.pop_front() else { break };
            self.weight -= oldest.weight;
            let kind = &oldest.event.object.key.kind;
            match self.forgotten.get_mut(kind) {
                Some(forgotten) => *forgotten = oldest.revision,
                None => drop(self.forgotten.insert(kind.clone(), oldest.revision)),
            }
        }
    }

    /// All remembered changes after a revision, of every kind.
    pub fn log(&self, after: u64) -> impl Iterator<Item = &Event> {
        let known = self.log.partition_point(|remembered| remembered.revision <= after);
        self.log.range(known..).map(|remembered| &remembered.event)
    }

    /// The changes of a scope after a revision.
    ///
    /// # Errors
    /// When not all of them are known, or that revision has not been yet.
    pub fn since(&self, scope: &Scope, after: u64) -> Result<impl Iterator<Item = &Event>, StoreError> {
        let forgotten = self.forgotten.get(&scope.kind).copied().unwrap_or(0).max(self.compacted);
        if after < forgotten || after > self.revision {
            return Err(StoreError::TooOld(Revision::from_number(after)));
        }
        Ok(self.log(after).filter(|event| scope.contains(&event.object.key)))
    }

    /// One page.
    ///
    /// # Errors
    /// When the page's token is none.
    pub fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let begin = match &query.page {
            None => Bound::Included(Key::new(
                &query.kind,
                query.namespace.clone().unwrap_or_default(),
                String::new(),
            )),
            Some(token) => Bound::Excluded(last_of(token, query)?),
        };
        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        let scope = Scope { kind: query.kind.clone(), namespace: query.namespace.clone() };
        let mut chosen = self
            .objects
            .range((begin, Bound::Unbounded))
            .map(|(_, object)| object)
            .take_while(|object| scope.contains(&object.key))
            .filter(|object| query.selector.matches(&object.labels));
        let items: Vec<_> = chosen.by_ref().take(limit).cloned().collect();
        let more = chosen.next().is_some();
        let next = items.last().filter(|_| more).map(|last| token_of(&last.key));
        Ok(Page { items, revision: Revision::from_number(self.revision), next })
    }
}

/// What is as it was needs no new revision, and wakes nobody.
fn modified(present: &Object, mut object: Object, revision: Revision) -> Result<Option<Event>, StoreError> {
    check(&object.key, &object.labels)?;
    if object == *present {
        return Ok(None);
    }
    object.generation += i64::from(object.spec != present.spec);
    object.revision = revision;
    Ok(Some(Event { change: Change::Modified, object: Arc::new(object) }))
}

/// Revisions of this store are numbers.
fn number(event: &Event) -> u64 {
    event.revision().number().unwrap_or(0)
}

/// The token says behind which object the next page begins, so it stays right whatever comes and goes meanwhile.
fn token_of(last: &Key) -> String {
    let text = Value::from(vec![last.kind.clone(), last.namespace.clone(), last.name.clone()]).to_string();
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

fn last_of(token: &str, query: &Query) -> Result<Key, StoreError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| StoreError::PageToken)?;
    let (kind, namespace, name): (String, String, String) =
        serde_json::from_slice(&bytes).map_err(|_| StoreError::PageToken)?;
    let elsewhere = query.namespace.as_ref().is_some_and(|wanted| *wanted != namespace);
    if kind != query.kind || elsewhere {
        return Err(StoreError::PageToken);
    }
    Ok(Key::new(kind, namespace, name))
}
