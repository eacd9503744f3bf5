//! Interfaces and their methods.

use std::collections::BTreeSet;

use crate::{
    Record,
    change::{Breaks, Change, Changes},
    parameters,
    record::{Interface, Method, Names},
    types::Type,
};

/// Which way something travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// From clients to drivers.
    Request,
    /// From drivers to clients.
    Answer,
}

/// One interface, then and now, while it is compared.
pub(crate) struct Pair<'a> {
    pub(crate) old: &'a Interface,
    pub(crate) new: &'a Interface,
    place: String,
    title: String,
    /// Messages and enums that were compared already: by both names, and the way they travel.
    pub(crate) seen: BTreeSet<(String, String, Direction)>,
    pub(crate) changes: &'a mut Changes,
}

impl Pair<'_> {
    /// `interfaces/jumpstarter.driver.power.v1/set_limit`.
    pub(crate) fn place(&self, parts: &[&str]) -> String {
        [&[self.place.as_str()], parts].concat().join("/")
    }

    /// `power.set_limit`.
    pub(crate) fn title(&self, member: &str) -> String {
        format!("{}.{member}", self.title)
    }
}

pub(crate) fn compare(released: &Record, today: &Record, changes: &mut Changes) {
    for (id, old) in &released.interfaces {
        let moved = || {
            let service = old.full_service();
            today.interfaces.iter().find(|(_, new)| new.also.contains(&service))
        };
        if let Some(new) = today.interfaces.get(id) {
            identity(id, old, new, changes);
            methods(id, old, new, changes);
        } else if let Some((new_id, new)) = moved() {
            let what = format!("{}: the interface is {new_id} now, and still answers as {id}", old.title());
            let remedy = "tell people who generate clients from the `.proto` file";
            let place = format!("interfaces/{id}");
            changes.push(Change::warning("interface-moved", Breaks::NOBODY, place, what, remedy));
            methods(id, old, new, changes);
        } else {
            changes.push(removed(id, old, today));
        }
    }
    let was = |service: &String| released.interfaces.values().any(|old| old.full_service() == *service);
    for (id, new) in &today.interfaces {
        if !released.interfaces.contains_key(id) && !new.also.iter().any(was) {
            let what = format!("{}: the interface is new", new.title());
            changes.push(Change::compatible("interface-added", format!("interfaces/{id}"), what));
        }
    }
}

fn removed(id: &str, old: &Interface, today: &Record) -> Change {
    let newer = today
        .interfaces
        .values()
        .find(|new| new.package == old.package && new.name == old.name && new.version > old.version);
    let remedy = match newer {
        Some(new) => format!(
            "keep version {} beside version {} for a while: `provides({}V{}, {})`",
            old.version, new.version, old.service, old.version, new.service
        ),
        None => "bring it back; if it has another name now, name the old service in `also`".to_owned(),
    };
    let what = format!("{}: the interface {id} is gone", old.title());
    Change::breaking("interface-removed", Breaks::BOTH, format!("interfaces/{id}"), what, remedy)
}

/// What an interface is called.
fn identity(id: &str, old: &Interface, new: &Interface, changes: &mut Changes) {
    let place = |part: &str| format!("interfaces/{id}/{part}");
    let answers: Vec<_> = std::iter::once(new.full_service()).chain(new.also.iter().cloned()).collect();
    for service in std::iter::once(old.full_service()).chain(old.also.iter().cloned()) {
        if !answers.contains(&service) {
            let what = format!("{}: calls of the service {service} are not answered any more", old.title());
            let remedy = format!("add \"{service}\" to `also` of the interface");
            let change =
                Change::breaking("service-name-removed", Breaks::NATIVE, place(&service), what, remedy);
            // Further names stand in no `.proto` file.
            changes.push(change.in_proto(service == old.full_service()));
        }
    }
    if old.python != new.python {
        let what = format!("{}: Python clients get {} in place of {}", old.title(), new.python, old.python);
        let remedy = "make sure that the class has what scripts use";
        changes.push(Change::warning("python-class-changed", Breaks::LEGACY, place("python"), what, remedy));
    }
}

