//! Every kind of mistake and every kind of good file, as snapshots.

use indexmap::IndexMap;
use insta::{assert_debug_snapshot, assert_snapshot, glob};
use jumpstarter_core::config::references::resolve;
use jumpstarter_core::config::tree::walk;
use jumpstarter_core::config::{
    FailureDetection, GrpcOption, Hooks, Metadata, Node, NodeKind, Problems, Severity, Subject, Tls,
    check_schema, decode, parse,
};

use super::sample::{self, Machine, Serial};

fn text_of(path: &std::path::Path) -> (String, String) {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a file with a name").to_owned();
    (name, std::fs::read_to_string(path).expect("a readable file"))
}

#[test]
fn every_bad_file_is_told_all_that_is_wrong_with_it() {
    glob!("bad/*.yaml", |path| {
        let (name, text) = text_of(path);
        let (_, problems) = sample::problems(&name, &text);
        assert!(problems.has_errors(), "{name} has no errors");
        assert_snapshot!("bad", problems.render());
    });
}

/// Where it is, in the file and in the tree, and what to write: the reader of a terminal gets no less than another program.
#[test]
fn every_problem_shows_its_place_in_the_file_and_in_the_tree() {
    let mut labelled = 0;
    glob!("bad/*.yaml", |path| {
        let (name, text) = text_of(path);
        let (_, problems) = sample::problems(&name, &text);
        for problem in &problems {
            let alone = Problems::from(problem.clone()).render();
            let span = problem.span().unwrap_or_else(|| panic!("{name}: no place: {alone}"));
            assert!(alone.contains(&format!("┌ {name}:{}:{}\n", span.line, span.column)), "{alone}");
            let underline =
                alone.lines().find(|line| line.contains('^')).unwrap_or_else(|| panic!("{alone}"));
            let words = underline.rsplit('^').next().unwrap_or_default().trim();
            assert!(words.starts_with(problem.tree_path()), "{alone}");
            assert!(words.ends_with(problem.label_text().unwrap_or_default()), "{alone}");
            // What is wrong with a value says what it must be.
            let says = problem.help_text().is_some() || problem.message().contains("must be");
            assert!(says, "{name}: nothing says what to write: {alone}");
            labelled += usize::from(problem.label_text().is_some() && !problem.tree_path().is_empty());
        }
    });
    assert!(labelled > 3, "only {labelled} problems have a path and further words");
}

#[test]
fn every_good_file_is_read_without_a_word() {
    glob!("good/*.yaml", |path| {
        let (name, text) = text_of(path);
        let (file, problems) = sample::problems(&name, &text);
        assert!(problems.is_empty(), "{problems}");
        let file = file.expect("a file");
        let references =
            resolve(&file, &|node| Some(sample::made(node))).expect("references that lead somewhere");
        let mut view = Vec::new();
        for node in walk(&file.export) {
            let what = match &node.kind {
                NodeKind::Driver(driver) => format!(
                    "{} {} {:?} {:?} {:?}",
                    *driver.driver,
                    driver.config.to_json(),
                    driver.common,
                    driver.methods_description,
                    driver.isolation
                ),
                NodeKind::Composite { .. } => "composite".to_owned(),
                NodeKind::Proxy { .. } => format!("→ {:?}", references.targets[&node.names]),
                NodeKind::Broken { .. } => panic!("a broken node in a good file"),
            };
            let place = format!("{}:{}", node.key_span.line, node.key_span.column);
            view.push(format!("{} at {place}: {what} {:?}", node.path, node.description));
        }
        assert_debug_snapshot!(
            "good",
            (
                view,
                file.metadata,
                file.endpoint,
                file.token,
                file.tls,
                file.grpc_options,
                (file.description, file.motd),
                file.hooks,
                file.failure_detection,
                file.exit_on_lease_end,
            )
        );
    });
}

/// What the schema and the type say about the `config` nodes of one file.
fn verdicts(name: &str, text: &str) -> Vec<(String, Problems, Option<Problems>)> {
    let (file, _) = sample::problems(name, text);
    let Some(file) = file else { return Vec::new() };
    walk(&file.export)
        .filter_map(|node| {
            let NodeKind::Driver(driver) = &node.kind else { return None };
            let subject = driver.config_subject(&node.path);
            let (schema, typed) = match driver.driver.as_str() {
                "serial" => (schemars::schema_for!(Serial), decode::<Serial>(&driver.config, &subject).err()),
                "machine" => {
                    (schemars::schema_for!(Machine), decode::<Machine>(&driver.config, &subject).err())
                }
                _ => return None,
            };
            Some((node.path.clone(), check_schema(&schema.into(), &driver.config, &subject), typed))
        })
        .collect()
}

