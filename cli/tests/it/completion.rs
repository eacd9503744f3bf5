//! What completion scripts ask, and what they get.

use crate::support::{J, JMP, Place, run, stdout};

fn ask(place: &Place, shell: &str, words: &str, at: &str) -> String {
    let mut command = place.program(JMP);
    command.env("_JMP_COMPLETE", format!("{shell}_complete")).env("COMP_WORDS", words).env("COMP_CWORD", at);
    stdout(&run(&mut command))
}

#[test]
fn the_existing_protocol_is_answered() {
    let place = Place::new();
    assert_eq!(ask(&place, "bash", "jmp\nv", "1"), "plain,version\n");
    assert_eq!(ask(&place, "bash", "jmp\nrun\n--exporter-config\n", "3"), "file,\n");
    assert_eq!(ask(&place, "zsh", "jmp ver", "1"), "plain\nversion\nShow the version\n");
    assert_eq!(ask(&place, "fish", "jmp ver", "ver"), "plain,version\tShow the version\n");
}

#[test]
fn aliases_of_exporters_are_completed() {
    let place = Place::new();
    place.file("home/.config/jumpstarter/exporters/rig-7.yaml", "");
    assert_eq!(ask(&place, "bash", "jmp\nshell\n--exporter\nr", "3"), "plain,rig-7\n");
    for command in ["edit", "delete", "check"] {
        let line = format!("jmp\nconfig\nexporter\n{command}\nr");
        assert_eq!(ask(&place, "bash", &line, "4"), "plain,rig-7\n", "{command}");
    }
    // A file will do there as well; a name that is new has nothing to be completed from.
    assert_eq!(ask(&place, "bash", "jmp\nconfig\nexporter\ncheck\n./r", "4"), "file,./r\n");
    assert_eq!(ask(&place, "bash", "jmp\nconfig\nexporter\ncreate\nr", "4"), "");
}

#[test]
fn drivers_are_completed_where_one_is_named() {
    let place = Place::new();
    assert_eq!(ask(&place, "bash", "jmp\nconfig\nschema\nexporter\nsimul", "4"), "plain,simulated-board\n");
}

#[test]
fn the_scripts_are_scripts_for_both_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&run(&mut place.jmp(&["completion", shell])));
        assert!(script.contains("_JMP_COMPLETE") && script.contains("_J_COMPLETE"), "{script}");
        let same = stdout(&run(place.program(J).env("_J_COMPLETE", format!("{shell}_source"))));
        assert!(same.is_empty() || script.ends_with(&same), "{same}");
    }
    let script = stdout(&run(&mut place.jmp(&["completion", "bash"])));
    let file = place.file("completion.bash", &script);
    // The function itself, as bash calls it.
    let drive = format!(
        "PATH={}:$PATH; . {}; COMP_WORDS=(jmp shell --exporter-c); COMP_CWORD=2; _jmp_completion jmp; echo ${{COMPREPLY[*]}}",
        std::path::Path::new(JMP).parent().unwrap().display(),
        file.display()
    );
    assert_eq!(stdout(&run(place.program("bash").args(["-c", &drive]))), "--exporter-config\n");
}

#[test]
fn devices_and_their_commands_are_completed_inside_of_a_shell() {
    let place = Place::new();
    let script = "_J_COMPLETE=bash_complete COMP_WORDS='j\nboard\npo' COMP_CWORD=2 j; \
                  _J_COMPLETE=bash_complete COMP_WORDS='j\nboard\npower\nread\n--c' COMP_CWORD=4 j; \
                  _J_COMPLETE=bash_complete COMP_WORDS='j\nboard\nstorage\nflash\n' COMP_CWORD=4 j";
    let output = run(&mut place.shell("board.yaml", &["sh", "-c", script]));
    assert_eq!(stdout(&output), "plain,power\nplain,--count\nfile,\n");
}