fn methods(id: &str, old: &Interface, new: &Interface, changes: &mut Changes) {
    let mut pair = Pair {
        old,
        new,
        place: format!("interfaces/{id}"),
        title: old.title(),
        seen: BTreeSet::new(),
        changes,
    };
    let mut found = vec![false; new.methods.len()];
    for before in &old.methods {
        let now = Names { export: before.export.clone(), rpc: before.rpc.clone() };
        let at = pair.find(&now);
        for (i, name) in std::iter::once(&now).chain(&before.renamed_from).enumerate() {
            pair.name(before, name, i > 0, at);
        }
        if let Some(at) = at
            && let Some(after) = new.methods.get(at)
        {
            found[at] = true;
            pair.method(before, after);
        }
    }
    for (method, _) in new.methods.iter().zip(&found).filter(|(_, found)| !**found) {
        pair.added(method);
    }
}

fn answers_to(method: &Method, old: &Names) -> (bool, bool) {
    let native = method.rpc == old.rpc || method.renamed_from.iter().any(|names| names.rpc == old.rpc);
    let legacy =
        method.export == old.export || method.renamed_from.iter().any(|names| names.export == old.export);
    (native, legacy)
}

impl Pair<'_> {
    /// Index of what answers to the old method's name today.
    fn find(&self, name: &Names) -> Option<usize> {
        let by = |language: fn((bool, bool)) -> bool| {
            self.new.methods.iter().position(|method| language(answers_to(method, name)))
        };
        by(|(native, legacy)| native && legacy)
            .or_else(|| by(|(_, legacy)| legacy))
            .or_else(|| by(|(native, _)| native))
    }

    /// Whether one name of a method still leads to it.
    fn name(&mut self, before: &Method, name: &Names, former: bool, at: Option<usize>) {
        let after = at.and_then(|at| self.new.methods.get(at));
        let (native, legacy) = after.map_or((false, false), |after| answers_to(after, name));
        let title = self.title(&name.export);
        let place = self.place(&[&name.export]);
        if native && legacy {
            if let Some(after) = after.filter(|after| after.export != name.export && !former) {
                let what = format!(
                    "{title}: the method is called `{}` now, and still answers to its old name",
                    after.export
                );
                self.changes.push(Change::compatible("method-renamed", place, what));
            }
            return;
        }
        let breaks = Breaks::wires(!native, !legacy);
        if former {
            let what = format!("{title}: `{}` does not answer to its former name any more", before.export);
            let remedy = format!("keep `#[renamed_from = \"{}\"]`", name.export);
            self.changes.push(Change::breaking("former-name-removed", breaks, place, what, remedy));
            return;
        }
        let (rule, what, remedy) = match self.successor(before) {
            Some(new) => (
                "method-renamed",
                format!("{title}: the method is called `{}` now", new.export),
                format!(
                    "keep the old name working: `#[renamed_from = \"{}\"]` on `{}`",
                    name.export, new.export
                ),
            ),
            None => (
                "method-removed",
                format!("{title}: the method is gone"),
                "keep it, with a body that returns `Err(Error::unsupported())` if need be".to_owned(),
            ),
        };
        self.changes.push(Change::breaking(rule, breaks, place, what, remedy));
    }

    /// A new method that looks like an old one under another name: the first one that has its parameters and its answer.
    fn successor(&self, before: &Method) -> Option<&Method> {
        let is_new = |method: &&Method| {
            let shape = |method: &Method| {
                let params = method.params.iter().map(|param| (param.name.clone(), param.ty.clone()));
                (method.kind.clone(), params.collect::<Vec<_>>(), method.returns.clone())
            };
            shape(method) == shape(before)
                && !self.old.methods.iter().any(|old| old.export == method.export || old.rpc == method.rpc)
        };
        // Where methods with this shape are many, order is the better guess.
        let index = self.old.methods.iter().position(|method| method == before).unwrap_or(0);
        self.new.methods.get(index).filter(is_new).or_else(|| self.new.methods.iter().find(is_new))
    }

    fn added(&mut self, method: &Method) {
        let (place, title) = (self.place(&[&method.export]), self.title(&method.export));
        // A renamed method is new and old at once; only the old name is worth a line.
        if self
            .old
            .methods
            .iter()
            .any(|before| self.successor_of_missing(before).is_some_and(|new| new == method))
        {
            return;
        }
        self.changes.push(if method.required {
            Change::warning(
                "method-added-without-body",
                Breaks::SOURCE,
                place,
                format!("{title}: the method is new, and every driver has to have it"),
                "give it a body in the trait: `Err(Error::unsupported())`",
            )
        } else {
            Change::compatible("method-added", place, format!("{title}: the method is new"))
        });
    }

    fn successor_of_missing(&self, before: &Method) -> Option<&Method> {
        let names = Names { export: before.export.clone(), rpc: before.rpc.clone() };
        if self.find(&names).is_some() { None } else { self.successor(before) }
    }

    fn method(&mut self, before: &Method, after: &Method) {
        let (place, title) = (self.place(&[&before.export]), self.title(&before.export));
        if after.required && !before.required {
            self.changes.push(Change::warning(
                "method-body-removed",
                Breaks::SOURCE,
                place.clone(),
                format!("{title}: the trait has no body for it any more, so every driver has to have it"),
                "bring the body back",
            ));
        }
        if before.exclusive != after.exclusive {
            let word = |exclusive: &Option<String>| match exclusive.as_deref() {
                None => "runs beside the first".to_owned(),
                Some("fail") => "fails".to_owned(),
                Some(_) => "waits".to_owned(),
            };
            self.changes.push(Change::warning(
                "exclusivity-changed",
                Breaks::NOBODY,
                place.clone(),
                format!(
                    "{title}: a second call at the same time {} where it {}",
                    word(&after.exclusive)
                        .replace("runs", "now runs")
                        .replace("fails", "now fails")
                        .replace("waits", "now waits"),
                    word(&before.exclusive)
                        .replace("runs", "ran")
                        .replace("fails", "failed")
                        .replace("waits", "waited"),
                ),
                "",
            ));
        }
        if before.kind != after.kind {
            let framing = before.kind != "unary"
                && before.kind != "server stream"
                && after.kind != "unary"
                && after.kind != "server stream";
            let change = Change::breaking(
                "streaming-changed",
                Breaks::BOTH,
                place,
                format!(
                    "{title}: the method answers with {} where it answered with {}",
                    kind(&after.kind),
                    kind(&before.kind)
                ),
                "add a method beside it, or raise `version`",
            );
            self.changes.push(change.in_proto(!framing));
            return;
        }
        parameters::compare(self, before, after);
        self.returns(before, after);
    }

    fn returns(&mut self, before: &Method, after: &Method) {
        let (old, new) = (&before.returns, &after.returns);
        // A message is the answer itself; everything else is in a wrapper.
        let bare = |ty: &Type| matches!(ty, Type::Message(_));
        let mut mismatch = self.values(old, new, Direction::Answer);
        if bare(old) != bare(new) || (*old == Type::Nothing) != (*new == Type::Nothing) {
            mismatch.native = true;
            mismatch.legacy = true;
            mismatch.in_proto = true;
        }
        let presence = answer_presence(old, new);
        mismatch.native |= presence.0;
        mismatch.legacy |= presence.1;
        mismatch.in_proto |= presence.0;
        if mismatch.any() {
            let rule = if mismatch.in_proto { "answer-type-changed" } else { "answer-type-widened" };
            let change = Change::breaking(
                rule,
                Breaks::wires(mismatch.native, mismatch.legacy),
                self.place(&[&before.export, "returns"]),
                format!("{}: the type of the answer changed from {old} to {new}", self.title(&before.export)),
                "add a method beside it, or raise `version`",
            );
            self.changes.push(change.in_proto(mismatch.in_proto));
        } else if old.differs(new) || matches!(old, Type::Optional(_)) != matches!(new, Type::Optional(_)) {
            self.changes.push(Change::compatible(
                "answer-type-narrowed",
                self.place(&[&before.export, "returns"]),
                format!(
                    "{}: the answer is {new} where it was {old}, which clients can read",
                    self.title(&before.export)
                ),
            ));
        }
    }
}

/// `Option<T>` against `T`, in an answer: for native and for upstream's clients.
fn answer_presence(old: &Type, new: &Type) -> (bool, bool) {
    match (matches!(old, Type::Optional(_)), matches!(new, Type::Optional(_))) {
        (false, true) => (true, true),
        (true, false) => (!new.always_sent() && !matches!(new, Type::List(_) | Type::Map(_)), false),
        _ => (false, false),
    }
}

fn kind(kind: &str) -> &'static str {
    match kind {
        "unary" => "one value",
        "server stream" => "a stream of values",
        "messages" => "a stream of messages",
        _ => "a stream of bytes",
    }
}
