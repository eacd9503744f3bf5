//! Which client is used: files, aliases and variables, in their order.

use std::{collections::BTreeMap, path::Path};

use jumpstarter_lease::{Access, Choice, choose, config};
use tempfile::TempDir;

struct Home {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut home = Self { folder, variables: BTreeMap::new() };
        let path = home.path().display().to_string();
        home.set("JMP_CLIENT_CONFIG_HOME", &path);
        home
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    fn client(&self, alias: &str) {
        let file = self.path().join("clients").join(format!("{alias}.yaml"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let text = format!(
            "metadata: {{namespace: n, name: {alias}}}\nendpoint: {alias}.example:1\ntoken: t-{alias}\n"
        );
        std::fs::write(file, text).unwrap();
    }

    fn default(&self, alias: &str) {
        std::fs::write(self.path().join("config.yaml"), format!("config: {{current-client: {alias}}}\n"))
            .unwrap();
    }

    fn choose(&self, choice: &Choice) -> Chosen {
        let lookup = |name: &str| self.variables.get(name).cloned();
        let chosen = choose(choice, &lookup).map_err(|unusable| unusable.to_string())?;
        let access = Access::new(&chosen, &lookup).map_err(|unusable| unusable.to_string())?;
        Ok((access.name, access.endpoint.to_string(), access.token.expose().to_owned()))
    }
}

type Chosen = Result<(String, String, String), String>;

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what may fail")]
fn is(name: &str, endpoint: &str, token: &str) -> Chosen {
    Ok((name.to_owned(), endpoint.to_owned(), token.to_owned()))
}

#[test]
fn the_environment_fills_a_file_that_was_named_and_replaces_what_others_say() {
    let mut home = Home::new();
    for alias in ["lab", "lab.east", "other"] {
        home.client(alias);
    }
    home.default("lab");
    let alias = |name: &str| Choice::Alias(name.to_owned());
    assert_eq!(home.choose(&Choice::Default), is("lab", "lab.example:1", "t-lab"));
    assert_eq!(home.choose(&alias("lab.east")), is("lab.east", "lab.east.example:1", "t-lab.east"));
    let file = Choice::File(home.path().join("clients/other.yaml"));
    assert_eq!(home.choose(&file), is("other", "other.example:1", "t-other"));

    home.set("JMP_ENDPOINT", "env.example:2");
    home.set("JMP_TOKEN", "t-env");
    assert_eq!(home.choose(&Choice::Default), is("lab", "env.example:2", "t-env"));
    assert_eq!(home.choose(&alias("other")), is("other", "other.example:1", "t-other"));

    home.set("JMP_CLIENT", "other");
    assert_eq!(home.choose(&Choice::Default), is("other", "env.example:2", "t-env"));
    let east = home.path().join("clients/lab.east.yaml").display().to_string();
    home.set("JMP_CLIENT_CONFIG", &east);
    assert_eq!(home.choose(&Choice::Default), is("lab.east", "env.example:2", "t-env"));
}

#[test]
fn the_environment_alone_is_a_client() {
    let mut home = Home::new();
    home.client("lab");
    home.default("lab");
    for (name, value) in
        [("JMP_NAMESPACE", "n"), ("JMP_NAME", "me"), ("JMP_ENDPOINT", "env.example"), ("JMP_TOKEN", "t")]
    {
        home.set(name, value);
    }
    assert_eq!(home.choose(&Choice::Default), is("me", "env.example:443", "t"));
    home.variables.remove("JMP_TOKEN");
    let lacking = home.choose(&Choice::Default).unwrap_err();
    assert!(lacking.contains("JMP_TOKEN"), "{lacking}");
}

#[test]
fn what_is_not_there_is_named_with_what_there_is() {
    let home = Home::new();
    let none = home.choose(&Choice::Default).unwrap_err();
    assert_eq!(none, "none of --client, --client-config is specified, and default config is not set");
    for alias in ["lab", "other"] {
        home.client(alias);
    }
    let none = home.choose(&Choice::Default).unwrap_err();
    assert!(none.ends_with("choose one with `jmp config client use`: lab, other"), "{none}");
    home.default("gone");
    let gone = home.choose(&Choice::Default).unwrap_err();
    assert!(gone.starts_with("the default client \"gone\" does not exist: there is no "), "{gone}");
    let near = home.choose(&Choice::Alias("labb".to_owned())).unwrap_err();
    assert!(near.ends_with("did you mean \"lab\"?"), "{near}");
    let path = home.choose(&Choice::Alias("../x".to_owned())).unwrap_err();
    assert!(path.contains("use --client-config for a path"), "{path}");
    std::fs::write(home.path().join("clients/bad.yaml"), "endpiont: x\n").unwrap();
    let bad = home.choose(&Choice::Alias("bad".to_owned())).unwrap_err();
    assert!(bad.contains("bad.yaml:1:1") && bad.contains("did you mean `endpoint`"), "{bad}");
}

#[test]
fn aliases_are_the_names_of_files_without_their_ending() {
    let home = Home::new();
    for alias in ["b.east", "a"] {
        home.client(alias);
    }
    std::fs::write(home.path().join("clients/notes.txt"), "").unwrap();
    std::fs::write(home.path().join("clients/.hidden.yaml"), "").unwrap();
    let lookup = |name: &str| home.variables.get(name).cloned();
    let found: Vec<_> = config::clients(&lookup).into_iter().map(|(alias, _)| alias).collect();
    assert_eq!(found, ["a", "b.east"]);
}
