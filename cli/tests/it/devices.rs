//! `j`, against the examples.

use crate::support::{J, Place, Running, code, example, run, snapshot, stderr, stdout, told, until};
use rustix::process::Signal;

/// Runs lines of `j` one after the other in one shell, and answers everything they said.
fn session(place: &Place, file: &str, lines: &[&str]) -> String {
    let script: Vec<_> = lines
        .iter()
        .map(|line| {
            format!("printf '%s\\n' \"$ j {}\"; j {line} 2>&1; echo \"[$?]\"\n", line.replace('"', ""))
        })
        .collect();
    let script = script.concat();
    let output = run(&mut place.shell(file, &["sh", "-c", &script]));
    assert_eq!(stderr(&output), "");
    stdout(&output)
}

#[test]
fn every_level_has_its_help() {
    let place = Place::new();
    let lines = [
        "",
        "--help",
        "board --help",
        "board power --help",
        "board power read --help",
        "board storage flash -h",
        "board console expect --help",
        "board led wait-for-edge --help",
    ];
    snapshot("j_help", &session(&place, "board.yaml", &lines));
}

#[test]
fn descriptions_of_the_file_are_the_help_texts() {
    let place = Place::new();
    snapshot(
        "j_descriptions",
        &session(&place, "power.yaml", &["--help", "bench --help", "bench main --help"]),
    );
}

#[test]
fn mistakes_name_what_is_there() {
    let place = Place::new();
    let lines = [
        "nosuch",
        "pwoer on",
        "bench",
        "power nosuch",
        "power cycle --wait x",
        "power read -n",
        "power read -n many",
        "power read -n -1",
        "power read --cuont 1",
        "power on extra",
    ];
    snapshot("j_mistakes", &session(&place, "power.yaml", &lines));
}

/// A session with these devices, until its input ends; and where it is.
fn devices(place: &Place, nodes: &str) -> (Running, String) {
    let text = format!("apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nexport:\n{nodes}");
    let file = place.file("devices.yaml", &text).display().to_string();
    let words = ["shell", "--exporter-config", &file, "--", "sh", "-c", "echo $JUMPSTARTER_HOST; exec cat"];
    let mut running = Running::start(place.jmp(&words).stdin(std::process::Stdio::piped()));
    let host = running.line();
    (running, host)
}

#[test]
fn options_say_what_they_take_and_what_they_stand_for() {
    let place = Place::new();
    let nodes = "  files: {type: opendal, config: {scheme: memory, kwargs: {}}}\n  medium: {type: mock-storage-mux-flasher}\n  \
                 run: {type: shell, config: {methods: {hello: echo hello}}}\n  \
                 web: {type: websocket-network, config: {url: 'wss://me:secret@127.0.0.1/a:b?token=c:1'}}\n";
    let (running, host) = devices(&place, nodes);
    let mut text = String::new();
    for line in [
        "files hash --help",
        "files presign-read --help",
        "files presign-read x",
        "files presign-read x --expire-second -5",
        "files file-seek f0e1d2c3-0000-4000-8000-000000000000 0 --whence 256",
        "medium write --help",
        "medium dump --help",
        "medium dump --compression auto x",
        "run hello -e",
        "run hello --env",
        "web address",
        "web address --host",
        "web address --port",
    ] {
        let output = run(place.program(J).args(line.split(' ')).env("JUMPSTARTER_HOST", &host));
        let end = format!("[{}]\n", code(&output));
        text.extend(["$ j ", line, "\n", &stdout(&output), &stderr(&output), &end]);
    }
    snapshot("j_options", &text);
    running.signal(Signal::TERM);
    running.end();
}

