//! Rules about the workspace itself: who depends on whom, which folders exist, what every crate says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Crate → crates of ours that it may depend on, outside of tests. From the table in `docs/architecture.md`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("jumpstarter-protocol", &[]),
    ("jumpstarter-codegen", &[]),
    ("jumpstarter-macros", &["jumpstarter-codegen"]),
    ("jumpstarter-core", &["jumpstarter-protocol"]),
    ("jumpstarter-process", &["jumpstarter-core"]),
    ("jumpstarter-files", &["jumpstarter-core"]),
    ("jumpstarter-transport", &["jumpstarter-protocol", "jumpstarter-core", "jumpstarter-files"]),
    ("jumpstarter-session", &["jumpstarter-protocol", "jumpstarter-core", "jumpstarter-transport"]),
    ("jumpstarter-router", &["jumpstarter-protocol", "jumpstarter-core", "jumpstarter-transport"]),
    ("jumpstarter-store", &["jumpstarter-core"]),
    ("jumpstarter-identity", &[]),
    ("jumpstarter-api", &["jumpstarter-protocol", "jumpstarter-core"]),
    ("jumpstarter-leasing", &["jumpstarter-api", "jumpstarter-core"]),
    ("jumpstarter-service", CONTROLLER),
    (
        "jumpstarter-lab",
        &[
            "jumpstarter-protocol",
            "jumpstarter-core",
            "jumpstarter-transport",
            "jumpstarter-router",
            "jumpstarter-store",
            "jumpstarter-api",
            "jumpstarter-leasing",
            "jumpstarter-identity",
            "jumpstarter-service",
        ],
    ),
    (
        "jumpstarter-client",
        &["jumpstarter-protocol", "jumpstarter-core", "jumpstarter-transport", "jumpstarter-files"],
    ),
    ("jumpstarter-login", &["jumpstarter-core", "jumpstarter-transport"]),
    ("jumpstarter-life", &["jumpstarter-protocol"]),
    (
        "jumpstarter-lease",
        &["jumpstarter-protocol", "jumpstarter-core", "jumpstarter-transport", "jumpstarter-client"],
    ),
    (
        "jumpstarter",
        &[
            "jumpstarter-core",
            "jumpstarter-macros",
            "jumpstarter-session",
            "jumpstarter-client",
            "jumpstarter-lease",
        ],
    ),
    (
        "jumpstarter-exporter",
        &[
            "jumpstarter-protocol",
            "jumpstarter-core",
            "jumpstarter-session",
            "jumpstarter-transport",
            "jumpstarter-life",
        ],
    ),
    ("jumpstarter-interfaces", &["jumpstarter"]),
    ("jumpstarter-compatibility", &["jumpstarter-protocol", "jumpstarter-codegen", "jumpstarter-core"]),
];

/// What the service of the controller is made of.
const CONTROLLER: &[&str] = &[
    "jumpstarter-protocol",
    "jumpstarter-core",
    "jumpstarter-transport",
    "jumpstarter-router",
    "jumpstarter-store",
    "jumpstarter-api",
    "jumpstarter-leasing",
    "jumpstarter-identity",
];

/// What every crate below `drivers/` may use of ours.
const DRIVER: &[&str] =
    &["jumpstarter", "jumpstarter-interfaces", "jumpstarter-process", "jumpstarter-files"];

/// Crates at the top, which assemble the others and which nothing that ships depends on.
const TOP: &[&str] = &[
    "jumpstarter-cli",
    "jumpstarter-testing",
    "jumpstarter-schemas",
    "jumpstarter-tests",
    "jumpstarter-expand-test",
    "jumpstarter-renamed-test",
    "jumpstarter-mutations-test",
];

struct Workspace {
    root: PathBuf,
    packages: BTreeMap<String, Package>,
}

impl Workspace {
    fn read() -> Self {
        let metadata = MetadataCommand::new()
            .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
            .no_deps()
            .exec()
            .expect("cargo metadata");
        let packages = metadata.workspace_packages().into_iter();
        Self {
            root: metadata.workspace_root.clone().into(),
            packages: packages.map(|package| (package.name.to_string(), package.clone())).collect(),
        }
    }

