//! Each edit is noticed by the rule that is meant for it, with the message that somebody would want to read, and by no
//! other one: `README.md` says how to add an edit.

use std::collections::{BTreeMap, BTreeSet};

use jumpstarter_compatibility::{Accepted, Record, Verdict, check, descriptors};
use jumpstarter_mutations_test::{VARIANTS, Variant, original};

include!("edits.rs");

fn record((name, interfaces, drivers): Variant) -> Record {
    let plain: Vec<_> = drivers.iter().map(|driver| *driver as &dyn jumpstarter::DriverFactory).collect();
    Record::of(interfaces, &plain).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn released() -> Record {
    record(("the original", original::INTERFACES, original::DRIVERS))
}

/// Each edit with the record of its copy.
fn edited() -> impl Iterator<Item = (&'static Edit, Record)> {
    let variants: BTreeMap<_, _> = VARIANTS.iter().map(|variant| (variant.0, *variant)).collect();
    EDITS.iter().map(move |edit| (edit, record(variants[edit.name])))
}

#[test]
fn each_edit_is_noticed_as_it_should_be() {
    let released = released();
    let mut wrong = Vec::new();
    for (edit, today) in edited() {
        let report = check(&released, &today, &Accepted::default()).expect("a comparison");
        let said: Vec<_> = report.failures().chain(report.warnings()).map(ToString::to_string).collect();
        let (fails, expected) = match edit.expect {
            Expect::Passes => (false, &[][..]),
            Expect::Warns(lines) => (false, lines),
            Expect::Fails(lines) => (true, lines),
        };
        let (said_set, expected_set): (BTreeSet<_>, BTreeSet<_>) =
            (said.iter().map(String::as_str).collect(), expected.iter().copied().collect());
        if report.failed() != fails || said_set != expected_set {
            wrong.push(format!(
                "{} should {}:\n  {}\nbut says:\n  {}\n",
                edit.name,
                if fails { "fail" } else { "pass" },
                expected.join("\n  "),
                said.join("\n  ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} edits:\n\n{}", wrong.len(), EDITS.len(), wrong.join("\n"));
}

#[test]
fn there_are_enough_edits_of_both_kinds() {
    let names: BTreeSet<_> = EDITS.iter().map(|edit| edit.name).collect();
    assert_eq!(names.len(), EDITS.len(), "each has a name of its own");
    let harmless = EDITS.iter().filter(|edit| matches!(edit.expect, Expect::Passes)).count();
    assert!(harmless >= 5 && EDITS.len() - harmless >= 25, "{harmless} of {} are harmless", EDITS.len());
}

#[test]
fn the_original_does_not_break_itself() {
    let report = check(&released(), &released(), &Accepted::default()).expect("a comparison");
    assert!(report.changes.is_empty(), "{report}");
}

#[test]
fn every_harmless_change_of_the_wire_is_listed_all_the_same() {
    let released = released();
    for (edit, today) in edited().filter(|(edit, _)| matches!(edit.expect, Expect::Passes)) {
        let report = check(&released, &today, &Accepted::default()).expect("a comparison");
        let listed = report.compatible().count();
        assert_eq!(listed == 0, edit.name == "write_better_documentation", "{}: {report}", edit.name);
    }
}

/// The comparison of `.proto` files knows nothing of our descriptions. Where protobuf can express a change at all, the two
/// have to be of one opinion about native clients.
#[test]
fn both_comparisons_agree_about_native_clients() {
    let released = released();
    let (mut broken, mut invisible) = (0, BTreeSet::new());
    for (edit, today) in edited() {
        let ours = jumpstarter_compatibility::compare(&released, &today);
        let native = ours.iter().filter(|change| change.breaks.native && change.verdict >= Verdict::Breaking);
        let (visible, hidden): (Vec<_>, Vec<_>) = native.partition(|change| change.in_proto);
        let theirs = descriptors::compare(&released.protos, &today.protos).expect("both compile");
        assert_eq!(visible.is_empty(), theirs.is_empty(), "{}: {visible:#?} against {theirs:#?}", edit.name);
        broken += usize::from(!visible.is_empty());
        if visible.is_empty() && !hidden.is_empty() {
            invisible.insert(edit.name);
        }
    }
    assert!(broken >= 20, "only {broken} edits break native clients");
    // Two of our types that are one of protobuf's; defaults; borders in a byte stream; what a driver provides.
    assert_eq!(
        invisible,
        BTreeSet::from([
            "answer_with_larger_numbers",
            "change_the_default_of_a_field",
            "change_the_default_of_a_parameter",
            "cut_a_byte_stream_into_messages",
            "narrow_the_type_of_a_parameter",
            "provide_less",
        ])
    );
}