#[test]
fn a_signal_in_the_middle_of_a_dump_leaves_no_file() {
    let place = Place::new();
    let (running, host) =
        devices(&place, "  dev: {type: opendal, config: {scheme: fs, kwargs: {root: /dev}}}\n");
    let part = place.path().join("dump.part");
    for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        // A file that does not end.
        let mut dump = place.program(J);
        dump.args(["dev", "read-into-path", "urandom", "dump"]).env("JUMPSTARTER_HOST", &host);
        let dump = Running::start(&mut dump);
        until("something arrives", || std::fs::metadata(&part).is_ok_and(|part| part.len() > 0));
        dump.signal(signal);
        assert_eq!(code(&dump.end()), expected);
        assert!(!part.exists() && !place.path().join("dump").exists(), "{signal:?}");
    }
    running.signal(Signal::TERM);
    running.end();
}

#[test]
fn values_are_printed_for_people_and_for_programs() {
    let place = Place::new();
    let lines = [
        "power on",
        "power read",
        "power read -n 2 -i 0",
        "power read --output json",
        "--output json bench main read",
        "power cycle -w 0s",
        "power --output json off",
        "power rescue",
    ];
    snapshot("j_values", &session(&place, "power.yaml", &lines));
}

#[test]
fn images_are_flashed_and_read_back() {
    let place = Place::new();
    let image = example("hello.board");
    let flash = format!("board storage flash {image}");
    let packed = place.path().join("packed.gz");
    let pack = format!("gzip -c {image} > {}", packed.display());
    assert!(run(place.program("sh").args(["-c", &pack])).status.success());
    let flash_packed = format!("board storage flash --compression gzip {}", packed.display());
    let text = session(
        &place,
        "board.yaml",
        &[
            &flash,
            "board storage dump first",
            &flash_packed,
            "board storage dump second",
            "board storage dump - > third",
            "board storage flash nowhere",
            "board storage flash",
            "board storage write-local-file first",
            "board storage flash - < first",
        ],
    );
    let original = std::fs::read(&image).unwrap();
    for copy in ["first", "second", "third"] {
        assert_eq!(std::fs::read(place.path().join(copy)).unwrap(), original, "{copy}: {text}");
    }
    assert!(text.contains("Error: cannot open nowhere: No such file or directory\n[1]"), "{text}");
    assert!(
        text.contains("Error: Missing argument 'FILE': name an image, or write --target NAME:FILE.\n[2]"),
        "{text}"
    );
    assert!(
        text.contains("Error: the medium is connected to the device: switch it to the host first\n[1]"),
        "{text}"
    );
}

#[test]
fn a_console_answers_in_a_pipe_and_in_a_script() {
    let place = Place::new();
    let flash = format!("board storage flash {}", example("hello.board"));
    let text = session(
        &place,
        "board.yaml",
        &[
            &flash,
            "board power on",
            "board console expect -t 20s 'image: ([0-9]+) bytes' 'demo> '",
            "board console expect -F -s 'echo a+b' 'echo a+b' 'a+b'",
            "board console pipe --no-output -o x",
            "board console pipe --append",
            "board console start-console",
            "board console expect '('",
        ],
    );
    let size = std::fs::metadata(example("hello.board")).unwrap().len();
    assert!(text.contains(&format!("\n{size}\ndemo> \n[0]")), "{text}");
    assert!(text.contains("'--no-output' and '--output' / '-o' exclude each other.\n[2]"), "{text}");
    assert!(text.contains("'--append' / '-a' needs '--output' / '-o'.\n[2]"), "{text}");
    assert!(
        text.contains(
            "Error: a console needs a terminal; `j board console pipe` takes input from elsewhere\n[1]"
        ),
        "{text}"
    );
    assert!(text.contains("Invalid value for 'PATTERN'"), "{text}");
}

#[test]
fn an_expectation_that_is_not_met_shows_what_was_said() {
    let place = Place::new();
    let text =
        session(&place, "board.yaml", &["board power on", "board console expect --timeout 200ms login:"]);
    assert!(text.contains("Error: the device did not say"), "{text}");
    assert!(text.contains("| no bootable image: the medium is blank\n[1]"), "{text}");
}

