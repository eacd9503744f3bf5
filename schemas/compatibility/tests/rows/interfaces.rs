//! Rows about interfaces: what clients notice.

use jumpstarter_compatibility::{Report, Verdict};

use crate::{BOTH, LEGACY, NATIVE, compared, failures, passes, record, rules};

/// Two versions of the methods of one interface, with the messages that they need.
macro_rules! interfaces {
    ($(#[$doc:meta])* $name:ident, { $($before:tt)* } => { $($after:tt)* } $(; types { $($old:tt)* } => { $($new:tt)* })?, $check:expr) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            mod before {
                use jumpstarter::prelude::*;
                /// Power.
                #[interface(name = "power", version = 1, package = "example")]
                pub trait Power { $($before)* }
                $($($old)*)?
            }
            mod after {
                use jumpstarter::prelude::*;
                /// Power.
                #[interface(name = "power", version = 1, package = "example")]
                pub trait Power { $($after)* }
                $($($new)*)?
            }
            let report = compared(&record(&[&before::POWER], &[]), &record(&[&after::POWER], &[]));
            let check: fn(&Report) = $check;
            check(&report);
        }
    };
}

interfaces!(
    a_method_may_be_added_with_a_body,
    { async fn on(&self) -> Result<()>; } => {
        async fn on(&self) -> Result<()>;
        async fn off(&self) -> Result<()> { Err(Error::unsupported()) }
    },
    passes
);

interfaces!(
    a_method_without_a_body_is_a_warning_to_other_peoples_drivers,
    { async fn on(&self) -> Result<()>; } => {
        async fn on(&self) -> Result<()>;
        async fn off(&self) -> Result<()>;
    },
    |report| {
        assert!(!report.failed());
        let warning = report.warnings().next().expect("a warning");
        assert_eq!(warning.rule, "method-added-without-body");
        assert!(warning.breaks.source && !warning.breaks.native && !warning.breaks.legacy);
    }
);

interfaces!(
    removing_a_method_breaks_both_languages,
    { async fn on(&self) -> Result<()>; async fn off(&self, now: bool) -> Result<()>; } => { async fn on(&self) -> Result<()>; },
    |report| assert_eq!(failures(report), [("method-removed", BOTH.to_owned())])
);

interfaces!(
    renaming_a_method_breaks_both_languages,
    { async fn on(&self) -> Result<()>; } => { async fn start(&self) -> Result<()>; },
    |report| assert_eq!(failures(report), [("method-renamed", BOTH.to_owned())])
);

