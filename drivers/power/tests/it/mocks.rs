//! Mocks of devices: the device's configuration, without the device.

use jumpstarter::{ErrorKind, Result};
use jumpstarter_interfaces::PowerReading;

use crate::{bench, power, refused};

/// Driver, a configuration, whether it can measure.
const MOCKS: &[(&str, &str, bool)] = &[
    ("mock-command-power", "on: 'exit 1'\n'off': 'exit 1'\nread: 'exit 1'", true),
    ("mock-command-power", "on: 'exit 1'\n'off': 'exit 1'", false),
    (
        "mock-http-power",
        "power_on: {url: 'http://192.0.2.1/on'}\npower_off: {url: 'http://192.0.2.1/off'}\n\
         power_read: {url: 'http://192.0.2.1/read'}",
        true,
    ),
    ("mock-snmp-power", "host: pdu.example\nuser: admin\nplug: 3", false),
    (
        "mock-tasmota-power",
        "host: broker.example\ncmnd_topic: cmnd/plug/POWER\nstat_topic: stat/plug/POWER",
        true,
    ),
    ("mock-tasmota-power", "host: broker.example\ncmnd_topic: a\nstat_topic: b", false),
    ("mock-energenie-power", "host: strip.example\nslot: 4", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_mock_takes_the_configuration_of_its_device_and_needs_none() -> Result<()> {
    for (driver, keys, measures) in MOCKS {
        let bench = bench(driver, keys).await?;
        let supply = power(&bench)?;
        supply.on().await?;
        let read = async || supply.read().await?.collect().await;
        if *measures {
            assert_eq!(read().await?, [PowerReading { voltage: 5.0, current: 2.0 }], "{driver}");
            supply.off().await?;
            assert_eq!(read().await?, [PowerReading { voltage: 0.0, current: 0.0 }], "{driver}");
        } else {
            let error = read().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{driver}: {error}");
        }
        assert!(bench.stop().await.is_empty());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_y6_a_configuration_that_is_wrong_is_refused_by_the_device_and_its_mock() {
    let snmp = "host: 127.0.0.1\nuser: admin\nplug: 3\n";
    let tasmota = "host: 127.0.0.1\ncmnd_topic: c\nstat_topic: s\n";
    let http = "power_on: {url: 'http://a/'}\npower_off: {url: 'http://a/'}\n";
    for (driver, keys, message) in [
        (
            "energenie-power",
            "host: a\nslot: 5".to_owned(),
            "`slot` must be at most 4, but it is the number 5",
        ),
        ("energenie-power", "slot: 1".to_owned(), "missing key `host`"),
        ("http-power", "power_on: {url: 'http://a/'}".to_owned(), "missing key `power_off`"),
        (
            "http-power",
            "power_on: {url: a}\npower_off: {url: 'http://a/'}".to_owned(),
            "`url` must be a URL, such as http://192.0.2.7/on",
        ),
        (
            "http-power",
            format!("{http}power_read: {{url: 'http://a/', method: 'A B'}}"),
            "`power_read.method`: \"A B\" is no HTTP method",
        ),
        ("http-power", format!("{http}auth: {{basic: {{usr: a}}}}"), "did you mean `user`?"),
        ("snmp-power", format!("{snmp}oid: 1.3.x"), "`oid` must be an object identifier"),
        (
            "snmp-power",
            format!("{snmp}auth_protocol: MD5"),
            "`auth_protocol`: needs `auth_key`, which is missing",
        ),
        (
            "snmp-power",
            format!("{snmp}auth_protocol: SHA\nauth_key: secretsecret\npriv_protocol: AES"),
            "needs `priv_key`, which is missing",
        ),
        (
            "snmp-power",
            format!("{snmp}priv_protocol: AES\npriv_key: secretsecret"),
            "`priv_protocol` needs an `auth_protocol`",
        ),
        ("snmp-power", format!("{snmp}auth_protocol: MD4"), "NONE, MD5, SHA"),
        (
            "tasmota-power",
            format!("{tasmota}transport: websockets"),
            "`transport`: websockets is not available",
        ),
        (
            "tasmota-power",
            "host: a\ncmnd_topic: 'c/#'\nstat_topic: s".to_owned(),
            "`cmnd_topic`: \"c/#\" is not the topic of one device",
        ),
        ("tasmota-power", format!("{tasmota}timeout: 0"), "`timeout` has to be above 0"),
    ] {
        for driver in [driver.to_owned(), format!("mock-{driver}")] {
            let problem = refused(&driver, &keys).await;
            assert!(problem.contains(message), "{driver}: {keys}: {problem}");
        }
    }
}
