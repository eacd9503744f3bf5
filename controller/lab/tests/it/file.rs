//! The file that says how a lab is run.

use jumpstarter_lab::LabConfig;

fn problems(text: &str) -> String {
    LabConfig::read("lab.yaml", text).expect_err("it is wrong").to_string()
}

#[test]
fn what_is_left_out_is_as_without_a_file() {
    let config = LabConfig::read("lab.yaml", "kind: LabConfig\n").expect("a file");
    let without = LabConfig::default();
    assert_eq!(config.leases(), without.leases());
    assert_eq!(config.leases(), jumpstarter_leasing::Settings::default());
    assert_eq!(config.policy().most_tags, 10);
    let said = "exporterOptions: {offlineTimeout: 90s, lostTimeout: 0s}\nleasePolicy: {maxTags: 3, clientTimeout: 0s}\n";
    let config = LabConfig::read("lab.yaml", said).expect("a file");
    assert_eq!(config.leases().offline_after, std::time::Duration::from_secs(90));
    assert_eq!(config.leases().lost_after, None);
    assert_eq!(config.leases().abandoned_after, None);
    assert_eq!(config.policy().most_tags, 3);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place() {
    let said = problems(
        "kind: LabConfig\n\
         autentication: {}\n\
         provisioning: {enabled: maybe}\n\
         exporterOptions: {offlineTimeout: 90}\n\
         leasePolicy: {maxTags: 11}\n\
         routers: {north: {endpoint: north}}\n",
    );
    for line in [
        "lab.yaml:2:1",
        "unknown key `autentication`",
        "did you mean `authentication`?",
        "lab.yaml:3:25",
        "lab.yaml:4:35",
        "lab.yaml:5:24",
    ] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
}

#[test]
fn what_no_schema_can_say_has_a_place_as_well() {
    let said = problems(
        "authentication:\n\
         \x20 internal: {tokenLifetime: 0s}\n\
         \x20 jwt:\n\
         \x20   - issuer: {url: 'http://plain', audiences: [a]}\n\
         \x20     claimMappings: {username: {claim: name, prefix: ''}}\n\
         leasePolicy: {clientTimeout: 19s}\n\
         routers: {north: {endpoint: north, labels: {'a b': c, site: x y}}}\n",
    );
    for line in [
        "lab.yaml:2:29",
        "write for example `8760h`",
        "lab.yaml:4:7",
        "`issuer.url` must be an https address",
        "lab.yaml:6:30",
        "write 20 s or more",
        "lab.yaml:7:29",
        "`north` is not HOST:PORT",
        "`a b` is not the key of a label",
        "lab.yaml:7:61",
        "`x y` is not the value of a label: use at most 63",
    ] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
}

#[test]
fn a_file_of_another_kind_is_none() {
    let said = problems("kind: ExporterConfig\n");
    assert!(said.contains("lab.yaml:1:7") && said.contains("LabConfig"), "{said}");
    for text in ["", "- 1\n", "kind: [\n"] {
        assert!(problems(text).contains("lab.yaml:"), "{text:?}");
    }
}