interfaces!(
    renaming_a_method_and_keeping_its_old_name_breaks_nobody,
    { async fn on(&self) -> Result<()>; } => { #[renamed_from = "on"] async fn start(&self) -> Result<()>; },
    passes
);

interfaces!(
    a_parameter_with_a_default_may_be_added_at_the_end,
    { async fn set(&self, a: u32) -> Result<()>; } => {
        async fn set(&self, a: u32, #[default = 1] b: u32, c: Option<String>) -> Result<()>;
    },
    passes
);

interfaces!(
    a_parameter_with_a_default_in_front_breaks_legacy_clients,
    { async fn set_limit(&self, a: u32, b: Option<u32>, steps: Option<u32>) -> Result<()>; } => {
        async fn set_limit(&self, a: u32, b: Option<u32>, #[tag = 4] c: Option<u32>, #[tag = 3] steps: Option<u32>) -> Result<()>;
    },
    |report| {
        assert_eq!(failures(report), [("parameter-moved", LEGACY.to_owned())]);
        assert_eq!(
            report.failures().next().expect("a failure").to_string(),
            "breaking for legacy clients: power.set_limit: parameter `steps` moved from position 3 to 4; add new parameters at the end (parameter-moved)"
        );
    }
);

interfaces!(
    a_parameter_without_a_default_breaks_both_languages,
    { async fn set(&self, a: u32) -> Result<()>; } => { async fn set(&self, a: u32, b: u32) -> Result<()>; },
    |report| assert_eq!(failures(report), [("parameter-added-without-default", BOTH.to_owned())])
);

interfaces!(
    reordering_parameters_breaks_legacy_clients_and_others_unless_tags_are_pinned,
    {
        async fn pinned(&self, a: u32, b: u32) -> Result<()>;
        async fn unpinned(&self, a: u32, b: u32) -> Result<()>;
    } => {
        async fn pinned(&self, #[tag = 2] b: u32, #[tag = 1] a: u32) -> Result<()>;
        async fn unpinned(&self, b: u32, a: u32) -> Result<()>;
    },
    |report| {
        let of = |method: &str| -> Vec<_> {
            let place = format!("/{method}/a");
            let found = report.failures().filter(|change| change.place.ends_with(&place));
            found.map(|change| (change.rule, change.breaks.to_string())).collect()
        };
        assert_eq!(of("pinned"), [("parameter-moved", LEGACY.to_owned())]);
        assert_eq!(of("unpinned"), [("parameter-moved", LEGACY.to_owned()), ("parameter-retagged", NATIVE.to_owned())]);
        assert_eq!(report.failures().count(), 6);
    }
);

interfaces!(
    renaming_a_parameter_breaks_nobody,
    { async fn set(&self, a: u32) -> Result<()>; } => { async fn set(&self, b: u32) -> Result<()>; },
    passes
);

interfaces!(
    renaming_a_field_breaks_legacy_clients,
    { async fn get(&self) -> Result<Answer>; } => { async fn get(&self) -> Result<Answer>; };
    types { #[message] pub struct Answer { pub volts: f64 } } => { #[message] pub struct Answer { pub voltage: f64 } },
    |report| assert_eq!(failures(report), [("field-renamed", LEGACY.to_owned())])
);

interfaces!(
    changing_types_streams_tags_and_presence_breaks,
    {
        async fn kind(&self, a: bool) -> Result<()>;
        async fn stream(&self) -> Result<u32>;
        async fn tag(&self, a: u32) -> Result<()>;
        async fn presence(&self, a: u32) -> Result<()>;
    } => {
        async fn kind(&self, a: String) -> Result<()>;
        async fn stream(&self) -> Result<Stream<u32>>;
        async fn tag(&self, #[tag = 2] a: u32) -> Result<()>;
        async fn presence(&self, #[default = 1] a: u32) -> Result<()>;
    },
    |report| assert_eq!(
        failures(report),
        [
            ("parameter-type-changed", BOTH.to_owned()),
            ("parameter-presence-changed", NATIVE.to_owned()),
            ("streaming-changed", BOTH.to_owned()),
            ("parameter-retagged", NATIVE.to_owned()),
        ]
    )
);

interfaces!(
    integers_of_one_family_may_become_wider_where_they_are_read,
    { async fn set(&self, a: u8, b: u32, c: i32) -> Result<u64>; } => { async fn set(&self, a: u16, b: u64, c: i64) -> Result<u32>; },
    passes
);

interfaces!(
    a_field_may_go_when_it_had_a_default_and_its_number_is_reserved,
    { async fn get(&self) -> Result<Answer>; } => { async fn get(&self) -> Result<Answer>; };
    types { #[message] pub struct Answer { pub a: f64, #[default = 1] pub b: u32, pub c: Option<u32> } }
    => { #[message] #[reserved(2, 3, "b", "c")] pub struct Answer { pub a: f64 } },
    passes
);

interfaces!(
    a_field_without_a_default_is_missed_by_legacy_clients,
    { async fn get(&self) -> Result<Answer>; } => { async fn get(&self) -> Result<Answer>; };
    types { #[message] pub struct Answer { pub a: f64, pub b: u32 } }
    => { #[message] #[reserved(2, "b")] pub struct Answer { pub a: f64 } },
    |report| assert_eq!(failures(report), [("field-removed", LEGACY.to_owned())])
);

interfaces!(
    a_field_that_callers_send_is_refused_when_it_is_gone,
    { async fn set(&self, it: Request) -> Result<()>; } => { async fn set(&self, it: Request) -> Result<()>; };
    types { #[message] pub struct Request { pub a: f64, #[default = 1] pub b: u32 } }
    => { #[message] #[reserved(2, "b")] pub struct Request { pub a: f64 } },
    |report| assert_eq!(failures(report), [("field-removed", LEGACY.to_owned())])
);

interfaces!(
    a_tag_that_is_used_again_is_an_error_that_nobody_can_accept,
    { async fn get(&self) -> Result<Answer>; } => { async fn get(&self) -> Result<Answer>; };
    types { #[message] pub struct Answer { pub a: f64, #[default = 1] pub b: u32 } }
    => { #[message] pub struct Answer { pub a: f64, #[tag = 2] pub text: String } },
    |report| {
        assert_eq!(rules(report.failures()), ["tag-reused"]);
        assert_eq!(report.failures().next().map(|change| change.verdict), Some(Verdict::Corrupting));
    }
);

interfaces!(
    an_option_that_becomes_required_breaks_both_languages,
    { async fn set(&self, a: Option<u32>) -> Result<()>; } => { async fn set(&self, a: u32) -> Result<()>; },
    |report| assert_eq!(failures(report), [("parameter-presence-changed", BOTH.to_owned())])
);

/// Messages may contain themselves, and may travel in both directions: each change of one is reported once.
#[test]
fn a_message_is_compared_once_however_it_is_reached() {
    mod before {
        use jumpstarter::prelude::*;
        /// A tree.
        #[interface(name = "tree", version = 1, package = "example")]
        pub trait Tree {
            async fn graft(&self, it: Node, all: Vec<Node>) -> Result<Node>;
        }
        #[message]
        pub struct Node {
            pub inner: Vec<Node>,
            pub size: u8,
        }
    }
    mod after {
        use jumpstarter::prelude::*;
        /// A tree.
        #[interface(name = "tree", version = 1, package = "example")]
        pub trait Tree {
            async fn graft(&self, it: Branch, all: Vec<Branch>) -> Result<Branch>;
        }
        #[message]
        pub struct Branch {
            pub inner: Vec<Branch>,
            pub size: u16,
        }
    }
    let report = compared(&record(&[&before::TREE], &[]), &record(&[&after::TREE], &[]));
    // Wider is right for what drivers read, and wrong for what clients read.
    assert_eq!(failures(&report), [("field-range-changed", BOTH.to_owned())]);
    assert_eq!(rules(report.compatible()), ["message-renamed", "field-type-compatible"], "{report}");
}

#[test]
fn a_new_version_beside_the_old_one_breaks_nobody_and_in_its_place_everybody() {
    mod v1 {
        use jumpstarter::prelude::*;
        /// Power.
        #[interface(name = "power", version = 1, package = "example")]
        pub trait Power {
            async fn on(&self) -> Result<()>;
        }
    }
    mod v2 {
        use jumpstarter::prelude::*;
        /// Power.
        #[interface(name = "power", version = 2, package = "example")]
        pub trait Power {
            async fn on(&self, channel: u32) -> Result<()>;
        }
    }
    mod moved {
        use jumpstarter::prelude::*;
        /// Power.
        #[interface(name = "supply", version = 1, package = "example", also = ["example.power.v1.Power"])]
        pub trait Supply {
            async fn on(&self) -> Result<()>;
        }
    }
    let released = record(&[&v1::POWER], &[]);
    passes(&compared(&released, &record(&[&v1::POWER, &v2::POWER], &[])));
    let report = compared(&released, &record(&[&v2::POWER], &[]));
    assert_eq!(failures(&report), [("interface-removed", BOTH.to_owned())]);
    let said = report.failures().next().expect("a failure").to_string();
    assert!(
        said.contains("keep version 1 beside version 2 for a while: `provides(PowerV1, Power)`"),
        "{said}"
    );

    let ours = jumpstarter_compatibility::compare(&released, &record(&[&moved::SUPPLY], &[]));
    assert_eq!(rules(ours.iter()), ["interface-moved"], "a service that still answers is no break");
    assert_eq!(ours[0].verdict, Verdict::Warning);
}

interfaces!(
    a_required_message_may_get_a_default,
    { async fn set(&self, wait: jumpstarter::Delay) -> Result<()>; } => {
        async fn set(&self, #[default = "1s"] wait: jumpstarter::Delay) -> Result<()>;
    },
    passes
);

interfaces!(
    a_field_that_is_always_sent_may_get_a_default,
    { async fn set(&self, it: Request) -> Result<()>; } => { async fn set(&self, it: Request) -> Result<()>; };
    types { #[message] pub struct Request { pub wait: jumpstarter::Delay } }
    => { #[message] pub struct Request { #[default = "1s"] pub wait: jumpstarter::Delay } },
    passes
);

interfaces!(
    a_changed_default_of_a_parameter_breaks_whoever_says_nothing,
    { async fn set(&self, #[default = "2s"] wait: jumpstarter::Delay) -> Result<()>; } => {
        async fn set(&self, #[default = "1s"] wait: jumpstarter::Delay) -> Result<()>;
    },
    |report| assert_eq!(failures(report), [("parameter-default-changed", BOTH.to_owned())])
);