    fn is_driver(&self, package: &Package) -> bool {
        package.manifest_path.as_std_path().starts_with(self.root.join("drivers"))
            && package.name.as_str() != "jumpstarter-interfaces"
    }

    /// Dependencies on crates of ours, outside of tests.
    fn ours<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = &'a str> {
        let shipped =
            package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        shipped.map(|dependency| dependency.name.as_str()).filter(|name| self.packages.contains_key(*name))
    }
}

#[test]
fn crates_depend_only_on_those_below_them() {
    let workspace = Workspace::read();
    let table: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, package) in &workspace.packages {
        let allowed = match table.get(name.as_str()) {
            Some(allowed) => *allowed,
            None if workspace.is_driver(package) => DRIVER,
            None if TOP.contains(&name.as_str()) => {
                continue;
            }
            None => {
                wrong.push(format!(
                    "{name} is in no row of the table: add it to this test and to docs/architecture.md"
                ));
                continue;
            }
        };
        for used in workspace.ours(package).filter(|used| !allowed.contains(used)) {
            wrong.push(format!("{name} depends on {used}, which is not below it"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_that_ships_depends_on_the_top() {
    let workspace = Workspace::read();
    let above: BTreeSet<_> = TOP.iter().copied().collect();
    for (name, package) in workspace.packages.iter().filter(|(name, _)| !above.contains(name.as_str())) {
        let used: Vec<_> = workspace.ours(package).filter(|used| above.contains(used)).collect();
        assert!(used.is_empty(), "{name} depends on {used:?}");
    }
}

#[test]
fn core_needs_no_sockets_and_no_grpc() {
    let workspace = Workspace::read();
    let core = &workspace.packages["jumpstarter-core"];
    for banned in ["tonic", "hyper", "rustls", "reqwest", "clap", "tokio-rustls"] {
        assert!(
            core.dependencies.iter().all(|dependency| dependency.name != banned),
            "jumpstarter-core uses {banned}"
        );
    }
    let codegen = &workspace.packages["jumpstarter-codegen"];
    for banned in ["tokio", "futures", "tonic"] {
        assert!(
            codegen.dependencies.iter().all(|dependency| dependency.name != banned),
            "codegen uses {banned}"
        );
    }
    let router = ["clap"];
    for (name, package) in &workspace.packages {
        let may = ["jumpstarter-cli", "jumpstarter-router", "jumpstarter-schemas", "jumpstarter-tests"]
            .contains(&name.as_str());
        let uses = package.dependencies.iter().any(|dependency| {
            dependency.kind == DependencyKind::Normal && router.contains(&dependency.name.as_str())
        });
        assert!(may || !uses, "{name} uses clap: only programs parse arguments");
    }
}

#[test]
fn every_crate_inherits_edition_licence_and_lints() {
    let workspace = Workspace::read();
    for (name, package) in &workspace.packages {
        assert_eq!(package.edition.as_str(), "2024", "{name}");
        assert_eq!(package.license.as_deref(), Some("Apache-2.0"), "{name}");
        let description = package.description.as_deref().unwrap_or_default();
        assert!(description.len() > 15, "{name} needs a description, got {description:?}");
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} does not take the workspace's lints");
    }
}

#[test]
fn versions_stand_in_the_root_only() {
    let workspace = Workspace::read();
    for (name, package) in &workspace.packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("manifest");
        let mut section = "";
        let mut own = Vec::new();
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            } else if section.ends_with("dependencies]") {
                let plain = line.contains(" = \"") && !line.contains('{');
                own.extend((plain || line.contains("version = ")).then_some(line));
            }
        }
        assert!(own.is_empty(), "{name} has versions of its own: {own:?}");
    }
}

#[test]
fn no_crate_is_empty() {
    let workspace = Workspace::read();
    for (name, package) in &workspace.packages {
        let folder = package.manifest_path.parent().expect("a folder");
        let lines: usize =
            sources(folder.as_std_path(), &workspace).iter().map(|text| text.lines().count()).sum();
        assert!(lines > 20, "{name} has {lines} lines of Rust");
    }
}

/// The Rust files of a crate, without those of crates below it.
fn sources(folder: &Path, workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let another = workspace
            .packages
            .values()
            .any(|package| package.manifest_path.parent().is_some_and(|at| at == path));
        if path.is_dir() && !another && !path.ends_with("target") {
            found.extend(sources(&path, workspace));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(std::fs::read_to_string(&path).expect("a Rust file"));
        }
    }
    found
}

