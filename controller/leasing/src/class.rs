//! Who waits for what: the index behind the queue.
//!
//! Leases that ask for the same are one *class*: the same selector, the same access. For each class it is known which
//! exporters will do, which of these are free, and who waits, in order. An exporter knows its classes. So an event costs what
//! it touches: an exporter that frees looks at the first of each of its classes, a new lease at the first free exporter of
//! its class; how many leases wait and how many exporters there are does not matter.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use jumpstarter_api::{GoDuration, LabelSelector};
use jumpstarter_core::selector::{Labels, Selector};

use crate::{
    access::{Approval, Policies},
    object::Name,
};

/// What leases of one class have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClassKey {
    pub(crate) selector: LabelSelector,
    pub(crate) exporter: Option<Name>,
    pub(crate) allow_disabled: bool,
    /// The labels of the client, if they matter.
    pub(crate) client: Option<Labels>,
    /// The duration, if it matters.
    pub(crate) duration: Option<GoDuration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClassId(u64);

/// A place in the queue: the earlier, the sooner; of two that came at once, the name decides (names that a lab makes up
/// contain the time).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Turn {
    pub(crate) since: Timestamp,
    pub(crate) lease: Name,
}

/// Whether an exporter can be given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// It does not answer, or has not said what it has.
    Offline,
    /// A lease has it.
    Held,
    /// Nobody has it, but it is busy.
    NotReady,
    /// Now.
    Free,
}

/// What a class needs to know of an exporter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exporter<'a> {
    pub(crate) name: &'a Name,
    pub(crate) labels: &'a Labels,
    pub(crate) enabled: bool,
    pub(crate) state: State,
}

/// An exporter that a class's selector selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) enabled: bool,
    pub(crate) approval: Option<Approval>,
    pub(crate) state: State,
}

impl Member {
    /// How it may be had, if it may at all. Access on the spot is refused: nobody is ever put out of a lease.
    pub(crate) fn approval(&self) -> Option<Approval> {
        self.approval.filter(|approval| self.enabled && !approval.spot)
    }
}

/// How many exporters of a class are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Selected.
    pub(crate) matched: usize,
    /// Of these, enabled.
    pub(crate) enabled: usize,
    /// Of these, allowed in any way.
    pub(crate) approved: usize,
    /// Of these, not only on the spot.
    pub(crate) usable: usize,
    /// Of these, online.
    pub(crate) online: usize,
    /// Of these, without a lease.
    pub(crate) idle: usize,
    /// Of these, ready.
    pub(crate) ready: usize,
}

impl Counts {
    fn add(&mut self, member: &Member, sign: isize) {
        let mut count = |field: fn(&mut Self) -> &mut usize, so: bool| {
            if so {
                let field = field(self);
                *field = field.saturating_add_signed(sign);
            }
            so
        };
        let _ = count(|counts| &mut counts.matched, true)
            && count(|counts| &mut counts.enabled, member.enabled)
            && count(|counts| &mut counts.approved, member.approval.is_some())
            && count(|counts| &mut counts.usable, member.approval().is_some())
            && count(|counts| &mut counts.online, member.state != State::Offline)
            && count(|counts| &mut counts.idle, member.state != State::Held)
            && count(|counts| &mut counts.ready, member.state == State::Free);
    }
}

#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) key: ClassKey,
    selector: Selector,
    pub(crate) members: BTreeMap<Name, Member>,
    pub(crate) counts: Counts,
    /// Those that can be given away now, the best first: of the highest priority, then by name.
    pub(crate) free: BTreeSet<(Reverse<i64>, Name)>,
    pub(crate) queue: BTreeSet<Turn>,
    /// When it was last without anybody who waits.
    idle_since: u64,
}

