//! `#[driver]` and `#[children]`.

use std::{collections::BTreeMap, sync::Arc};

use jumpstarter::{
    Children, Client, DriverFactory, Error, Open, Result,
    config::{Subject, parse},
    driver::{ChildSet as _, Need, Node, Prepared},
    instance::Instance,
    log::{LogRecord, LogSink},
};

use crate::sample::{BENCH, BenchParts, DemoBench, LAMP, LampClient, MadeLamp, MemoryBench, PlainLamp};

struct Nobody;

impl LogSink for Nobody {
    fn log(&self, _: LogRecord) {}
}

fn prepare(factory: &dyn DriverFactory, config: &str) -> Box<dyn Prepared> {
    let document = parse("test.yaml", config).document.unwrap();
    factory.prepare(&document.root, &Subject::new("the configuration", "export.bench")).unwrap()
}

async fn open(
    factory: &dyn DriverFactory,
    config: &str,
    children: Vec<(String, Arc<Instance>)>,
) -> Result<Arc<Instance>> {
    let node = Node {
        uuid: jumpstarter::types::Uuid::nil(),
        path: "export.bench".into(),
        labels: BTreeMap::new(),
        description: None,
        methods_description: BTreeMap::new(),
        log: Arc::new(Nobody),
    };
    prepare(factory, config).open(node, Children::new(children)).await.map(Arc::new)
}

#[test]
fn a_driver_describes_itself_without_being_opened() {
    let spec = DemoBench::DRIVER.spec();
    assert_eq!((spec.type_name, spec.aliases), ("demo-bench", &["some.where.DemoBench"][..]));
    assert_eq!(spec.doc, "A bench that only remembers.");
    assert_eq!(
        spec.provides.iter().map(|interface| interface.name).collect::<Vec<_>>(),
        [BENCH.name, LAMP.name]
    );
    assert_eq!((spec.client_label(), spec.labels), ("some.where.Else", &[("example.org/kind", "demo")][..]));
    assert_eq!(MemoryBench::DRIVER.spec().client_label(), "some.where.BenchClient");
    assert_eq!(DemoBench::DRIVER.config_schema().to_value()["properties"]["baudrate"]["default"], 115_200);
}

#[test]
fn children_say_what_they_must_provide() {
    let wanted: Vec<_> = BenchParts::SPECS.iter().map(|spec| (spec.name, spec.need, spec.doc)).collect();
    let expected = [
        ("lamp", Need::Required, "A lamp."),
        ("spare", Need::Optional, "Another."),
        ("own", Need::Made, "Made here."),
        ("others", Need::Rest, "Others."),
    ];
    assert_eq!(wanted, expected);
    assert_eq!(BenchParts::SPECS[0].also, ["light"]);
    assert!(std::ptr::eq(BenchParts::SPECS[0].interface.unwrap(), &raw const LAMP));
}

#[jumpstarter::test]
async fn a_tree_opens_from_its_configuration() {
    let lamp = open(PlainLamp::DRIVER, "bright: true", vec![]).await.unwrap();
    let dark = open(PlainLamp::DRIVER, "bright: false", vec![]).await.unwrap();
    let children = vec![("light".to_owned(), lamp), ("extra".to_owned(), dark)];
    let bench = open(DemoBench::DRIVER, "title: x", children).await.unwrap();
    assert_eq!(
        bench.children.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["light", "extra", "own"]
    );
    let client = LampClient::from_instance(&bench).unwrap();
    assert!(client.shine().await.unwrap(), "the bench asks the lamp that it made, and the other");
    let lamp = LampClient::from_instance(bench.child("own").unwrap()).unwrap();
    assert!(!lamp.shine().await.unwrap(), "which is the same one");
}

#[jumpstarter::test]
async fn a_missing_child_is_named_with_its_place() {
    let error = open(DemoBench::DRIVER, "title: x", vec![]).await.unwrap_err();
    let text = error_text(&error);
    assert!(text.contains("export.bench") && text.contains("there is no child `lamp`"), "{text}");
}

#[jumpstarter::test]
async fn a_driver_that_only_another_makes_says_which() {
    let error = open(MadeLamp::DRIVER, "{}", vec![]).await.unwrap_err();
    assert_eq!(
        error.message(),
        "`made-lamp` cannot stand in an exporter file: it is made by `demo-bench`, as a child; configure that one instead"
    );
}

fn error_text(error: &Error) -> String {
    format!("{error}")
}

/// It promises a child and does not make it.
#[jumpstarter::driver(type = "liar", children = Promise)]
struct Liar;

#[jumpstarter::children]
struct Promise {
    #[child(made)]
    #[allow(dead_code)]
    lamp: LampClient,
}

impl jumpstarter::Driver for Liar {
    async fn open(_: jumpstarter::NoConfig, _: &mut Open<Promise>) -> Result<Self> {
        Ok(Self)
    }
}

#[jumpstarter::test]
async fn a_promised_child_that_is_not_made_is_an_error() {
    let error = open(Liar::DRIVER, "{}", vec![]).await.unwrap_err();
    assert_eq!(
        error.message(),
        "export.bench: the driver declares that it makes the child `lamp`, but did not"
    );
}
