// What somebody might do to `fixture.rs`, and what has to be said about it. Part of the build script and of the test.

/// One edit of the source.
struct Edit {
    /// What it does; also the name of a module.
    name: &'static str,
    #[allow(dead_code)] // The build script reads it.
    /// Texts, each of which is found exactly once, and what takes its place.
    replace: &'static [(&'static str, &'static str)],
    /// What the check says.
    expect: Expect,
}

/// What the check says about an edit. Every line, and no other one.
enum Expect {
    /// Nothing that anybody has to read.
    Passes,
    /// Warnings; the check passes.
    Warns(&'static [&'static str]),
    /// Breaks, with whatever warnings belong to them; the check fails.
    Fails(&'static [&'static str]),
}

use Expect::{Fails, Passes, Warns};

const EDITS: &[Edit] = &[
    // Methods.
    Edit {
        name: "rename_a_method",
        replace: &[("async fn watch(", "async fn observe(")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.watch: the method is called `observe` now; keep the old name working: `#[renamed_from = \"watch\"]` on `observe` (method-renamed)",
        ]),
    },
    Edit {
        name: "remove_a_method",
        replace: &[(
            "    /// Become cooler.
    async fn cool(&self, by: Option<f64>) -> Result<()> {
        Err(Error::unsupported())
    }
",
            "",
        )],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.cool: the method is gone; keep it, with a body that returns `Err(Error::unsupported())` if need be (method-removed)",
        ]),
    },
    Edit {
        name: "take_a_former_name_away",
        replace: &[("    #[renamed_from = \"stop\"]\n", "")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.stop: `halt` does not answer to its former name any more; keep `#[renamed_from = \"stop\"]` (former-name-removed)",
        ]),
    },
    Edit {
        name: "rename_a_method_in_upstreams_calls_only",
        replace: &[("    async fn mix(", "    #[export(name = \"blend\")]\n    #[renamed_from = \"mixing\"]\n    async fn mix(")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.mix: the method is called `blend` now; keep the old name working: `#[renamed_from = \"mix\"]` on `blend` (method-renamed)",
        ]),
    },
    Edit {
        name: "add_a_method_without_a_body",
        replace: &[
            ("    /// Talk to the controller.", "    /// Rest.\n    async fn rest(&self) -> Result<()>;\n\n    /// Talk to the controller."),
            ("    async fn start(&self) -> Result<()> {", "    async fn rest(&self) -> Result<()> {\n        Ok(())\n    }\n\n    async fn start(&self) -> Result<()> {"),
        ],
        expect: Warns(&[
            "warning: may break the source of other drivers: heater.rest: the method is new, and every driver has to have it; give it a body in the trait: `Err(Error::unsupported())` (method-added-without-body)",
        ]),
    },
    Edit {
        name: "answer_with_a_list_in_place_of_a_stream",
        replace: &[("Result<Stream<Reading>>", "Result<Vec<Reading>>")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.watch: the method answers with one value where it answered with a stream of values; add a method beside it, or raise `version` (streaming-changed)",
        ]),
    },
    Edit {
        name: "answer_with_a_stream_in_place_of_a_value",
        replace: &[("Result<u16>", "Result<Stream<u16>>")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.follow: the method answers with a stream of values where it answered with one value; add a method beside it, or raise `version` (streaming-changed)",
        ]),
    },
    Edit {
        name: "cut_a_byte_stream_into_messages",
        replace: &[("    async fn console(", "    #[export(framing = \"messages\")]\n    async fn console(")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.console: the method answers with a stream of messages where it answered with a stream of bytes; add a method beside it, or raise `version` (streaming-changed)",
        ]),
    },
    Edit {
        name: "answer_with_another_type",
        replace: &[("Result<bool>", "Result<String>")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.aim: the type of the answer changed from bool to text; add a method beside it, or raise `version` (answer-type-changed)",
        ]),
    },
    Edit {
        name: "answer_with_larger_numbers",
        replace: &[("Result<u16>", "Result<u32>")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.follow: the type of the answer changed from u16 to u32; add a method beside it, or raise `version` (answer-type-widened)",
        ]),
    },
    Edit {
        name: "answer_where_there_was_no_answer",
        replace: &[("async fn mix(&self, left: f64, right: f64) -> Result<()>", "async fn mix(&self, left: f64, right: f64) -> Result<f64>")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.mix: the type of the answer changed from nothing to f64; add a method beside it, or raise `version` (answer-type-changed)",
        ]),
    },
    Edit {
        name: "let_a_second_call_fail",
        replace: &[("    async fn mix(", "    #[exclusive(busy = \"fail\")]\n    async fn mix(")],
        expect: Warns(&[
            "warning: heater.mix: a second call at the same time now fails where it ran beside the first (exclusivity-changed)",
        ]),
    },
    // Parameters.
    Edit {
        name: "reorder_parameters",
        replace: &[(
            "        #[default = 20.0] celsius: f64,
        #[tag = 3] ramp: Option<u32>,",
            "        #[tag = 3] ramp: Option<u32>,
        #[tag = 2] #[default = 20.0] celsius: f64,",
        )],
        expect: Fails(&[
            "breaking for legacy clients: heater.aim: parameter `celsius` moved from position 2 to 3; keep the order (parameter-moved)",
            "breaking for legacy clients: heater.aim: parameter `ramp` moved from position 3 to 2; keep the order (parameter-moved)",
        ]),
    },
    Edit {
        name: "reorder_parameters_and_their_tags",
        replace: &[("left: f64, right: f64", "right: f64, left: f64")],
        expect: Fails(&[
            "breaking for legacy clients: heater.mix: parameter `left` moved from position 1 to 2; keep the order (parameter-moved)",
            "breaking for legacy clients: heater.mix: parameter `right` moved from position 2 to 1; keep the order (parameter-moved)",
            "breaking for native clients: heater.mix: parameter `left` has tag 2 where it had 1; write `#[tag = 1]` before it (parameter-retagged)",
            "breaking for native clients: heater.mix: parameter `right` has tag 1 where it had 2; write `#[tag = 2]` before it (parameter-retagged)",
        ]),
    },
    Edit {
        name: "add_a_parameter_in_the_middle",
        replace: &[("        #[tag = 3] ramp: Option<u32>,", "        #[tag = 4] #[default = 1] level: u32,\n        #[tag = 3] ramp: Option<u32>,")],
        expect: Fails(&[
            "breaking for legacy clients: heater.aim: parameter `ramp` moved from position 3 to 4; add new parameters at the end (parameter-moved)",
        ]),
    },
    Edit {
        name: "add_a_parameter_without_a_default",
        replace: &[("left: f64, right: f64", "left: f64, right: f64, depth: f64")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.mix: parameter `depth` is new and has no default; native callers send zero without meaning it; give it one with `#[default = …]`, or make it an `Option` (parameter-added-without-default)",
        ]),
    },
    Edit {
        name: "add_a_list_as_a_parameter",
        replace: &[("left: f64, right: f64", "left: f64, right: f64, further: Vec<f64>")],
        expect: Fails(&[
            "breaking for legacy clients: heater.mix: parameter `further` is new and has no default; give it one with `#[default = …]`, or make it an `Option` (parameter-added-without-default)",
        ]),
    },
    Edit {
        name: "remove_a_parameter",
        replace: &[("left: f64, right: f64", "left: f64")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.mix: parameter `right` is gone; keep it and ignore what it says, or raise `version` (parameter-removed)",
        ]),
    },
    Edit {
        name: "narrow_the_type_of_a_parameter",
        replace: &[("count: u32", "count: u8")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.watch: the type of parameter `count` changed from u32 to u8; add a parameter at the end beside it, or raise `version` (parameter-type-narrowed)",
        ]),
    },
    Edit {
        name: "change_the_type_of_a_parameter",
        replace: &[("zone: String", "zone: u32")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.aim: the type of parameter `zone` changed from text to u32; add a parameter at the end beside it, or raise `version` (parameter-type-changed)",
        ]),
    },
    Edit {
        name: "change_the_width_of_a_fraction",
        replace: &[("left: f64", "left: f32")],
        expect: Fails(&[
            "breaking for native clients: heater.mix: the type of parameter `left` changed from f64 to f32; add a parameter at the end beside it, or raise `version` (parameter-type-changed)",
        ]),
    },
    Edit {
        name: "make_an_optional_parameter_required",
        replace: &[("by: Option<f64>", "by: f64")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.cool: parameter `by` is required where it was optional: what is left out arrives as zero, or is missing; change it back, or add a parameter at the end beside it (parameter-presence-changed)",
        ]),
    },
    Edit {
        name: "make_a_required_parameter_optional",
        replace: &[("count: u32", "count: Option<u32>")],
        expect: Fails(&[
            "breaking for native clients: heater.watch: parameter `count` is optional where it was required: a zero that was sent cannot be told from nothing; change it back, or add a parameter at the end beside it (parameter-presence-changed)",
        ]),
    },
    Edit {
        name: "take_the_default_of_a_parameter_away",
        replace: &[("        #[default = 20.0] celsius: f64,", "        celsius: f64,")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.aim: parameter `celsius` is required where it was left to its default when absent: what is left out arrives as zero, or is missing; change it back, or add a parameter at the end beside it (parameter-presence-changed)",
        ]),
    },
    Edit {
        name: "change_the_default_of_a_parameter",
        replace: &[("#[default = 20.0]", "#[default = 25.0]")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.aim: an absent `celsius` means 25.0 where it meant 20.0; change it back; accept it only if whoever says nothing is better off with it (parameter-default-changed)",
        ]),
    },
    Edit {
        name: "retag_a_parameter",
        replace: &[("#[tag = 3] ramp", "#[tag = 9] ramp")],
        expect: Fails(&[
            "breaking for native clients: heater.aim: parameter `ramp` has tag 9 where it had 3; write `#[tag = 3]` before it (parameter-retagged)",
        ]),
    },
    Edit {
        name: "give_the_tag_of_a_parameter_to_another_one",
        replace: &[("#[tag = 3] ramp: Option<u32>", "#[tag = 3] label: Option<String>")],
        expect: Fails(&[
            "error: silently corrupts what native clients send: heater.aim: parameter `label` has tag 3, which was that of `ramp`; give it a number that was never used, with `#[tag = …]` (tag-reused)",
            "breaking for native and legacy clients: heater.aim: parameter `ramp` is gone; keep it and ignore what it says, or raise `version` (parameter-removed)",
        ]),
    },
    // Messages and enums.
    Edit {
        name: "retag_a_field",
        replace: &[("    pub humidity: Option<f64>,", "    #[tag = 7]\n    pub humidity: Option<f64>,"), ("    pub place: u32,", "    #[tag = 3]\n    pub place: u32,")],
        expect: Fails(&[
            "breaking for native clients: heater.Reading: field `humidity` has tag 7 where it had 2; write `#[tag = 2]` before it, and add new fields at the end (field-retagged)",
        ]),
    },
    Edit {
        name: "remove_a_field_and_leave_its_tag_free",
        replace: &[("    /// Where.\n    #[default = 0]\n    pub place: u32,\n", "")],
        expect: Fails(&[
            "breaking for native clients: heater.Reading: field `place` is gone, and its tag 3 is free for something else; write `#[reserved(3, \"place\")]` on the message (field-removed)",
        ]),
    },
    Edit {
        name: "remove_a_field_that_had_no_default",
        replace: &[("    /// Degrees.\n    #[unit = \"°C\"]\n    pub celsius: f64,\n", ""), ("pub struct Reading", "#[reserved(1, \"celsius\")]\npub struct Reading"), ("    pub humidity: Option<f64>,", "    #[tag = 2]\n    pub humidity: Option<f64>,")],
        expect: Fails(&[
            "breaking for legacy clients: heater.Reading: field `celsius` is gone: older clients miss it; keep it; only fields with a default can go (field-removed)",
        ]),
    },
    Edit {
        name: "rename_a_field",
        replace: &[("pub celsius: f64", "pub degrees: f64")],
        expect: Fails(&[
            "breaking for legacy clients: heater.Reading: field `celsius` is called `degrees` now; change it back: names are keys in upstream's calls and in JSON (field-renamed)",
        ]),
    },
    Edit {
        name: "reuse_the_tag_of_a_field",
        replace: &[("pub humidity: Option<f64>", "pub comment: Option<String>")],
        expect: Fails(&[
            "error: silently corrupts what native clients send: heater.Reading: field `comment` has tag 2, which was that of `humidity`; give it another number, and write `#[reserved(2, \"humidity\")]` on the message (tag-reused)",
        ]),
    },
    Edit {
        name: "use_a_reserved_tag",
        replace: &[("#[reserved(4, \"speed\")]\n", ""), ("    pub rounds: u32,\n", "    pub rounds: u32,\n    /// How fast.\n    pub velocity: Option<f64>,\n")],
        expect: Fails(&[
            "error: silently corrupts what native clients send: heater.Program: field `velocity` has tag 4, which was reserved; give it a number that was never used, and keep `#[reserved(…)]` (tag-reused)",
        ]),
    },
    Edit {
        name: "end_a_reservation",
        replace: &[("#[reserved(4, \"speed\")]\n", "")],
        expect: Fails(&[
            "breaking for native clients: heater.Program: tag 4 is not reserved any more; keep `#[reserved(4)]` (reservation-removed)",
        ]),
    },
    Edit {
        name: "change_the_type_of_a_field",
        replace: &[("pub title: String", "pub title: u64")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.Program: the type of field `title` changed from text to u64; add a field beside it, or raise `version` (field-type-changed)",
        ]),
    },
    Edit {
        name: "change_the_default_of_a_field",
        replace: &[("    #[default = 1]\n    pub rounds", "    #[default = 2]\n    pub rounds")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.Program: an absent `rounds` means 2 where it meant 1; change it back; accept it only if whoever says nothing is better off with it (field-default-changed)",
        ]),
    },
    Edit {
        name: "add_a_field_without_a_default",
        replace: &[("    pub place: u32,\n", "    pub place: u32,\n    /// How exact.\n    pub error: f64,\n")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.Reading: field `error` is new and has no default, and older peers do not send it; give it one with `#[default = …]`, or make it an `Option` (field-added-without-default)",
        ]),
    },
    Edit {
        name: "make_an_optional_field_required",
        replace: &[("pub humidity: Option<f64>", "pub humidity: f64")],
        expect: Fails(&[
            "breaking for native clients: heater.Reading: field `humidity` is required where it was optional: a zero that was sent cannot be told from nothing; change it back, or add a field beside it (field-presence-changed)",
        ]),
    },
    Edit {
        name: "change_a_unit",
        replace: &[("#[unit = \"°C\"]", "#[unit = \"K\"]")],
        expect: Warns(&[
            "warning: heater.Reading: field `celsius` has the unit K where it had the unit °C; if the numbers change as well, add a field beside it (field-unit-changed)",
        ]),
    },
    Edit {
        name: "send_a_message_as_a_list",
        replace: &[("#[message]\npub struct Reading", "#[message(list)]\npub struct Reading")],
        expect: Fails(&[
            "breaking for legacy clients: heater.Reading: upstream's calls carry it as a list where it was a map by name; change `list` back (message-form-changed)",
        ]),
    },
    Edit {
        name: "remove_an_enum_value",
        replace: &[("    /// With little energy.\n    Eco,\n", "")],
        expect: Fails(&[
            "breaking for native and legacy clients: heater.Pace: value `eco` is gone; keep it, and refuse it where it makes no sense any more (value-removed)",
        ]),
    },
    Edit {
        name: "reorder_enum_values",
        replace: &[("    /// In no time.\n    Fast,\n    /// With care.\n    Slow,\n", "    /// With care.\n    Slow,\n    /// In no time.\n    Fast,\n")],
        expect: Fails(&[
            "breaking for native clients: heater.Pace: value `fast` has number 2 where it had 1; write `#[tag = 1]` before it, and add new values at the end (value-renumbered)",
            "breaking for native clients: heater.Pace: value `slow` has number 1 where it had 2; write `#[tag = 2]` before it, and add new values at the end (value-renumbered)",
        ]),
    },
    Edit {
        name: "rename_an_enum_value",
        replace: &[("    Slow,\n", "    Careful,\n")],
        expect: Fails(&[
            "breaking for legacy clients: heater.Pace: value `slow` is called `careful` now; write `#[text = \"slow\"]` before it (value-renamed)",
        ]),
    },
    // Interfaces.
    Edit {
        name: "raise_the_version_and_drop_the_old_one",
        replace: &[("name = \"heater\",\n    version = 1,", "name = \"heater\",\n    version = 2,")],
        expect: Fails(&[
            "breaking for native and legacy clients: driver oven: it does not provide org.example.heater.v1 any more; keep it in `provides(…)`, beside a newer version if there is one (interface-not-provided)",
            "breaking for native and legacy clients: heater: the interface org.example.heater.v1 is gone; keep version 1 beside version 2 for a while: `provides(HeaterV1, Heater)` (interface-removed)",
        ]),
    },
    Edit {
        name: "rename_the_service",
        replace: &[("pub trait Heater", "pub trait Warmer"), ("provides(Heater, Fan)", "provides(Warmer, Fan)"), ("impl Heater for Oven", "impl Warmer for Oven"), ("&HEATER", "&WARMER")],
        expect: Fails(&[
            "breaking for native clients: heater: calls of the service org.example.heater.v1.Heater are not answered any more; add \"org.example.heater.v1.Heater\" to `also` of the interface (service-name-removed)",
        ]),
    },
    Edit {
        name: "change_the_python_class",
        replace: &[(
            "    python = \"jumpstarter.client.DriverClient\"\n)]\npub trait Heater",
            "    python = \"example.client.Heater\"\n)]\npub trait Heater",
        )],
        expect: Warns(&[
            "warning: may break legacy clients: driver oven: Python clients get example.client.Heater in place of jumpstarter.client.DriverClient; make sure that the class has what scripts use (python-class-changed)",
            "warning: may break legacy clients: heater: Python clients get example.client.Heater in place of jumpstarter.client.DriverClient; make sure that the class has what scripts use (python-class-changed)",
        ]),
    },
    // Configurations.
    Edit {
        name: "remove_a_key",
        replace: &[("    /// Not above.\n    pub limit: Option<f64>,\n", "")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `limit` is gone; keep it for a release with `#[deprecated]`; if it has another name now, write `#[alias(\"…\")]` on the new one (key-removed)",
        ]),
    },
    Edit {
        name: "remove_a_deprecated_key",
        replace: &[("    /// Is not looked at any more.\n    #[deprecated]\n    pub colour: Option<String>,\n", "")],
        expect: Warns(&[
            "warning: driver oven: key `colour` is gone; it was deprecated in the last release; files that still have it are wrong now (key-removed)",
        ]),
    },
    Edit {
        name: "rename_a_key",
        replace: &[("pub port: String", "pub device: String")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `device` is new and required; give it a default: `#[default = …]`, or make it an `Option` (key-required)",
            "breaking for YAML files: driver oven: key `port` is gone; keep it for a release with `#[deprecated]`; if it has another name now, write `#[alias(\"…\")]` on the new one (key-removed)",
        ]),
    },
    Edit {
        name: "add_a_required_key",
        replace: &[("    pub port: String,\n", "    pub port: String,\n    /// How wide.\n    pub width: u32,\n")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `width` is new and required; give it a default: `#[default = …]`, or make it an `Option` (key-required)",
        ]),
    },
    Edit {
        name: "make_an_optional_key_required",
        replace: &[("pub limit: Option<f64>", "pub limit: f64")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `limit` cannot be null any more, only number; take both, or add another key beside it (type-narrowed)",
            "breaking for YAML files: driver oven: key `limit` is required now; give it a default: `#[default = …]`, or make it an `Option` (key-required)",
        ]),
    },
    Edit {
        name: "take_the_default_of_a_key_away",
        replace: &[("    #[default = 9600]\n", "")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `baudrate` is required now; give it a default: `#[default = …]`, or make it an `Option` (key-required)",
        ]),
    },
    Edit {
        name: "narrow_the_range_of_a_key",
        replace: &[("pub baudrate: u32", "pub baudrate: u16")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `baudrate` must be at most 65535 where 4294967295 was allowed; take both, or add another key beside it (range-narrowed)",
        ]),
    },
    Edit {
        name: "change_the_type_of_a_key",
        replace: &[("pub zones: Vec<String>", "pub zones: Vec<u32>")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `zones.items` cannot be string any more, only integer; take both, or add another key beside it (type-narrowed)",
            "breaking for YAML files: driver oven: key `zones.items` must be at least 0 where anything was enough; take both, or add another key beside it (range-narrowed)",
        ]),
    },
    Edit {
        name: "remove_a_value_of_a_key",
        replace: &[("    /// At once.\n    Full,\n", "")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `heating` cannot be \"full\" any more; keep it, with `#[alias(…)]` on the value that takes its place (value-removed)",
        ]),
    },
    Edit {
        name: "change_the_default_of_a_key",
        replace: &[("#[default = 9600]", "#[default = 115_200]")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: an absent key `baudrate` means 115200 where it meant 9600; change it back; accept it only if whoever says nothing is better off with it (key-default-changed)",
        ]),
    },
    Edit {
        name: "give_a_required_key_a_default",
        replace: &[("    pub port: String,\n", "    #[default = \"/dev/ttyUSB0\"]\n    pub port: String,\n")],
        expect: Passes,
    },
    // Configurations within configurations.
    Edit {
        name: "remove_a_key_of_a_part",
        replace: &[("    /// Where the air goes.\n    pub outlet: Option<String>,\n", "")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `vent.outlet` is gone; keep it for a release with `#[deprecated]`; if it has another name now, write `#[alias(\"…\")]` on the new one (key-removed)",
        ]),
    },
    Edit {
        name: "remove_a_deprecated_key_of_a_part",
        replace: &[("    /// Was for another valve.\n    #[deprecated]\n    pub flap: Option<u8>,\n", "")],
        expect: Warns(&[
            "warning: driver oven: key `vent.flap` is gone; it was deprecated in the last release; files that still have it are wrong now (key-removed)",
        ]),
    },
    Edit {
        name: "change_the_default_of_a_key_of_a_part",
        replace: &[("    #[default = 50]\n", "    #[default = 100]\n")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: an absent key `vent.opening` means 100 where it meant 50; change it back; accept it only if whoever says nothing is better off with it (key-default-changed)",
        ]),
    },
    Edit {
        name: "add_a_required_key_to_a_part",
        replace: &[("    pub valve: String,\n", "    pub valve: String,\n    /// How wide.\n    pub width: u32,\n")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `vent.width` is new and required; give it a default: `#[default = …]`, or make it an `Option` (key-required)",
        ]),
    },
    Edit {
        name: "narrow_and_remove_keys_of_a_part",
        replace: &[
            ("    pub valve: String,\n", "    pub valve: u32,\n"),
            ("    /// Where the air goes.\n    pub outlet: Option<String>,\n", ""),
        ],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `vent.outlet` is gone; keep it for a release with `#[deprecated]`; if it has another name now, write `#[alias(\"…\")]` on the new one (key-removed)",
            "breaking for YAML files: driver oven: key `vent.valve` cannot be string any more, only integer; take both, or add another key beside it (type-narrowed)",
            "breaking for YAML files: driver oven: key `vent.valve` must be at least 0 where anything was enough; take both, or add another key beside it (range-narrowed)",
        ]),
    },
    Edit {
        name: "take_an_alias_of_a_key_of_a_part_away",
        replace: &[("    #[alias(\"length\")]\n", "")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `vent.length`, another name of `time`, is not taken any more; keep `#[alias(\"length\")]` on `time` (key-alias-removed)",
        ]),
    },
    Edit {
        name: "require_a_part",
        replace: &[("    pub vent: Option<Vent>,\n", "    pub vent: Vent,\n")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: key `vent` cannot be null any more; take both, or add another key beside it (type-narrowed)",
            "breaking for YAML files: driver oven: key `vent` is required now; give it a default: `#[default = …]`, or make it an `Option` (key-required)",
        ]),
    },
    Edit {
        name: "add_an_optional_key_to_a_part",
        replace: &[("    pub valve: String,\n", "    pub valve: String,\n    /// How wide.\n    pub width: Option<u32>,\n")],
        expect: Passes,
    },
    // Drivers and children.
    Edit {
        name: "rename_a_driver",
        replace: &[("type = \"ventilator\"", "type = \"blower\"")],
        expect: Fails(&[
            "breaking for YAML files: driver ventilator: it is called `blower` now; keep the old name: `aliases(\"ventilator\")` on `blower` (driver-renamed)",
        ]),
    },
    Edit {
        name: "remove_a_driver",
        replace: &[("&[Oven::DRIVER, Ventilator::DRIVER]", "&[Oven::DRIVER]")],
        expect: Fails(&[
            "breaking for YAML files: driver ventilator: it is gone; bring it back, or let another driver take its name with `aliases(…)` (driver-removed)",
        ]),
    },
    Edit {
        name: "take_an_alias_of_a_driver_away",
        replace: &[("    children = OvenParts,\n    aliases(\"org.example.Oven\")\n", "    children = OvenParts\n")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: it does not answer to `org.example.Oven` any more; keep `aliases(\"org.example.Oven\")` (driver-alias-removed)",
        ]),
    },
    Edit {
        name: "provide_less",
        replace: &[("provides(Heater, Fan)", "provides(Heater)")],
        expect: Fails(&[
            "breaking for native and legacy clients: driver oven: it does not provide org.example.fan.v1 any more; keep it in `provides(…)`, beside a newer version if there is one (interface-not-provided)",
        ]),
    },
    Edit {
        name: "want_a_new_child",
        replace: &[("    pub fan: FanClient,\n", "    pub fan: FanClient,\n    /// Moves air out.\n    pub exhaust: FanClient,\n")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: the child `exhaust` is new and required; make it an `Option` (child-required)",
        ]),
    },
    Edit {
        name: "make_an_optional_child_required",
        replace: &[("pub spare: Option<FanClient>", "pub spare: FanClient")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: the child `spare` is required now, and was optional before; make it an `Option` (child-required)",
        ]),
    },
    Edit {
        name: "want_a_child_of_another_kind",
        replace: &[("pub spare: Option<FanClient>", "pub spare: Option<HeaterClient>")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: the child `spare` must provide org.example.heater.v1 where it had to provide org.example.fan.v1; take a child with another name for it (child-kind-changed)",
        ]),
    },
    Edit {
        name: "take_no_child_any_more",
        replace: &[("    /// Moves more air.\n    #[child(also(\"second\"))]\n    pub spare: Option<FanClient>,\n", "")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: it takes no child `spare` any more; keep it, as an `Option`, and leave it alone (child-removed)",
        ]),
    },
    Edit {
        name: "take_the_other_name_of_a_child_away",
        replace: &[("    #[child(also(\"second\"))]\n", "")],
        expect: Fails(&[
            "breaking for YAML files: driver oven: the child `spare` cannot be called `second` any more; keep `#[child(also(\"second\"))]` (child-alias-removed)",
        ]),
    },
    // What hurts nobody.
    Edit {
        name: "write_better_documentation",
        replace: &[("/// Mix two flows of air.", "/// Mix the flows of air of both sides."), ("/// Bits per second.", "/// Symbols per second."), ("/// Degrees.", "/// Degrees Celsius."), ("/// An oven.\n", "/// An oven with two fans.\n")],
        expect: Passes,
    },
    Edit {
        name: "add_a_method_with_a_body",
        replace: &[("    /// Talk to the controller.", "    /// Rest.\n    async fn rest(&self) -> Result<()> {\n        Ok(())\n    }\n\n    /// Talk to the controller.")],
        expect: Passes,
    },
    Edit {
        name: "add_a_parameter_with_a_default_at_the_end",
        replace: &[("left: f64, right: f64", "left: f64, right: f64, #[default = 1.0] share: f64")],
        expect: Passes,
    },
    Edit {
        name: "rename_a_method_and_keep_its_old_name",
        replace: &[("    async fn watch(", "    #[renamed_from = \"watch\"]\n    async fn observe(")],
        expect: Passes,
    },
    Edit {
        name: "rename_a_parameter",
        replace: &[("left: f64", "near: f64")],
        expect: Passes,
    },
    Edit {
        name: "widen_the_type_of_a_parameter",
        replace: &[("count: u32", "count: u64")],
        expect: Passes,
    },
    Edit {
        name: "add_a_field_with_a_default",
        replace: &[("    pub place: u32,\n", "    pub place: u32,\n    /// How exact.\n    pub error: Option<f64>,\n")],
        expect: Passes,
    },
    Edit {
        name: "remove_a_field_and_reserve_its_tag",
        replace: &[("    /// Where.\n    #[default = 0]\n    pub place: u32,\n", ""), ("pub struct Reading", "#[reserved(3, \"place\")]\npub struct Reading")],
        expect: Passes,
    },
    Edit {
        name: "add_an_enum_value_that_callers_send",
        replace: &[("    Eco,\n", "    Eco,\n    /// At night.\n    Silent,\n")],
        expect: Passes,
    },
    Edit {
        name: "add_a_version_beside_the_old_one",
        replace: &[
            ("/// Moves air.\n#[interface", "/// Moves air, better.\n#[interface(name = \"fan\", version = 2, package = \"org.example\", python = \"jumpstarter.client.DriverClient\")]\npub trait Fan2 {\n    /// Blow so hard.\n    async fn blow_at(&self, level: u8) -> Result<()> {\n        let _ = level;\n        Err(Error::unsupported())\n    }\n}\n\nimpl Fan2 for Ventilator {}\n\n/// Moves air.\n#[interface"),
            ("type = \"ventilator\", provides(Fan)", "type = \"ventilator\", provides(Fan, Fan2)"),
        ],
        expect: Passes,
    },
    Edit {
        name: "add_an_optional_key",
        replace: &[("    pub port: String,\n", "    pub port: String,\n    /// How wide.\n    pub width: Option<u32>,\n")],
        expect: Passes,
    },
    Edit {
        name: "rename_a_key_and_keep_its_old_name",
        replace: &[("    pub port: String", "    #[alias(\"port\")]\n    pub device: String")],
        expect: Passes,
    },
    Edit {
        name: "widen_the_range_of_a_key",
        replace: &[("pub baudrate: u32", "pub baudrate: u64")],
        expect: Passes,
    },
    Edit {
        name: "add_a_driver",
        replace: &[
            ("/// A fan.\n", "/// A larger fan.\n#[driver(type = \"turbine\", provides(Fan), open = Default::default)]\n#[derive(Default)]\npub struct Turbine {}\n\nimpl Fan for Turbine {}\n\n/// A fan.\n"),
            ("&[Oven::DRIVER, Ventilator::DRIVER]", "&[Oven::DRIVER, Ventilator::DRIVER, Turbine::DRIVER]"),
        ],
        expect: Passes,
    },
    Edit {
        name: "rename_a_driver_and_keep_its_old_name",
        replace: &[("type = \"ventilator\", ", "type = \"blower\", aliases(\"ventilator\"), ")],
        expect: Passes,
    },
    Edit {
        name: "want_a_child_less_urgently",
        replace: &[("    pub fan: FanClient,\n", "    pub fan: Option<FanClient>,\n"), ("self.parts.fan.blow().await", "match &self.parts.fan {\n            Some(fan) => fan.blow().await,\n            None => Ok(()),\n        }")],
        expect: Passes,
    },
];