impl Class {
    fn judge(&self, exporter: Exporter<'_>, policies: &Policies) -> Option<Member> {
        let pinned = self.key.exporter.as_ref().is_none_or(|wanted| wanted == exporter.name);
        if !pinned || !self.selector.matches(exporter.labels) {
            return None;
        }
        let nobody = Labels::new();
        let client = self.key.client.as_ref().unwrap_or(&nobody);
        Some(Member {
            enabled: exporter.enabled || (self.key.allow_disabled && self.key.exporter.is_some()),
            approval: policies.approve(exporter.labels, client, self.key.duration.unwrap_or_default()),
            state: exporter.state,
        })
    }

    fn put(&mut self, name: &Name, member: Option<Member>) {
        if let Some(old) = self.members.remove(name) {
            self.counts.add(&old, -1);
            if let Some(approval) = old.approval() {
                self.free.remove(&(Reverse(approval.priority), name.clone()));
            }
        }
        if let Some(member) = member {
            self.counts.add(&member, 1);
            if let Some(approval) = member.approval().filter(|_| member.state == State::Free) {
                self.free.insert((Reverse(approval.priority), name.clone()));
            }
            self.members.insert(name.clone(), member);
        }
    }
}

/// How many classes are remembered for which nobody waits: the next lease of the same kind need not look at each exporter.
const REMEMBERED: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Classes {
    all: HashMap<ClassId, Class>,
    by_key: HashMap<ClassKey, ClassId>,
    /// Exporter → classes that it belongs to.
    of_exporter: HashMap<Name, BTreeSet<ClassId>>,
    /// Those for which nobody waits, the oldest first.
    idle: BTreeSet<(u64, ClassId)>,
    /// Class → those that wait for any of its exporters, each with by how much it is preferred. Found out when somebody asks,
    /// and forgotten when exporters come to classes or leave them.
    rivals: RefCell<HashMap<ClassId, Rivals>>,
    /// Counts up.
    next: u64,
}

/// For each class with an exporter in common: by how much it is preferred, at the exporter where that is most.
type Rivals = Arc<HashMap<ClassId, i64>>;

