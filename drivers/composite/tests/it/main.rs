//! Groups and references as clients see them.

use jumpstarter::{DriverFactory, Result};
use jumpstarter_interfaces::PowerClient;
use jumpstarter_testing::serve_text;

const DRIVERS: &[&[&dyn DriverFactory]] =
    &[jumpstarter_driver_composite::DRIVERS, jumpstarter_driver_power::DRIVERS];

const FILE: &str = "
export:
  # by name, with upstream's class path, and by children alone
  named: {type: composite, children: {power: {type: mock-power}}}
  upstream: {type: jumpstarter_driver_composite.driver.Composite, children: {power: {type: mock-power}}}
  plain: {children: {power: {type: mock-power}}}
  again: {ref: plain}
";

#[tokio::test]
async fn every_spelling_of_a_group_gives_the_same_tree() -> Result<()> {
    let bench = serve_text("groups.yaml", FILE, DRIVERS).await?;
    let device = bench.device();
    let names: Vec<_> = device.children().map(|child| child.name().to_owned()).collect();
    assert_eq!(names, ["named", "upstream", "plain", "again"]);
    for name in names {
        let group = device.find(&name)?;
        assert_eq!(group.client_class(), "jumpstarter_driver_composite.client.CompositeClient", "{name}");
        device.client::<PowerClient>(&format!("{name}.power"))?.on().await?;
    }
    // A reference is its target under another name, with the target's children again.
    assert_eq!(device.find("again")?.uuid(), device.find("plain")?.uuid());
    assert_eq!(device.find("again.power")?.uuid(), device.find("plain.power")?.uuid());
    assert!(bench.stop().await.is_empty());
    Ok(())
}
