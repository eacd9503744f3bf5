//! Parameters: by name for people, by position for upstream's calls, by number for protobuf.

use crate::{
    change::{Breaks, Change, Verdict},
    interfaces::{Direction, Pair},
    record::{Method, Param, Presence},
};

const TAG: &str = "write `#[tag = ";

pub(crate) fn compare(pair: &mut Pair<'_>, before: &Method, after: &Method) {
    let mut taken = vec![false; after.params.len()];
    let mut matched: Vec<(&Param, Option<&Param>)> = Vec::new();
    for old in &before.params {
        let at = after.params.iter().position(|new| new.name == old.name);
        if let Some(at) = at {
            taken[at] = true;
        }
        matched.push((old, at.map(|at| &after.params[at])));
    }
    // What has no counterpart by name may have another name now: the same place in both languages.
    for (old, new) in &mut matched {
        if new.is_none() {
            let same = |(at, param): &(usize, &Param)| {
                !taken[*at] && param.position == old.position && param.tag == old.tag
            };
            let at = after.params.iter().enumerate().find(same).map(|(at, _)| at);
            if let Some(at) = at
                && !pair.values(&old.ty, &after.params[at].ty, Direction::Request).any()
            {
                taken[at] = true;
                *new = after.params.get(at);
            }
        }
    }
    let gone: Vec<&Param> = matched.iter().filter(|(_, new)| new.is_none()).map(|(old, _)| *old).collect();
    let fresh: Vec<&Param> =
        after.params.iter().zip(&taken).filter(|(_, taken)| !**taken).map(|(new, _)| new).collect();
    let reason = match (fresh.is_empty(), gone.is_empty()) {
        (false, _) => Reason::Added,
        (true, false) => Reason::Removed,
        (true, true) => Reason::Reordered,
    };
    for (old, new) in matched {
        match new {
            Some(new) => one(pair, before, old, new, reason),
            None => pair.changes.push(Change::breaking(
                "parameter-removed",
                Breaks::BOTH,
                pair.place(&[&before.export, &old.name]),
                format!("{}: parameter `{}` is gone", pair.title(&before.export), old.name),
                "keep it and ignore what it says, or raise `version`",
            )),
        }
    }
    for new in fresh {
        added(pair, before, new, &gone);
    }
}

/// Why others have other positions than before.
#[derive(Clone, Copy)]
enum Reason {
    Added,
    Removed,
    Reordered,
}

fn one(pair: &mut Pair<'_>, method: &Method, old: &Param, new: &Param, reason: Reason) {
    identity(pair, method, old, new, reason);
    if ty(pair, method, old, new) {
        presence(pair, method, old, new);
    }
}

/// What it is called, where it stands, which number it has.
fn identity(pair: &mut Pair<'_>, method: &Method, old: &Param, new: &Param, reason: Reason) {
    let title = pair.title(&method.export);
    let place = pair.place(&[&method.export, &old.name]);
    if old.name != new.name {
        let what =
            format!("{title}: parameter `{}` is called `{}` now; callers send no names", old.name, new.name);
        pair.changes.push(Change::compatible("parameter-renamed", place.clone(), what));
    }
    if old.position != new.position {
        let remedy = match reason {
            Reason::Added => "add new parameters at the end",
            Reason::Removed => "keep those before it",
            Reason::Reordered => "keep the order",
        };
        let what = format!(
            "{title}: parameter `{}` moved from position {} to {}",
            old.name, old.position, new.position
        );
        pair.changes.push(Change::breaking("parameter-moved", Breaks::LEGACY, place.clone(), what, remedy));
    }
    if old.tag != new.tag {
        let what = format!("{title}: parameter `{}` has tag {} where it had {}", old.name, new.tag, old.tag);
        let remedy = format!("{TAG}{}]` before it", old.tag);
        pair.changes.push(Change::breaking(
            "parameter-retagged",
            Breaks::NATIVE,
            place.clone(),
            what,
            remedy,
        ));
    }
}

/// Its type. Answers whether the values that callers send can be read.
fn ty(pair: &mut Pair<'_>, method: &Method, old: &Param, new: &Param) -> bool {
    let title = pair.title(&method.export);
    let place = pair.place(&[&method.export, &old.name]);
    let mismatch = pair.values(&old.ty, &new.ty, Direction::Request);
    if mismatch.any() {
        let rule = if mismatch.in_proto { "parameter-type-changed" } else { "parameter-type-narrowed" };
        let change = Change::breaking(
            rule,
            Breaks::wires(mismatch.native, mismatch.legacy),
            place,
            format!("{title}: the type of parameter `{}` changed from {} to {}", old.name, old.ty, new.ty),
            "add a parameter at the end beside it, or raise `version`",
        );
        pair.changes.push(change.in_proto(mismatch.in_proto));
        return false;
    }
    if old.ty.differs(&new.ty) {
        let what = format!(
            "{title}: parameter `{}` takes {} where it took {}, which callers can go on sending",
            old.name, new.ty, old.ty
        );
        pair.changes.push(Change::compatible("parameter-type-widened", place.clone(), what));
    }
    if old.rest != new.rest {
        let (now, then) = if new.rest {
            ("collects further arguments", "took one list")
        } else {
            ("takes one list", "collected further arguments")
        };
        let what = format!("{title}: parameter `{}` {now} where it {then}", old.name);
        pair.changes.push(Change::breaking(
            "parameter-rest-changed",
            Breaks::LEGACY,
            place.clone(),
            what,
            "change it back",
        ));
    }
    true
}

