//! `command-power`.

use std::{fs, path::Path};

use jumpstarter::{Delay, ErrorKind, Result, time::Duration};
use jumpstarter_interfaces::{PowerCycleClient, PowerReading};

use crate::{bench, measured, power, refused};

fn keys(folder: &Path, more: &str) -> String {
    format!("on: 'echo on >> log'\n'off': 'echo off >> log'\ncwd: {}\n{more}", folder.display())
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default().replace('\n', " ")
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_switch_measure_and_cycle() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let more = "read: 'echo 5 0.5'\ncycle: 'echo cycle $1 >> log'\n";
    let bench = bench("command-power", &keys(folder.path(), more)).await?;
    let supply = power(&bench)?;
    supply.on().await?;
    supply.off().await?;
    // The client's own cycle is two calls, as upstream's; the driver's is one.
    supply.cycle(Delay::ZERO).await?;
    bench.client::<PowerCycleClient>("power")?.cycle(Duration::from_millis(1500).into()).await?;
    assert_eq!(log(folder.path()), "on off off on cycle 1.5 ");
    assert_eq!(measured(&supply).await?, [PowerReading { voltage: 5.0, current: 0.5 }]);
    assert!(bench.stop().await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_command_for_it_a_cycle_is_off_and_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bench = bench("command-power", &keys(folder.path(), "")).await?;
    bench.client::<PowerCycleClient>("power")?.cycle(Delay::ZERO).await?;
    assert_eq!(log(folder.path()), "off on ");
    let error = measured(&power(&bench)?).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(bench.stop().await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_or_hangs_is_an_error() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let commands = "on: 'echo first >&2; echo relay is stuck >&2; exit 7'\n'off': 'sleep 1000 & echo $! > sleeper; wait'\n\
                    read: 'echo on'\ntimeout: 0.1\n";
    let bench = bench("command-power", &format!("{commands}cwd: {}\n", folder.path().display())).await?;
    let supply = power(&bench)?;
    let error = supply.on().await.unwrap_err();
    let said = "the command for `on` ended with code 7: relay is stuck";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Device, said));
    let error = supply.off().await.unwrap_err();
    assert!(error.message().starts_with("the command for `off` did not end within 100ms"), "{error}");
    let sleeper = fs::read_to_string(folder.path().join("sleeper"))?;
    let line = fs::read_to_string(format!("/proc/{}/cmdline", sleeper.trim())).unwrap_or_default();
    assert_eq!(line, "", "the whole group has ended");
    let error = measured(&supply).await.unwrap_err();
    assert_eq!(
        error.message(),
        "the command for `read` has to print volts and amperes, but it printed \"on\""
    );
    assert!(bench.stop().await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_y6_keys_of_command_power_have_effects() {
    for (keys, message) in [
        ("on: 'true'\n", "missing key `off`"),
        ("on: 'true'\n'off': ''\n", "`off` must be text that is not empty"),
        ("on: 'true'\n'off': 'true'\nshell: []\n", "`shell` must be a list of at least 1"),
        ("on: 'true'\n'off': 'true'\ntimeout: 0\n", "`timeout` has to be above 0"),
        ("on: 'true'\n'off': 'true'\nraed: 'true'\n", "did you mean `read`?"),
    ] {
        for driver in ["command-power", "mock-command-power"] {
            let problem = refused(driver, keys).await;
            assert!(problem.contains(message), "{keys}: {problem}");
        }
    }
}
