//! What an interface is, as sorted YAML. A change of one of these files is a change of what peers see.

use jumpstarter_compatibility::{files, record::Interface};

use super::hosting::subjects;

#[test]
fn every_interface_is_as_it_was_reviewed() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for subject in subjects() {
            let described = files::yaml(&Interface::of(subject.interface)).expect("YAML");
            insta::assert_snapshot!(format!("description@{}", subject.interface.name), described);
        }
    });
}