/// How it may be absent.
fn presence(pair: &mut Pair<'_>, method: &Method, old: &Param, new: &Param) {
    let title = pair.title(&method.export);
    let place = pair.place(&[&method.export, &old.name]);
    let always = old.ty.always_sent();
    let native = lost_native(old.presence, new.presence, always);
    let legacy = lost_legacy(old.presence, new.presence);
    if native || legacy {
        let what = format!(
            "{title}: parameter `{}` is {} where it was {}{}",
            old.name,
            words(new.presence),
            words(old.presence),
            consequence(old.presence, native, legacy)
        );
        let change = Change::breaking(
            "parameter-presence-changed",
            Breaks::wires(native, legacy),
            place,
            what,
            "change it back, or add a parameter at the end beside it",
        );
        pair.changes.push(change);
    } else if old.default != new.default && may_be_absent(old.presence) && may_be_absent(new.presence) {
        let change = Change::breaking(
            "parameter-default-changed",
            Breaks::BOTH,
            place,
            format!(
                "{title}: an absent `{}` means {} where it meant {}",
                old.name,
                shown(new.default.as_ref()),
                shown(old.default.as_ref())
            ),
            "change it back; accept it only if whoever says nothing is better off with it",
        );
        pair.changes.push(change.in_proto(false));
    } else if old.presence != new.presence {
        let what = format!(
            "{title}: parameter `{}` is {} where it was {}",
            old.name,
            words(new.presence),
            words(old.presence)
        );
        pair.changes.push(Change::compatible("parameter-presence-loosened", place, what));
    }
}

fn added(pair: &mut Pair<'_>, method: &Method, new: &Param, gone: &[&Param]) {
    let title = pair.title(&method.export);
    let place = pair.place(&[&method.export, &new.name]);
    if let Some(old) = gone.iter().find(|old| old.tag == new.tag) {
        pair.changes.push(Change::new(
            Verdict::Corrupting,
            "tag-reused",
            Breaks::NATIVE,
            place,
            format!(
                "{title}: parameter `{}` has tag {}, which was that of `{}`",
                new.name, new.tag, old.name
            ),
            "give it a number that was never used, with `#[tag = …]`",
        ));
        return;
    }
    // An absent list is an empty one in protobuf, and missing in upstream's calls.
    let native = new.presence == Presence::Required;
    let legacy = !new.rest && matches!(new.presence, Presence::Required | Presence::Repeated);
    if native || legacy {
        let native_words = if native { "; native callers send zero without meaning it" } else { "" };
        pair.changes.push(Change::breaking(
            "parameter-added-without-default",
            Breaks::wires(native, legacy),
            place,
            format!("{title}: parameter `{}` is new and has no default{native_words}", new.name),
            "give it one with `#[default = …]`, or make it an `Option`",
        ));
    } else {
        pair.changes.push(Change::compatible(
            "parameter-added",
            place,
            format!("{title}: parameter `{}` is new", new.name),
        ));
    }
}

pub(crate) fn words(presence: Presence) -> &'static str {
    match presence {
        Presence::Required => "required",
        Presence::Optional => "optional",
        Presence::Default => "left to its default when absent",
        Presence::Repeated => "a list or map",
    }
}

/// Whether it means something that there is none: otherwise nobody can rely on what.
pub(crate) fn may_be_absent(presence: Presence) -> bool {
    matches!(presence, Presence::Optional | Presence::Default)
}

pub(crate) fn shown(default: Option<&serde_json::Value>) -> String {
    default.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

pub(crate) fn consequence(writer: Presence, native: bool, legacy: bool) -> &'static str {
    match (writer, native, legacy) {
        (Presence::Required, true, _) => ": a zero that was sent cannot be told from nothing",
        (Presence::Repeated, true, _) => ": an empty list cannot be told from nothing",
        (_, true, true) => ": what is left out arrives as zero, or is missing",
        (_, true, false) => ": what is left out arrives as zero",
        (_, false, true) => ": what is left out is missing",
        _ => "",
    }
}

/// Whether protobuf bytes say something else to this reader than their writer meant. Zero is not sent where it needs no
/// presence, and absent is not sent at all.
pub(crate) fn lost_native(writer: Presence, reader: Presence, always_sent: bool) -> bool {
    use Presence::{Default, Optional, Repeated, Required};
    match (writer, reader) {
        (Required, Optional | Default) => !always_sent,
        (Optional | Default, Required) | (Repeated, Default) => true,
        _ => false,
    }
}

/// The same for upstream's values, where null stands for what is absent, and everything else is there.
pub(crate) fn lost_legacy(writer: Presence, reader: Presence) -> bool {
    use Presence::{Default, Optional, Repeated, Required};
    matches!((writer, reader), (Optional, Required | Default | Repeated) | (Default, Required | Repeated))
}
