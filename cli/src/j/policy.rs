//! Which drivers may be used: what `jmp shell` passes on of the client's configuration.
//!
//! Nothing is loaded from packages here, so no driver can do harm to this machine by being used; a lab may have its reasons
//! all the same. A list that is there counts, also when it is empty; where nobody set one, everything is allowed.

use glob::Pattern;
use jumpstarter_client::Device;

use crate::report::Stop;

/// Refuses a device whose class is not allowed.
pub(super) fn check(device: &Device, lookup: impl Fn(&str) -> Option<String>) -> Result<(), Stop> {
    if allows(device.client_class(), &lookup) {
        return Ok(());
    }
    Err(Stop::configuration(format!(
        "driver '{}' is not allowed by the configuration of the client (drivers.allow): its class is {}",
        device.path(),
        device.client_class()
    )))
}

fn allows(class: &str, lookup: &impl Fn(&str) -> Option<String>) -> bool {
    let everything = lookup("JMP_DRIVERS_UNSAFE").map(|text| text.trim().to_ascii_lowercase());
    if everything.is_some_and(|text| ["1", "true", "yes", "on"].contains(&text.as_str())) {
        return true;
    }
    let Some(list) = lookup("JMP_DRIVERS_ALLOW") else { return true };
    list.split(',').map(str::trim).any(|pattern| {
        // What is no pattern can only be a name.
        pattern == "UNSAFE"
            || Pattern::new(pattern).map_or(pattern == class, |pattern| pattern.matches(class))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_k11_a_list_counts_even_when_it_is_empty_and_none_allows_everything() {
        let class = "jumpstarter_driver_power.client.PowerClient";
        for (list, unsafe_, expected) in [
            (None, None, true),
            (Some(""), None, false),
            (Some(""), Some("1"), true),
            (Some("UNSAFE"), None, true),
            (Some("a.*, UNSAFE"), None, true),
            (Some("*"), None, true),
            (Some("jumpstarter_driver_*"), None, true),
            (Some("x,jumpstarter_driver_power.client.PowerClient"), None, true),
            (Some("jumpstarter_driver_power"), None, false),
            (Some("Jumpstarter_driver_*"), None, false),
            (Some("jumpstarter_driver_[opq]ower.*"), None, true),
        ] {
            let lookup = |name: &str| match name {
                "JMP_DRIVERS_ALLOW" => list.map(str::to_owned),
                _ => unsafe_.map(str::to_owned),
            };
            assert_eq!(allows(class, &lookup), expected, "{list:?} {unsafe_:?}");
        }
    }
}
