//! Messages and enums, in the direction in which they travel.

use crate::{
    change::{Breaks, Change, Verdict},
    interfaces::{Direction, Pair},
    parameters::{consequence, lost_legacy, lost_native, may_be_absent, shown, words},
    record::{Field, Message, Presence},
    types::{Mismatch, Type},
};

impl Pair<'_> {
    /// Compares the types of a value. Messages and enums in it are compared field by field, and report themselves.
    pub(crate) fn values(&mut self, old: &Type, new: &Type, direction: Direction) -> Mismatch {
        let (reader, writer) = match direction {
            Direction::Request => (new, old),
            Direction::Answer => (old, new),
        };
        let mut named = Vec::new();
        let mismatch = reader.reads(writer, &mut |reader, writer| {
            named.push(match direction {
                Direction::Request => (writer.clone(), reader.clone()),
                Direction::Answer => (reader.clone(), writer.clone()),
            });
        });
        for pair in named {
            match pair {
                (Type::Message(old), Type::Message(new)) => self.message(&old, &new, direction),
                (Type::Enum(old), Type::Enum(new)) => self.enumeration(&old, &new, direction),
                _ => {}
            }
        }
        mismatch
    }

    fn message(&mut self, name: &str, new_name: &str, direction: Direction) {
        let (old, new) = (self.old, self.new);
        let (Some(old), Some(new)) = (old.messages.get(name), new.messages.get(new_name)) else { return };
        if !self.seen.insert((name.to_owned(), new_name.to_owned(), direction)) {
            return;
        }
        let place = self.place(&[name]);
        let title = self.title(name);
        if name != new_name {
            let what =
                format!("{title}: the message is called `{new_name}` now; its name is not on the wire");
            self.changes.push(Change::compatible("message-renamed", place.clone(), what));
        }
        if old.list != new.list {
            let (now, then) =
                if new.list { ("a list", "a map by name") } else { ("a map by name", "a list") };
            let what = format!("{title}: upstream's calls carry it as {now} where it was {then}");
            self.changes.push(Change::breaking(
                "message-form-changed",
                Breaks::LEGACY,
                place,
                what,
                "change `list` back",
            ));
        }
        self.reservations(name, old, new);
        let mut taken = vec![false; new.fields.len()];
        for (index, field) in old.fields.iter().enumerate() {
            let by_name = new.fields.iter().position(|new| new.name == field.name);
            let by_tag = || {
                let at = new.fields.iter().position(|new| new.tag == field.tag)?;
                let known = old.fields.iter().any(|old| old.name == new.fields[at].name);
                (!known).then_some(at)
            };
            let renamed = by_name.is_none();
            match by_name.or_else(by_tag) {
                Some(at) => {
                    taken[at] = true;
                    let moved = (old.list && new.list && index != at).then_some((index, at));
                    if renamed {
                        self.renamed(name, field, &new.fields[at], direction);
                    } else {
                        self.field(name, field, &new.fields[at], direction);
                    }
                    if let Some((then, now)) = moved {
                        self.changes.push(Change::breaking(
                            "field-moved",
                            Breaks::LEGACY,
                            self.place(&[name, &field.name]),
                            format!(
                                "{title}: field `{}` moved from position {} to {} of the list",
                                field.name,
                                then + 1,
                                now + 1
                            ),
                            "add new fields at the end",
                        ));
                    }
                }
                None => self.removed(name, field, new, direction),
            }
        }
        for (field, _) in new.fields.iter().zip(&taken).filter(|(_, taken)| !**taken) {
            self.added_field(name, field, old);
        }
    }

    /// What was reserved stays reserved, or numbers could be used again one release later.
    fn reservations(&mut self, name: &str, old: &Message, new: &Message) {
        let used = |tag: u32| new.fields.iter().any(|field| field.tag == tag);
        for tag in old.reserved_tags.iter().filter(|tag| !new.reserved_tags.contains(tag) && !used(**tag)) {
            self.changes.push(Change::breaking(
                "reservation-removed",
                Breaks::NATIVE,
                self.place(&[name, &tag.to_string()]),
                format!("{}: tag {tag} is not reserved any more", self.title(name)),
                format!("keep `#[reserved({tag})]`"),
            ));
        }
    }

    fn renamed(&mut self, name: &str, old: &Field, new: &Field, direction: Direction) {
        let (title, place) = (self.title(name), self.place(&[name, &old.name]));
        if self.values(&old.ty, &new.ty, direction).native {
            self.changes.push(Change::new(
                Verdict::Corrupting,
                "tag-reused",
                Breaks::NATIVE,
                place,
                format!(
                    "{title}: field `{}` has tag {}, which was that of `{}`",
                    new.name, new.tag, old.name
                ),
                format!(
                    "give it another number, and write `#[reserved({}, \"{}\")]` on the message",
                    old.tag, old.name
                ),
            ));
            return;
        }
        let list = self.old.messages.get(name).is_some_and(|message| message.list);
        let what = format!("{title}: field `{}` is called `{}` now", old.name, new.name);
        self.changes.push(if list {
            Change::compatible("field-renamed", place, format!("{what}; upstream's calls carry a list"))
        } else {
            let remedy = "change it back: names are keys in upstream's calls and in JSON";
            Change::breaking("field-renamed", Breaks::LEGACY, place, what, remedy)
        });
        self.field(name, old, new, direction);
    }

    fn field(&mut self, name: &str, old: &Field, new: &Field, direction: Direction) {
        let (title, place) = (self.title(name), self.place(&[name, &old.name]));
        if old.tag != new.tag {
            let what = format!("{title}: field `{}` has tag {} where it had {}", old.name, new.tag, old.tag);
            let remedy = format!("write `#[tag = {}]` before it, and add new fields at the end", old.tag);
            self.changes.push(Change::breaking(
                "field-retagged",
                Breaks::NATIVE,
                place.clone(),
                what,
                remedy,
            ));
        }
        let mismatch = self.values(&old.ty, &new.ty, direction);
        if mismatch.any() {
            let rule = if mismatch.in_proto { "field-type-changed" } else { "field-range-changed" };
            let change = Change::breaking(
                rule,
                Breaks::wires(mismatch.native, mismatch.legacy),
                place,
                format!("{title}: the type of field `{}` changed from {} to {}", old.name, old.ty, new.ty),
                "add a field beside it, or raise `version`",
            );
            self.changes.push(change.in_proto(mismatch.in_proto));
            return;
        }
        if old.ty.differs(&new.ty) {
            let what = format!(
                "{title}: field `{}` is {} where it was {}, which its readers can read",
                old.name, new.ty, old.ty
            );
            self.changes.push(Change::compatible("field-type-compatible", place.clone(), what));
        }
        let (writer, reader) = match direction {
            Direction::Request => (old.presence, new.presence),
            Direction::Answer => (new.presence, old.presence),
        };
        let native = lost_native(writer, reader, old.ty.always_sent());
        let legacy = lost_legacy(writer, reader);
        if native || legacy {
            let what = format!(
                "{title}: field `{}` is {} where it was {}{}",
                old.name,
                words(new.presence),
                words(old.presence),
                consequence(writer, native, legacy)
            );
            let remedy = "change it back, or add a field beside it";
            self.changes.push(Change::breaking(
                "field-presence-changed",
                Breaks::wires(native, legacy),
                place,
                what,
                remedy,
            ));
        } else if old.default != new.default && may_be_absent(old.presence) && may_be_absent(new.presence) {
            let change = Change::breaking(
                "field-default-changed",
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
            self.changes.push(change.in_proto(false));
        } else if old.presence != new.presence {
            let what = format!(
                "{title}: field `{}` is {} where it was {}",
                old.name,
                words(new.presence),
                words(old.presence)
            );
            self.changes.push(Change::compatible("field-presence-loosened", place.clone(), what));
        }
        if old.unit != new.unit {
            let unit =
                |unit: &str| if unit.is_empty() { "no unit".to_owned() } else { format!("the unit {unit}") };
            self.changes.push(Change::warning(
                "field-unit-changed",
                Breaks::NOBODY,
                self.place(&[name, &old.name, "unit"]),
                format!(
                    "{title}: field `{}` has {} where it had {}",
                    old.name,
                    unit(&new.unit),
                    unit(&old.unit)
                ),
                "if the numbers change as well, add a field beside it",
            ));
        }
    }

    fn removed(&mut self, name: &str, old: &Field, new: &Message, direction: Direction) {
        let (title, place) = (self.title(name), self.place(&[name, &old.name]));
        let reserved = new.reserved_tags.contains(&old.tag);
        let legacy = match direction {
            // A key that the driver does not know is refused.
            Direction::Request => true,
            Direction::Answer => matches!(old.presence, Presence::Required | Presence::Repeated),
        };
        let reserve = format!("`#[reserved({}, \"{}\")]`", old.tag, old.name);
        if !reserved {
            self.changes.push(Change::breaking(
                "field-removed",
                Breaks::wires(true, legacy),
                place,
                format!(
                    "{title}: field `{}` is gone, and its tag {} is free for something else",
                    old.name, old.tag
                ),
                format!("write {reserve} on the message"),
            ));
        } else if legacy {
            let (what, remedy) = match direction {
                Direction::Request => ("callers that send it are refused", "keep it and ignore what it says"),
                Direction::Answer => ("older clients miss it", "keep it; only fields with a default can go"),
            };
            let what = format!("{title}: field `{}` is gone: {what}", old.name);
            self.changes.push(Change::breaking("field-removed", Breaks::LEGACY, place, what, remedy));
        } else {
            let what = format!("{title}: field `{}` is gone, and its tag is reserved", old.name);
            self.changes.push(Change::compatible("field-removed", place, what));
        }
    }

    fn added_field(&mut self, name: &str, new: &Field, old: &Message) {
        let (title, place) = (self.title(name), self.place(&[name, &new.name]));
        if old.reserved_tags.contains(&new.tag) {
            self.changes.push(Change::new(
                Verdict::Corrupting,
                "tag-reused",
                Breaks::NATIVE,
                place,
                format!("{title}: field `{}` has tag {}, which was reserved", new.name, new.tag),
                "give it a number that was never used, and keep `#[reserved(…)]`",
            ));
            return;
        }
        if let Some(before) = old.fields.iter().find(|field| field.tag == new.tag) {
            // Its former owner is still there, under another number.
            self.changes.push(Change::new(
                Verdict::Corrupting,
                "tag-reused",
                Breaks::NATIVE,
                place,
                format!(
                    "{title}: field `{}` has tag {}, which was that of `{}`",
                    new.name, new.tag, before.name
                ),
                "add new fields at the end, or give it a number that was never used",
            ));
            return;
        }
        let native = new.presence == Presence::Required;
        let legacy = matches!(new.presence, Presence::Required | Presence::Repeated);
        if native || legacy {
            self.changes.push(Change::breaking(
                "field-added-without-default",
                Breaks::wires(native, legacy),
                place,
                format!(
                    "{title}: field `{}` is new and has no default, and older peers do not send it",
                    new.name
                ),
                "give it one with `#[default = …]`, or make it an `Option`",
            ));
        } else {
            self.changes.push(Change::compatible(
                "field-added",
                place,
                format!("{title}: field `{}` is new", new.name),
            ));
        }
    }

    fn enumeration(&mut self, name: &str, new_name: &str, direction: Direction) {
        let (old, new) = (self.old, self.new);
        let (Some(old), Some(new)) = (old.enums.get(name), new.enums.get(new_name)) else { return };
        if !self.seen.insert((name.to_owned(), new_name.to_owned(), direction)) {
            return;
        }
        let title = self.title(name);
        if name != new_name {
            let what = format!("{title}: the enum is called `{new_name}` now; its name is not on the wire");
            self.changes.push(Change::compatible("message-renamed", self.place(&[name]), what));
        }
        for (text, number) in old {
            let place = self.place(&[name, text]);
            let now = new.iter().find(|(_, candidate)| *candidate == number);
            let change = match (new.get(text), now) {
                (Some(same), _) if same == number => continue,
                (Some(other), _) => Change::breaking(
                    "value-renumbered",
                    Breaks::NATIVE,
                    place,
                    format!("{title}: value `{text}` has number {other} where it had {number}"),
                    format!("write `#[tag = {number}]` before it, and add new values at the end"),
                ),
                (None, Some((called, _))) if !old.contains_key(called) => Change::breaking(
                    "value-renamed",
                    Breaks::LEGACY,
                    place,
                    format!("{title}: value `{text}` is called `{called}` now"),
                    format!("write `#[text = \"{text}\"]` before it"),
                ),
                (None, _) => Change::breaking(
                    "value-removed",
                    Breaks::BOTH,
                    place,
                    format!("{title}: value `{text}` is gone"),
                    "keep it, and refuse it where it makes no sense any more",
                ),
            };
            self.changes.push(change);
        }
        for (text, number) in new {
            if old.contains_key(text) || old.values().any(|known| known == number) {
                continue;
            }
            let place = self.place(&[name, text]);
            let what = format!("{title}: value `{text}` is new");
            self.changes.push(match direction {
                Direction::Request => Change::compatible("value-added", place, what),
                Direction::Answer => Change::warning(
                    "value-added",
                    Breaks::BOTH,
                    place,
                    format!("{what}, and older clients cannot read it in an answer"),
                    "send it only where an older client would have got an error",
                ),
            });
        }
    }
}
