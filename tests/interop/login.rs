//! Logging in: to a lab with an identity provider, in every way, with both programs and the same files.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use jumpstarter_tests::{
    lab::{Lab, PATIENCE, is_free},
    programs,
    python::{Python, python},
};
use jumpstarter_transport::connect::Endpoint;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use crate::provider::{BRIEF, LATE, PASSWORD, Provider};

/// A lab, its provider, and certificates of both.
struct Bench {
    provider: Provider,
    lab: Lab,
    authorities: PathBuf,
    target: String,
    /// The file of its exporter.
    rig: PathBuf,
}

impl Bench {
    async fn start() -> Self {
        let provider = Provider::start().await;
        let mut lab = Lab::with(provider.lab()).await;
        let owner = lab.create("Exporter", "rig", json!({ "board": "demo" })).await;
        let authorities = lab.path().join("authorities.pem");
        std::fs::write(&authorities, format!("{}\n{}", owner.authority, provider.authority))
            .expect("written");
        let endpoint: Endpoint = Endpoint::parse(&lab.serving.endpoint).expect("an address");
        let target = endpoint.to_string();
        let devices =
            json!({ "export": { "power": { "type": "jumpstarter_driver_power.driver.MockPower" } } });
        let rig = lab.config("ExporterConfig", "rig", &owner, &devices);
        Self { provider, lab, authorities, target, rig }
    }

    /// Our `jmp`.
    fn ours(&self, words: &[&str]) -> Command {
        let mut command = Command::new(programs::jmp());
        command.args(words);
        self.at_home(command)
    }

    /// The unmodified one.
    fn theirs(&self, python: &Python, words: &[&str]) -> Command {
        let mut command = self.lab.jmp(python);
        command.args(words).env("SSL_CERT_FILE", &self.authorities);
        self.at_home(command)
    }

    fn at_home(&self, mut command: Command) -> Command {
        command
            .env("HOME", self.lab.path())
            .env("XDG_CONFIG_HOME", self.lab.path())
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("JMP_DRIVERS_ALLOW")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    fn login<'a>(&'a self, target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["login", target, "--ca", self.authorities.to_str().expect("text"), "--unsafe"];
        words.extend(["--nointeractive", "--no-browser"]);
        words.extend(more);
        words
    }

    fn file(&self, alias: &str) -> PathBuf {
        self.lab.path().join(format!("jumpstarter/clients/{alias}.yaml"))
    }

    /// A lab answers whoever has this file, of both programs.
    async fn is_known(&self, python: Option<&Python>, alias: &str) {
        let words = ["get", "exporters", "--client", alias, "-o", "name"];
        let ours = done(self.ours(&words)).await;
        assert_eq!(ours, (Some(0), "rig\n".to_owned(), String::new()), "{alias}");
        if let Some(python) = python {
            let (code, said, complaint) = done(self.theirs(python, &words)).await;
            assert_eq!((code, said.as_str()), (Some(0), "rig\n"), "{alias}: {complaint}");
        }
    }

    async fn stop(self) {
        self.lab.serving.stop(Duration::from_secs(1)).await;
    }
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn done(mut command: Command) -> (Option<i32>, String, String) {
    told(tokio::time::timeout(PATIENCE, command.output()).await.expect("in time").expect("it runs"))
}

/// With this on its standard input.
async fn done_with(mut command: Command, input: &str) -> (Option<i32>, String, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).await.expect("written");
    told(tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("in time").expect("an end"))
}

fn content(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).expect("a file");
    serde_yaml::from_str(&text).expect("YAML")
}

