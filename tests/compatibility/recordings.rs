//! The recordings themselves: complete, readable, and told apart from anything else.

use jumpstarter_tests::recording::Recording;

#[test]
fn every_recording_can_be_read() {
    let names = Recording::names().expect("the folder of recordings");
    assert_eq!(names.len(), 42, "{names:?}");
    for name in names {
        let recording = Recording::load(&name).expect("a recording");
        assert_eq!(recording.scenario, name);
        assert_eq!(recording.upstream.jumpstarter, "0.9.0");
        assert!(!recording.connections.is_empty(), "{name}");
    }
}
