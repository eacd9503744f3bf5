//! `jmp config schema`.

use crate::support::{Place, code, run, stderr, stdout, words};

fn written(name: &str) -> String {
    let path = format!("{}/../schemas/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn what_is_printed_is_what_is_written_to_the_byte() {
    let place = Place::new();
    for (line, file) in [
        ("config schema exporter", "exporter-config.json"),
        ("config schema client", "client-config.json"),
        ("config schema lab", "lab-config.json"),
        ("conf schema USER", "user-config.json"),
        ("config schema exporter tcp-network", "drivers/tcp-network.json"),
        ("config schema exporter jumpstarter_driver_network.driver.TcpNetwork", "drivers/tcp-network.json"),
    ] {
        let output = run(&mut place.jmp(&words(line)));
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{line}");
        assert!(stdout(&output) == written(file), "{line} prints something else than schemas/{file}");
    }
}

#[test]
fn a_schema_that_there_is_not_is_a_mistake_that_says_what_there_is() {
    let place = Place::new();
    for (line, wanted) in [
        ("config schema", "Missing argument 'FILE'."),
        ("config schema board", "'board' is not one of 'client', 'exporter', 'lab', 'user'."),
        ("config schema exporter tcp-netwrok", "Unknown driver 'tcp-netwrok'. Did you mean 'tcp-network'?"),
        ("config schema exporter zzzzzz", "Unknown driver 'zzzzzz'. `jmp driver list` shows all."),
        (
            "config schema user mock-power",
            "A driver has settings in an exporter file only, not in a user file.",
        ),
    ] {
        let output = run(&mut place.jmp(&words(line)));
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{line}");
        assert!(stderr(&output).contains(wanted), "{line}: {}", stderr(&output));
    }
}
