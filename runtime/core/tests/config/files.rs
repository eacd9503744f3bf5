//! The client's and the user's files.

use jumpstarter_core::config::client::{self, Environment, LeaseOptions};
use jumpstarter_core::config::exporter::GrpcOption;
use jumpstarter_core::config::{ClientConfig, Problems, user};

fn read(text: &str) -> Result<ClientConfig, Problems> {
    client::read("lab.yaml", text, |_| None, Environment::Fills).into_result()
}

fn messages(problems: &Problems) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn in_environment<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
    |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

const EVERYTHING: &str = "\
apiVersion: jumpstarter.dev/v1alpha1
kind: ClientConfig
metadata: {namespace: lab, name: alice}
endpoint: grpc.lab.example.com:443
tls: {ca: '', insecure: true}
token: hunter2
refresh_token: hunter3
grpcOptions: {grpc.keepalive_time_ms: 5}
drivers: {allow: [jumpstarter_driver_*, ''], unsafe: false}
shell: {use_profiles: true}
leases: {acquisition_timeout: 100, dial_timeout: 7.5, retry_timeout: 0}
";

#[test]
fn every_key_of_a_client_file_is_read() {
    let file = read(EVERYTHING).expect("a good file");
    assert_eq!(
        (file.metadata.namespace.as_deref(), file.metadata.name.as_deref()),
        (Some("lab"), Some("alice"))
    );
    assert_eq!(file.endpoint.as_ref().map(|it| it.as_str()), Some("grpc.lab.example.com:443"));
    assert!(file.tls.insecure && file.shell.use_profiles && !file.drivers.allows_everything());
    assert_eq!(file.token.as_ref().map(|it| it.expose()), Some("hunter2"));
    assert_eq!(file.refresh_token.as_ref().map(|it| it.expose()), Some("hunter3"));
    assert_eq!(file.grpc_options["grpc.keepalive_time_ms"], GrpcOption::Int(5));
    assert_eq!(file.drivers.allow, ["jumpstarter_driver_*"]);
    assert_eq!(
        (file.leases.acquisition_timeout, file.leases.dial_timeout, file.leases.retry_timeout),
        (100, 7.5, 0.0)
    );
    assert!(file.for_controller().is_empty());
    assert!(!format!("{file:?}").contains("hunter"));
}

#[test]
fn what_a_client_file_leaves_out_has_upstreams_defaults() {
    let file = read("kind: ClientConfig\n").expect("a good file");
    assert_eq!(
        (file.leases.acquisition_timeout, file.leases.dial_timeout, file.leases.retry_timeout),
        (7200, 60.0, 300.0)
    );
    assert!(
        file.drivers.allow.is_empty()
            && !file.drivers.everything
            && !file.shell.use_profiles
            && !file.tls.insecure
    );
    let missing = file.for_controller();
    let missing: Vec<_> = missing.iter().map(|problem| problem.message().split('`').nth(1)).collect();
    assert_eq!(missing, ["metadata.name", "metadata.namespace", "endpoint", "token"].map(Some));
}

#[test]
fn patterns_may_be_one_text_and_unsafe_may_be_one_of_them() {
    let file = read("drivers: {allow: 'a.*, b.*,'}\n").expect("a good file");
    assert_eq!(file.drivers.allow, ["a.*", "b.*"]);
    assert!(!file.drivers.allows_everything());
    for text in ["drivers: {allow: UNSAFE}\n", "drivers: {allow: [UNSAFE]}\n", "drivers: {unsafe: yes}\n"] {
        assert!(read(text).expect("a good file").drivers.allows_everything(), "{text}");
    }
}

#[test]
fn all_that_is_wrong_with_a_client_file_is_told_together() {
    let text = "kind: UserConfig\nendpont: x\ntoken: 1234\nleases: {acquisition_timeout: 4, timeout: 3}\ndrivers: {allow: 7}\n";
    let problems = read(text).expect_err("a bad file");
    assert_eq!(
        messages(&problems),
        [
            "lab.yaml:1:7: `kind` must be `ClientConfig`, but it is the text `UserConfig`",
            "lab.yaml:2:1: unknown key `endpont`",
            "lab.yaml:3:8: `token` must be text, but it is a number",
            "lab.yaml:4:31: `acquisition_timeout` must be a whole number of seconds, 5 or more, but it is the number 4",
            "lab.yaml:4:34: unknown key `timeout` in `leases`",
            "lab.yaml:5:18: `allow` must be a list of patterns, or text with commas between them, but it is the number 7",
        ]
    );
    let shown = problems.render();
    assert!(shown.contains("this is a user's file; a client's says `kind: ClientConfig`"), "{shown}");
    assert!(shown.contains("did you mean `endpoint`?"), "{shown}");
    assert!(!shown.contains("1234"), "{shown}");
}