/// Who gets an exporter is decided by functions of objects and time. What it needs to talk to others is not theirs, and no
/// resource type brings a client of Kubernetes along; drivers and the host know neither.
#[test]
fn leasing_is_pure_and_resources_stay_out_of_drivers() {
    let workspace = Workspace::read();
    for (name, banned) in [
        ("jumpstarter-leasing", ["tokio", "tonic", "kube", "redb", "futures"].as_slice()),
        ("jumpstarter-api", &["tokio", "tonic", "kube-client", "kube-runtime"]),
    ] {
        let package = &workspace.packages[name];
        let used = package.dependencies.iter().filter(|used| used.kind == DependencyKind::Normal);
        for dependency in used {
            assert!(!banned.contains(&dependency.name.as_str()), "{name} uses {}", dependency.name);
            let features = &dependency.features;
            let client = ["client", "runtime"];
            assert!(
                dependency.name != "kube"
                    || !features.iter().any(|feature| client.contains(&feature.as_str())),
                "{name} brings a client of Kubernetes"
            );
        }
        let folder = package.manifest_path.parent().expect("a folder").join("src");
        for clock in ["Timestamp::now", "SystemTime::now", "Instant::now", "Zoned::now"] {
            let uses = sources(folder.as_std_path(), &workspace).iter().any(|text| text.contains(clock));
            assert!(!uses, "{name} asks a clock: time is an argument");
        }
    }
    for (name, package) in &workspace.packages {
        let may = ["controller", "schemas", "tests", "cli"];
        let folder = package.manifest_path.strip_prefix(&workspace.root).expect("below the root");
        if may.iter().any(|may| folder.starts_with(may)) {
            continue;
        }
        // A test may start a whole lab, and then chooses for it as a program does.
        let shipped = package.dependencies.iter().filter(|used| used.kind != DependencyKind::Development);
        for dependency in shipped {
            let heavy = ["kube", "k8s-openapi"].contains(&dependency.name.as_str());
            assert!(!heavy, "{name} uses {}: only the controller does", dependency.name);
        }
    }
}

/// `#[driver]` and `DRIVERS` must agree: a driver that is missing from its crate's list could not be used.
#[test]
fn every_driver_is_in_its_crates_list() {
    let workspace = Workspace::read();
    for (name, package) in workspace.packages.iter().filter(|(_, package)| workspace.is_driver(package)) {
        let folder = package.manifest_path.parent().expect("a folder");
        let all = sources(folder.as_std_path(), &workspace).join("\n");
        let list = all.split("const DRIVERS").nth(1).unwrap_or_else(|| panic!("{name} has no DRIVERS"));
        let list = &list[..list.find(';').expect("the end of the list")];
        for attribute in all.split("#[driver(").skip(1) {
            let (attribute, item) = attribute.split_once(")]").expect("the end of the attribute");
            if attribute.contains("open = made") {
                continue;
            }
            // A struct; or, where a macro makes several alike, the name that the macro is given.
            let named = |text: &str| text.trim_start().starts_with(char::is_uppercase);
            let driver =
                if named(item) { item.trim_start() } else { item.split("struct ").nth(1).expect("a struct") };
            let driver = driver.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            assert!(list.contains(&format!("{driver}::DRIVER")), "{name}: {driver} is not in DRIVERS");
        }
    }
}

/// A file that somebody shortens while it is mapped kills the process. Nothing here maps files, and no crate for it may
/// come in by a direct dependency.
#[test]
fn pitfall_p2_nothing_maps_files() {
    let workspace = Workspace::read();
    for (name, package) in &workspace.packages {
        for dependency in &package.dependencies {
            assert!(!dependency.name.contains("mmap"), "{name} uses {}", dependency.name);
        }
        let folder = package.manifest_path.parent().expect("a folder");
        let calls = ["mm::mmap(", "libc::mmap(", "Mmap::map("];
        for text in sources(folder.as_std_path(), &workspace) {
            // This very test names them.
            let text = text.split("fn pitfall_p2_").next().unwrap_or_default();
            assert!(!calls.iter().any(|call| text.contains(call)), "{name} maps a file");
        }
    }
}