#[test]
fn schema_and_type_agree_about_every_configuration_of_the_gallery() {
    let mut compared = 0;
    glob!("*/*.yaml", |path| {
        let (name, text) = text_of(path);
        for (node, by_schema, by_type) in verdicts(&name, &text) {
            compared += 1;
            let Some(by_type) = by_type else {
                assert!(by_schema.is_empty(), "{name} {node}: only the schema objects: {by_schema}");
                continue;
            };
            // The type stops at the first missing key of a mapping; all else, both must name.
            if by_type.is_empty() {
                // Part of it could not be read, and that was said; neither says more.
                assert!(by_schema.is_empty(), "{name} {node}: only the schema objects: {by_schema}");
                continue;
            }
            for problem in &by_type {
                let same = by_schema
                    .iter()
                    .any(|other| (other.span(), other.message()) == (problem.span(), problem.message()));
                let near = by_schema.iter().any(|other| other.span() == problem.span());
                assert!(same || near, "{name} {node}: only the type objects: {problem}\n{by_schema}");
            }
            assert!(by_schema.has_errors(), "{name} {node}: the schema has no objection to\n{by_type}");
        }
    });
    assert!(compared > 40, "only {compared} configurations were compared");
}

#[test]
fn the_gallery_is_as_large_as_it_was_promised() {
    let count = |folder: &str| {
        let folder = format!("{}/tests/config/{folder}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_dir(folder).expect("a folder").count()
    };
    assert!(count("bad") >= 60 && count("good") >= 30, "{} bad, {} good", count("bad"), count("good"));
}

/// What the schema and the type say about one key at the top.
fn agree<T: serde::de::DeserializeOwned + schemars::JsonSchema>(name: &str, key: &str, value: &Node) -> bool {
    let subject = Subject::new(key, key);
    let by_type = decode::<T>(value, &subject).is_ok();
    let by_schema = check_schema(&schemars::schema_for!(T).into(), value, &subject);
    assert_eq!(by_type, by_schema.is_empty(), "{name}: schema and type disagree about `{key}`: {by_schema}");
    true
}

#[test]
fn schema_and_type_agree_about_every_other_part_of_the_gallery() {
    let mut compared = 0;
    glob!("*/*.yaml", |path| {
        let (name, text) = text_of(path);
        let Some(document) = parse(&name, &text).document else { return };
        for entry in document.root.as_map().into_iter().flatten() {
            if entry.value.as_map().is_some_and(jumpstarter_core::config::Map::is_incomplete) {
                continue;
            }
            let (key, value) = (entry.key.as_str(), &entry.value);
            compared += usize::from(match key {
                "metadata" => agree::<Metadata>(&name, key, value),
                "tls" => agree::<Tls>(&name, key, value),
                // Written for people, the schema names one spelling; the type also reads the other.
                "hooks" if name == "hooks_in_both_spellings.yaml" => false,
                "hooks" => agree::<Hooks>(&name, key, value),
                "failureDetection" => agree::<FailureDetection>(&name, key, value),
                "grpcOptions" => agree::<Option<IndexMap<String, GrpcOption>>>(&name, key, value),
                "description" | "motd" => agree::<Option<String>>(&name, key, value),
                "exitOnLeaseEnd" => agree::<bool>(&name, key, value),
                _ => false,
            });
        }
    });
    assert!(compared > 25, "only {compared} parts were compared");
}

#[test]
fn every_problem_of_the_gallery_has_a_place_and_most_say_what_to_write() {
    let (mut all, mut helped) = (0, 0);
    glob!("bad/*.yaml", |path| {
        let (name, text) = text_of(path);
        let (_, problems) = sample::problems(&name, &text);
        for problem in &problems {
            let span = problem.span().unwrap_or_else(|| panic!("{name}: no place for {problem}"));
            let source = parse(&name, &text).source;
            assert_eq!(
                (span.line, span.column),
                (source.span_at(span.start, 0).line, source.span_at(span.start, 0).column),
                "{name}: line and column do not belong to the offset of {problem}"
            );
            assert_eq!(problem.severity(), Severity::Error);
            assert_eq!(problem.file(), Some(name.as_str()));
            all += 1;
            helped += usize::from(problem.help_text().is_some());
        }
    });
    assert!(helped * 10 >= all * 7, "only {helped} of {all} problems say what to write");
}