#[test]
fn the_environment_fills_a_file_that_was_named_and_replaces_the_default_one() {
    let variables = [
        ("JMP_ENDPOINT", "environment:2"),
        ("JMP_TOKEN", "from-environment"),
        ("JMP_REFRESH_TOKEN", "other"),
        ("JMP_NAMESPACE", "elsewhere"),
        ("JMP_DRIVERS_ALLOW", "x.*"),
        ("JMP_TLS", r#"{"insecure": false}"#),
        ("JMP_DIAL_TIMEOUT", "9"),
    ];
    let named = client::read("lab.yaml", EVERYTHING, in_environment(&variables), Environment::Fills);
    let named = named.into_result().expect("a good file");
    assert_eq!(named.endpoint.as_ref().map(|it| it.as_str()), Some("grpc.lab.example.com:443"));
    assert_eq!(named.token.as_ref().map(|it| it.expose()), Some("hunter2"));
    assert_eq!(named.drivers.allow, ["jumpstarter_driver_*"]);
    assert!(named.tls.insecure);
    // Somebody who sets this one means the next command.
    assert_eq!(
        named.leases,
        LeaseOptions { acquisition_timeout: 100, dial_timeout: 9.0, retry_timeout: 0.0 }
    );

    let default = client::read("lab.yaml", EVERYTHING, in_environment(&variables), Environment::Overrides);
    let default = default.into_result().expect("a good file");
    assert_eq!(default.endpoint.as_ref().map(|it| it.as_str()), Some("environment:2"));
    assert_eq!(default.token.as_ref().map(|it| it.expose()), Some("from-environment"));
    assert_eq!(default.refresh_token.as_ref().map(|it| it.expose()), Some("hunter3"));
    assert_eq!(default.metadata.namespace.as_deref(), Some("lab"));
    assert_eq!(default.drivers.allow, ["x.*"]);
    assert!(!default.tls.insecure);

    let bare = client::read("lab.yaml", "{}", in_environment(&variables), Environment::Fills);
    let bare = bare.into_result().expect("a good file");
    assert_eq!(bare.endpoint.as_ref().map(|it| it.as_str()), Some("environment:2"));
    assert_eq!(bare.metadata.namespace.as_deref(), Some("elsewhere"));
    assert_eq!(bare.drivers.allow, ["x.*"]);
}

#[test]
fn a_name_and_a_namespace_in_the_environment_are_enough() {
    assert!(
        client::from_environment(in_environment(&[("JMP_NAME", "alice"), ("JMP_NAMESPACE", "")])).is_none()
    );
    let variables = [("JMP_NAME", "alice"), ("JMP_NAMESPACE", "lab"), ("JMP_DRIVERS_UNSAFE", "1")];
    let file =
        client::from_environment(in_environment(&variables)).expect("enough").into_result().expect("right");
    assert_eq!(
        (file.metadata.name.as_deref(), file.metadata.namespace.as_deref()),
        (Some("alice"), Some("lab"))
    );
    assert!(file.drivers.everything);
}

#[test]
fn a_mistake_in_a_variable_of_a_client_names_the_variable() {
    for (name, value, wanted) in [
        (
            "JMP_LEASES",
            r#"{"dial_timeout": 1}"#,
            "environment variable JMP_LEASES:1:18: `dial_timeout` of `JMP_LEASES`",
        ),
        ("JMP_DRIVERS_UNSAFE", "perhaps", "environment variable JMP_DRIVERS_UNSAFE must be true or false"),
        (
            "JMP_RETRY_TIMEOUT",
            "-1",
            "environment variable JMP_RETRY_TIMEOUT must be a number of seconds, 0 or more",
        ),
    ] {
        let variables = [(name, value)];
        let read = client::read("lab.yaml", "{}", in_environment(&variables), Environment::Fills);
        let problems = read.into_result().expect_err("a bad variable");
        let found = messages(&problems);
        assert!(
            found.len() == 1 && found[0].contains(wanted.split(" of ").next().unwrap_or(wanted)),
            "{found:?}"
        );
    }
}

#[test]
fn a_user_file_names_a_client_or_none() {
    let read = |text: &str| user::read("config.yaml", text).into_result();
    for (text, client) in [
        ("kind: UserConfig\nconfig: {current-client: lab}\n", Some("lab")),
        ("config: {current-client: null}\n", None),
        ("config: {current-client: ''}\n", None),
        ("config: {}\n", None),
    ] {
        assert_eq!(read(text).expect("a good file").config.current_client.as_deref(), client, "{text}");
    }
    for (text, wanted) in [
        ("kind: UserConfig\n", "config.yaml:1:1: missing key `config`"),
        ("config: {current_client: lab}\n", "config.yaml:1:10: unknown key `current_client` in `config`"),
        ("", "config.yaml:1:1: the file is empty"),
    ] {
        assert_eq!(messages(&read(text).expect_err("a bad file")), [wanted], "{text}");
    }
}
