//! Which breaks of `.proto` files the comparison of descriptions found as well. Each is looked for at its own place: a break
//! somewhere else in the same interface, which somebody may have accepted, says nothing about it.

use crate::{
    Change, Record,
    descriptors::{Break, Part},
    record::Interface,
};

/// Rules after which numbers of a message stand for something else, so that what is found below is no further break.
const OTHER_MESSAGE: &[&str] = &[
    "answer-type-changed",
    "parameter-type-changed",
    "parameter-retagged",
    "parameter-removed",
    "field-type-changed",
    "field-retagged",
    "field-removed",
    "tag-reused",
];

/// The breaks that only the comparison of `.proto` files saw.
pub(crate) fn missed(released: &Record, changes: &[Change], second: Vec<Break>) -> Vec<Change> {
    let native: Vec<_> = changes.iter().filter(|change| change.in_proto && change.breaks.native).collect();
    let missed = second.into_iter().filter(|found| !known(released, &native, found));
    missed.map(Break::into_change).collect()
}

fn known(released: &Record, native: &[&Change], found: &Break) -> bool {
    let Break { package, way, mixed, .. } = found;
    let interface = released.interfaces.get(package);
    let reported = |part: &Part, rules: Option<&[&str]>| {
        let places = places(package, interface, part);
        native.iter().any(|change| {
            places.contains(&change.place) && rules.is_none_or(|rules| rules.contains(&change.rule))
        })
    };
    let Some((last, before)) = way.split_last() else { return false };
    if reported(last, None) {
        return true;
    }
    // What is directly in an answer has no place of its own where the answer is a plain value.
    if let Some(answer @ Part::Answer(_)) = before.last()
        && reported(answer, None)
    {
        return true;
    }
    *mixed && before.iter().any(|part| reported(part, Some(OTHER_MESSAGE)))
}

/// Where the comparison of descriptions would have reported it.
fn places(package: &str, interface: Option<&Interface>, part: &Part) -> Vec<String> {
    let Some(interface) = interface else { return Vec::new() };
    let place = |parts: &[&str]| [&["interfaces", package], parts].concat().join("/");
    let export = |rpc: &str| {
        let method = interface.methods.iter().find(|method| method.rpc == rpc);
        method.map(|method| method.export.as_str())
    };
    let found = match part {
        Part::Service => {
            return vec![place(&[]), place(&[&interface.full_service()])];
        }
        Part::Method(method) => export(method).map(|method| place(&[method])),
        Part::FormerName(name) => {
            let mut former = interface.methods.iter().flat_map(|method| &method.renamed_from);
            former.find(|former| former.rpc == *name).map(|former| place(&[&former.export]))
        }
        Part::Parameter { method, name } => export(method).map(|method| place(&[method, name])),
        Part::Answer(method) => export(method).map(|method| place(&[method, "returns"])),
        Part::Field { message, name } => Some(place(&[message, name])),
        Part::Reserved { message, number } => Some(place(&[message, &number.to_string()])),
        Part::Value { enumeration, number } => {
            let mut values = interface.enums.get(enumeration).into_iter().flatten();
            values.find(|(_, known)| *known == number).map(|(text, _)| place(&[enumeration, text]))
        }
    };
    found.into_iter().collect()
}