impl Classes {
    pub(crate) fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }

    pub(crate) fn get(&self, id: ClassId) -> Option<&Class> {
        self.all.get(&id)
    }

    /// The class of this key; a new one looks at all exporters.
    pub(crate) fn of<'a>(
        &mut self,
        key: ClassKey,
        selector: Selector,
        policies: &Policies,
        exporters: impl Iterator<Item = Exporter<'a>>,
    ) -> ClassId {
        if let Some(id) = self.by_key.get(&key) {
            return *id;
        }
        self.forget();
        self.rivals.get_mut().clear();
        self.next += 1;
        let id = ClassId(self.next);
        let mut class = Class {
            key: key.clone(),
            selector,
            members: BTreeMap::new(),
            counts: Counts::default(),
            free: BTreeSet::new(),
            queue: BTreeSet::new(),
            idle_since: self.next,
        };
        for exporter in exporters {
            if let Some(member) = class.judge(exporter, policies) {
                class.put(exporter.name, Some(member));
                self.of_exporter.entry(exporter.name.clone()).or_default().insert(id);
            }
        }
        self.idle.insert((class.idle_since, id));
        self.all.insert(id, class);
        self.by_key.insert(key, id);
        id
    }

    /// Makes room.
    fn forget(&mut self) {
        while self.idle.len() >= REMEMBERED {
            let Some((_, id)) = self.idle.pop_first() else { return };
            let Some(class) = self.all.remove(&id) else { continue };
            self.by_key.remove(&class.key);
            for name in class.members.keys() {
                if let Some(classes) = self.of_exporter.get_mut(name) {
                    classes.remove(&id);
                }
            }
        }
    }

    /// An exporter is as said now. With `moved`, it may belong to other classes than before. Returns the classes in which
    /// somebody waits and nothing will do any more.
    pub(crate) fn update(
        &mut self,
        exporter: Exporter<'_>,
        moved: bool,
        policies: &Policies,
    ) -> Vec<ClassId> {
        let name = exporter.name;
        if moved {
            self.rivals.get_mut().clear();
        }
        let mine = self.of_exporter.entry(name.clone()).or_default();
        let touched: Vec<_> =
            if moved { self.all.keys().copied().collect() } else { mine.iter().copied().collect() };
        let mut hopeless = Vec::new();
        for id in touched {
            let Some(class) = self.all.get_mut(&id) else { continue };
            let member = match class.members.get(name) {
                Some(member) if !moved => Some(Member { state: exporter.state, ..*member }),
                _ => class.judge(exporter, policies),
            };
            if member.is_some() {
                mine.insert(id);
            } else {
                mine.remove(&id);
            }
            class.put(name, member);
            if class.counts.usable == 0 && !class.queue.is_empty() {
                hopeless.push(id);
            }
        }
        hopeless
    }

    /// An exporter is gone. Returns the classes in which somebody waits and nothing will do any more.
    pub(crate) fn remove(&mut self, name: &Name) -> Vec<ClassId> {
        self.rivals.get_mut().clear();
        let mut hopeless = Vec::new();
        for id in self.of_exporter.remove(name).unwrap_or_default() {
            let Some(class) = self.all.get_mut(&id) else { continue };
            class.put(name, None);
            if class.counts.usable == 0 && !class.queue.is_empty() {
                hopeless.push(id);
            }
        }
        hopeless
    }

    pub(crate) fn enqueue(&mut self, id: ClassId, turn: Turn) {
        if let Some(class) = self.all.get_mut(&id) {
            self.idle.remove(&(class.idle_since, id));
            class.queue.insert(turn);
        }
    }

    pub(crate) fn dequeue(&mut self, id: ClassId, turn: &Turn) {
        let Some(class) = self.all.get_mut(&id) else { return };
        class.queue.remove(turn);
        if class.queue.is_empty() {
            self.next += 1;
            class.idle_since = self.next;
            self.idle.insert((class.idle_since, id));
        }
    }

    /// Who is next for this exporter: of the highest priority there, then whoever waits longest.
    pub(crate) fn next_for(&self, exporter: &Name) -> Option<(Turn, Approval)> {
        let classes = self.of_exporter.get(exporter)?.iter().filter_map(|id| self.all.get(id));
        let first = classes.filter_map(|class| {
            let approval = class.members.get(exporter)?.approval()?;
            Some((class.queue.first()?, approval))
        });
        let (turn, approval) = first.min_by_key(|(turn, approval)| (Reverse(approval.priority), *turn))?;
        Some((turn.clone(), approval))
    }

    /// Who else waits for a class's exporters. That takes a look at each of them, so it is done once for all who ask.
    fn rivals(&self, id: ClassId, class: &Class) -> Rivals {
        if let Some(known) = self.rivals.borrow().get(&id) {
            return Arc::clone(known);
        }
        let mut preferred: HashMap<ClassId, i64> = HashMap::new();
        for (name, member) in &class.members {
            let Some(own) = member.approval() else { continue };
            for other in self.of_exporter.get(name).into_iter().flatten() {
                let Some(theirs) = self.all.get(other).and_then(|class| class.members.get(name)?.approval())
                else {
                    continue;
                };
                let by = theirs.priority.saturating_sub(own.priority);
                preferred.entry(*other).and_modify(|known| *known = by.max(*known)).or_insert(by);
            }
        }
        let rivals = Arc::new(preferred);
        self.rivals.borrow_mut().insert(id, Arc::clone(&rivals));
        rivals
    }

    /// How many would get one of this class's exporters before whoever has this turn, and how many wait for them at all.
    pub(crate) fn ahead(&self, id: ClassId, turn: &Turn) -> (usize, usize) {
        let Some(class) = self.all.get(&id) else { return (0, 0) };
        let (mut ahead, mut all) = (0, 0);
        for (other, by) in self.rivals(id, class).iter() {
            let Some(queue) = self.all.get(other).map(|class| &class.queue) else { continue };
            all += queue.len();
            ahead += match by {
                1.. => queue.len(),
                0 => queue.range(..turn).count(),
                _ => 0,
            };
        }
        (ahead, all)
    }
}