#[test]
fn pitfall_s2_the_end_of_piped_input_does_not_end_the_output() {
    let place = Place::new();
    let flash = format!(
        "j board storage flash {} && j board power on && echo version | j board console pipe",
        example("hello.board")
    );
    let mut running = Running::start(&mut place.shell("board.yaml", &["sh", "-c", &flash]));
    // The answer to what was typed comes long after the input has ended.
    while !running.line().starts_with("simulated board ") {}
    running.signal(Signal::TERM);
    assert_eq!(code(&running.end()), 143);
}

#[test]
fn the_example_flashes_boots_and_checks() {
    let place = Place::new();
    let script = example("flash-and-boot.sh");
    let output = run(&mut place.shell("board.yaml", &[&script]));
    assert_eq!(code(&output), 0, "{}", told(&output));
    let digest = stdout(&run(place.program("sha256sum").arg(example("hello.board"))));
    let digest = digest.split(' ').next().unwrap();
    assert!(stdout(&output).contains(digest), "{}", told(&output));
    let broken = place.file("broken.board", "#!board\npanic at once\n");
    let output = run(place
        .shell("board.yaml", &["timeout", "60", &script, broken.to_str().unwrap()])
        .env("TIMEOUT", "1s"));
    assert_eq!(code(&output), 1, "{}", told(&output));
    assert!(stderr(&output).contains("FAILED: the board did not reach its prompt"), "{}", told(&output));
    assert!(stderr(&output).contains("| panic: at once"), "{}", told(&output));
}

#[test]
fn j_needs_a_shell_around_it() {
    let place = Place::new();
    let output = run(place.program(J).arg("power"));
    let expected = "exit code: 1\n----- stderr -----\nError: the j command must be used inside a jmp shell: JUMPSTARTER_HOST not set\n";
    assert_eq!(told(&output), expected);
    assert_eq!(code(&run(place.program(J).arg("--help"))), 0);
    assert_eq!(code(&run(&mut place.program(J))), 0);
    let output =
        run(place.program(J).args(["power", "on"]).env("JUMPSTARTER_HOST", place.path().join("absent")));
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).starts_with("Error: ") && stderr(&output).contains("absent"),
        "{}",
        stderr(&output)
    );
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
}

#[test]
fn j_ends_at_the_first_signal() {
    let place = Place::new();
    let mut running = Running::start(&mut place.shell("power.yaml", &["sh", "-c", "exec j power read -n 0"]));
    running.line();
    running.signal(Signal::TERM);
    assert_eq!(code(&running.end()), 143);
}

#[test]
fn nobody_reading_is_a_quiet_end() {
    let place = Place::new();
    let script = "{ j power read -n 0 -i 0; echo $? >&2; } | head -n 1";
    let output = run(&mut place.shell("power.yaml", &["sh", "-c", script]));
    assert_eq!(stdout(&output), "voltage=0.0 V  current=0.0 A  apparent_power=0.0 VA\n");
    assert_eq!(stderr(&output), "141\n");
    // Nor is it an error of the device whose file is printed.
    std::fs::write(place.path().join("large"), vec![b'x'; 8 << 20]).unwrap();
    let script =
        "j files write-from-path large large && { j files read-bytes large; echo $? >&2; } | head -c 3";
    let output = run(&mut place.shell("storage.yaml", &["sh", "-c", script]));
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("xxx", "141\n"));
}

#[test]
fn files_in_storage_have_upstreams_commands() {
    let place = Place::new();
    std::fs::write(place.path().join("local"), "hello storage\n").unwrap();
    let lines = [
        "files --help",
        "files presign-read --help",
        "flasher flash --help",
        "medium dump --help",
        "mux --help",
        "files create-dir dir/",
        "files write-bytes dir/a < local",
        "files write-from-path dir/b local",
        "files read-bytes dir/a",
        "files read-into-path dir/b back && cat back",
        "files stat dir/a",
        "files hash dir/a",
        "files hash --algo md5 dir/a",
        "files hash --algo sha1 dir/a",
        "files list dir/",
        "files scan /",
        "files exists dir/a",
        "files exists dir/c",
        "files copy dir/a dir/c",
        "files stat dir/c",
        "files delete dir/a",
        "files remove-all dir/",
        "files get-created-resources",
        "files --output json get-created-resources",
        "files presign-read dir/a",
        "files capability | head -n 4",
    ];
    snapshot("j_storage", &session(&place, "storage.yaml", &lines));
}