fn token(file: &Path) -> String {
    content(file)["token"].as_str().expect("a token").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_logs_in_with_a_password_is_known_to_the_lab_and_upstream_uses_the_file() {
    let Some(python) = python() else { return };
    let bench = Bench::start().await;
    let target = format!("alice@{}", bench.target);
    let wrong = bench.ours(&bench.login(&target, &["--username", "alice", "--password-stdin"]));
    let (code, said, complaint) = done_with(wrong, "nonsense-secret\n").await;
    assert_eq!((code, said.as_str()), (Some(1), ""), "{complaint}");
    assert!(complaint.ends_with(" refuses: invalid_grant: wrong password\n"), "{complaint}");
    assert!(!complaint.contains("nonsense-secret"), "{complaint}");
    assert!(!bench.file("alice").exists(), "nothing is written for somebody who did not come in");

    let right = bench.ours(&bench.login(&target, &["--username", "alice", "--password-stdin"]));
    let (code, said, complaint) = done_with(right, &format!("{PASSWORD}\n")).await;
    assert_eq!((code, said.as_str()), (Some(0), ""), "{complaint}");
    assert!(complaint.contains("Set 'alice' as the default client."), "{complaint}");
    let file = bench.file("alice");
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let first = token(&file);
    assert!(bench.provider.is_from_here(&first) && !complaint.contains(&first), "{complaint}");
    bench.is_known(Some(&python), "alice").await;

    // Both renew it, each finds what the other wrote.
    let (code, said, complaint) =
        done(bench.theirs(&python, &["auth", "refresh", "--client", "alice"])).await;
    assert_eq!((code, said.as_str()), (Some(0), "Access token refreshed.\n"), "{complaint}");
    let second = token(&file);
    assert_ne!(second, first);
    bench.is_known(None, "alice").await;
    let (code, said, complaint) = done(bench.ours(&["auth", "refresh"])).await;
    assert_eq!((code, said.as_str()), (Some(0), "Access token refreshed.\n"), "{complaint}");
    let third = token(&file);
    assert!(third != second && third != first);
    bench.is_known(Some(&python), "alice").await;
    let ours = done(bench.ours(&["auth", "status", "-v"])).await;
    let theirs = done(bench.theirs(&python, &["auth", "status", "-v"])).await;
    // Ours adds where the file is; seconds may have gone by.
    let lines = |said: &str| -> Vec<String> {
        said.lines().filter(|line| !line.starts_with("Status: ")).map(str::to_owned).collect()
    };
    let mut expected = lines(&theirs.1);
    expected.push(format!("File: {}", file.display()));
    assert_eq!(lines(&ours.1), expected, "{theirs:?}");
    assert!(ours.1.contains("Status: Valid (9m "), "{ours:?}");

    // Again without a word: the refresh token is enough.
    let (code, said, complaint) = done(bench.ours(&["login", "--nointeractive"])).await;
    assert_eq!((code, said.as_str()), (Some(0), ""), "{complaint}");
    assert_eq!(complaint, "Refreshed access token using stored refresh token.\n");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_upstreams_login_wrote_is_ours_to_use_and_to_renew() {
    let Some(python) = python() else { return };
    let bench = Bench::start().await;
    let target = format!("bob@{}", bench.target);
    let words = ["login", target.as_str(), "-k", "--nointeractive", "--unsafe"];
    let words = [&words[..], &["--username", "bob", "--password", PASSWORD]].concat();
    let (code, said, complaint) = done(bench.theirs(&python, &words)).await;
    assert_eq!(code, Some(0), "{said}{complaint}");
    bench.is_known(Some(&python), "bob").await;
    let (code, said, complaint) = done(bench.ours(&["auth", "refresh"])).await;
    assert_eq!((code, said.as_str()), (Some(0), "Access token refreshed.\n"), "{complaint}");
    bench.is_known(Some(&python), "bob").await;
    // Our login brings what is there up to date.
    let (code, _, complaint) = done(bench.ours(&["login", &target, "-k", "--nointeractive"])).await;
    assert_eq!(code, Some(0), "{complaint}");
    assert!(complaint.ends_with("Refreshed access token using stored refresh token.\n"), "{complaint}");
    bench.is_known(Some(&python), "bob").await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_somebody_else_and_a_code_on_another_device_are_ways_in() {
    let bench = Bench::start().await;
    let words = ["--token", "erik", "--connector-id", "github"];
    let (code, _, complaint) =
        done(bench.ours(&bench.login(&format!("erik@{}", bench.target), &words))).await;
    assert_eq!(code, Some(0), "{complaint}");
    bench.is_known(None, "erik").await;
    let refused = bench.ours(&bench.login(&format!("x@{}", bench.target), &["--token", "erik"]));
    let (code, _, complaint) = done(refused).await;
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("refuses: unsupported_grant_type"), "{complaint}");

    let (code, _, complaint) =
        done(bench.ours(&bench.login(&format!("dora@{}", bench.target), &["--device-flow"]))).await;
    assert_eq!(code, Some(0), "{complaint}");
    let page = format!("Please open the URL in browser:  {}/activate\n", bench.provider.url);
    assert!(
        complaint.contains(&page) && complaint.contains("Then enter the code: ABCD-EFGH\n"),
        "{complaint}"
    );
    bench.is_known(None, "dora").await;

    // An exporter's file gets a token, and no other.
    let words =
        ["login", &format!("rig2@{}", bench.target), "--exporter", "rig2", "--nointeractive", "--unsafe"];
    let more =
        ["--ca", bench.authorities.to_str().expect("text"), "--username", "rig2", "--password", PASSWORD];
    let (code, _, complaint) = done(bench.ours(&[&words[..], &more].concat())).await;
    assert_eq!(code, Some(0), "{complaint}");
    assert!(complaint.contains("--unsafe is ignored for exporter configs"), "{complaint}");
    let file = bench.lab.path().join("jumpstarter/exporters/rig2.yaml");
    assert!(bench.provider.is_from_here(&token(&file)));
    assert_eq!(content(&file)["refresh_token"], Value::Null);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_comes_back_with_a_code_that_only_this_login_can_use() {
    let bench = Bench::start().await;
    let target = format!("carol@{}", bench.target);
    let mut child = bench
        .ours(&bench.login(&target, &[]))
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let page = loop {
        let line = lines.next_line().await.expect("a line").expect("it waits");
        if let Some(page) = line.strip_prefix("Please open the URL in browser:  ") {
            break page.to_owned();
        }
    };
    let page: url::Url = page.parse().expect("an address");
    assert!(
        page.query_pairs().any(|(key, value)| key == "code_challenge_method" && value == "S256"),
        "{page}"
    );
    let field = |name: &str| page.query_pairs().find(|(key, _)| key == name).expect(name).1.into_owned();
    let callback: url::Url = field("redirect_uri").parse().expect("an address");
    // Somebody who was not sent by the provider is not listened to.
    let forged = visit(&callback, "code=forged&state=guessed").await;
    assert!(forged.starts_with("HTTP/1.1 404"), "{forged}");
    // What the provider's page does once somebody has signed in.
    let answer = bench.provider.sign_in(page.query().expect("a query"));
    let back: url::Url = answer.parse().expect("an address");
    let shown = visit(&callback, back.query().expect("a query")).await;
    assert!(shown.contains("Login successful, you can close this page"), "{shown}");
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("in time").expect("an end");
    let mut rest = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        rest += &line;
    }
    assert!(status.success(), "{rest}");
    bench.is_known(None, "carol").await;
    bench.stop().await;
}

/// What a browser does, without what makes it large.
async fn visit(callback: &url::Url, query: &str) -> String {
    let port = callback.port().expect("a port");
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    let request = format!("GET {}?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n", callback.path());
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_expired_is_renewed_where_somebody_uses_it() {
    let bench = Bench::start().await;
    let words = ["--username", LATE, "--password", PASSWORD];
    let target = format!("{LATE}@{}", bench.target);
    let (code, _, complaint) = done(bench.ours(&bench.login(&target, &words))).await;
    assert_eq!(code, Some(0), "{complaint}");
    let (code, said, _) = done(bench.ours(&["auth", "status", "--check"])).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Status: EXPIRED (50m ") && said.contains("Run 'jmp login'"), "{said}");
    let (code, said, complaint) = done(bench.ours(&["get", "exporters", "-o", "name"])).await;
    assert_eq!((code, said.as_str()), (Some(0), "rig\n"), "{complaint}");
    let told = "Token is expired, triggering re-authentication\nRe-authenticated, retrying...\n";
    assert_eq!(complaint, told);
    // It is in the file.
    bench.is_known(None, LATE).await;
    let (code, said, _) = done(bench.ours(&["auth", "status", "--check", "-o", "json"])).await;
    let status: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (code, &status["status"], &status["refresh_token_stored"]),
        (Some(0), &"valid".into(), &true.into())
    );
    bench.stop().await;
}

/// A shell that outlasts the token that it begins with: what it says, and whether its lease is over after it.
async fn outlasting(
    bench: &mut Bench,
    offline: &str,
    meanwhile: impl FnOnce(&Bench) -> String,
) -> (String, bool) {
    let mut exporter = bench.ours(&["run", "--exporter-config", bench.rig.to_str().expect("text")]);
    let _exporter = exporter.stderr(Stdio::null()).spawn().expect("it runs");
    bench.lab.until("Exporter", "rig", is_free).await;
    let target = format!("{BRIEF}@{}", bench.target);
    let words = bench.login(&target, &[offline, "--username", BRIEF, "--password", PASSWORD]);
    let (code, _, complaint) = done(bench.ours(&words)).await;
    assert_eq!(code, Some(0), "{complaint}");
    let begun = jiff::Timestamp::now();
    // Seven seconds after the beginning its token has expired.
    let script = format!("{}; sleep 7", meanwhile(bench));
    let words = ["shell", "--selector", "board=demo", "--duration", "5m", "--", "sh", "-c", script.as_str()];
    let (code, said, complaint) = done(bench.ours(&words)).await;
    assert_eq!((code, said.as_str()), (Some(0), ""), "{complaint}");
    assert!(begun.duration_until(jiff::Timestamp::now()).as_secs() >= 7);
    let lease = complaint.split_whitespace().skip_while(|word| *word != "Lease").nth(1).expect("a lease");
    let lease = bench.lab.object("Lease", lease.trim_end_matches([':', '.', ','])).await;
    (complaint, lease["status"]["ended"] == true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_takes_longer_than_its_token_renews_it() {
    let mut bench = Bench::start().await;
    let (complaint, over) = outlasting(&mut bench, "--offline-access", |_| "true".to_owned()).await;
    assert!(complaint.contains("Token refreshed automatically."), "{complaint}");
    assert!(over, "the lease was given back with the new token: {complaint}");
    bench.is_known(None, BRIEF).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_takes_the_token_of_who_logs_in_meanwhile() {
    let mut bench = Bench::start().await;
    let meanwhile = |bench: &Bench| {
        let (file, fresh) = (bench.file(BRIEF), bench.lab.path().join("fresh.yaml"));
        let mut new = content(&file);
        new["token"] = bench.provider.token(BRIEF).into();
        std::fs::write(&fresh, new.to_string()).expect("written");
        format!("cp {} {}", fresh.display(), file.display())
    };
    let (complaint, over) = outlasting(&mut bench, "--no-offline-access", meanwhile).await;
    assert!(complaint.contains("Token reloaded from login."), "{complaint}");
    assert!(over, "{complaint}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_whose_token_expires_says_what_becomes_of_its_lease() {
    let mut bench = Bench::start().await;
    let (complaint, over) = outlasting(&mut bench, "--no-offline-access", |_| "true".to_owned()).await;
    assert!(complaint.contains(&format!("the token of client {BRIEF} expires at ")), "{complaint}");
    assert!(complaint.contains("No refresh token found. Run 'jmp login --offline-access'."), "{complaint}");
    assert!(
        complaint
            .contains(" stays until its end: log in again with `jmp login`, then go on with `JMP_LEASE="),
        "{complaint}"
    );
    assert!(!over, "{complaint}");
    bench.stop().await;
}