#[test]
fn several_images_are_flashed_with_their_partitions() {
    let place = Place::new();
    std::fs::write(place.path().join("boot.img"), "boot").unwrap();
    std::fs::write(place.path().join("root.img"), "root").unwrap();
    let pack = format!("cd {} && gzip -k root.img", place.path().display());
    assert!(run(place.program("sh").args(["-c", &pack])).status.success());
    let lines = [
        "flasher flash -t boot:boot.img -t root:root.img",
        "flasher dump --target boot -",
        "flasher dump --target root -",
        "flasher flash --compression auto root.img.gz",
        "flasher dump -",
        "flasher flash --compression auto boot.img -t same",
        "flasher dump --target same -",
        "flasher flash root.img.gz -t packed",
        "flasher dump --target packed - | gzip -d",
        "flasher dump --compression auto nowhere",
        "flasher dump --target nothing -",
        "flasher flash",
        "flasher flash boot.img -t boot:boot.img",
        "flasher flash -t boot",
        "flasher flash -t boot:nowhere",
        "medium flash --compression GZIP root.img.gz",
        "medium dump -",
        "medium flash -t boot:boot.img",
        "mux write-local-file boot.img",
        "mux read -",
    ];
    snapshot("j_flash", &session(&place, "storage.yaml", &lines));
}

#[test]
fn a_forwarded_connection_that_fails_is_reported_once() {
    let place = Place::new();
    // Nothing listens at this port of the exporter's machine.
    let (running, host) = devices(&place, "  tcp: {type: tcp-network, config: {host: 127.0.0.1, port: 1}}\n");
    let mut forward = place.program(J);
    forward.args(["tcp", "forward-tcp", "--address", "127.0.0.1"]).env("JUMPSTARTER_HOST", &host);
    let mut forward = Running::start(&mut forward);
    let address = forward.line();
    let mut connection = std::net::TcpStream::connect(&address).unwrap();
    // Whether it ends or breaks: it is over.
    let _ = std::io::Read::read(&mut connection, &mut [0]);
    let first = forward.complaint();
    let peer = connection.local_addr().unwrap();
    let reason = "connecting to 127.0.0.1:1: Connection refused (os error 111): nothing listens there";
    assert_eq!(first, format!("connection failed: {peer}: {reason}"));
    forward.signal(Signal::INT);
    assert_eq!(stderr(&forward.end()), "SIGINT pressed, terminating\n", "and nothing else");
    running.signal(Signal::TERM);
    running.end();
}

#[test]
fn empty_hosts_paths_and_addresses_are_problems_of_the_file() {
    let place = Place::new();
    let text = "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nexport:\n  \
                tcp: {type: tcp-network, config: {host: '', port: 22}}\n  \
                unix: {type: unix-network, config: {path: ''}}\n  \
                serial: {type: serial, config: {url: ''}}\n  \
                web: {type: websocket-network, config: {url: ''}}\n";
    let file = place.file("empty.yaml", text).display().to_string();
    let output = run(&mut place.jmp(&["config", "exporter", "check", &file]));
    let said = stderr(&output) + &stdout(&output);
    assert_eq!(code(&output), 1, "{said}");
    for key in ["host", "path", "url"] {
        let problem = format!("`{key}` must be text that is not empty, but it is");
        assert!(said.contains(&problem), "{problem}: {said}");
    }
    assert!(said.contains("4 problems"), "{said}");
}
