//! The simulated board through a session: what a person with a real board would try.

use bytes::Bytes;
use jumpstarter::{DriverFactory, ErrorKind, Result, Sink, Source};
use jumpstarter_client::adapters::Expect;
use jumpstarter_interfaces::{
    DigitalInputClient, DigitalOutputClient, ImageInfo, MachineClient, MachineState, Packing, Phase,
    PowerClient, PowerReading, SerialClient, StorageMuxFlasherClient,
};
use jumpstarter_testing::{Bench, serve_text};

const DRIVERS: &[&dyn DriverFactory] = jumpstarter_driver_board::DRIVERS;

const HELLO: &str = "#!board\nprint Hello from the image\ndelay 1ms\nprompt demo\n";

async fn board() -> Bench {
    board_with("{}").await
}

async fn board_with(config: &str) -> Bench {
    let text = format!("export:\n  board:\n    type: simulated-board\n    config: {config}\n");
    serve_text("board.yaml", &text, &[DRIVERS]).await.expect("a served board")
}

async fn console(bench: &Bench) -> Expect {
    let serial: SerialClient = bench.client("board.console").expect("a console");
    Expect::new(serial.connect().await.expect("a connection"))
}

fn power(bench: &Bench) -> PowerClient {
    bench.client("board.power").expect("a supply")
}

fn storage(bench: &Bench) -> StorageMuxFlasherClient {
    bench.client("board.storage").expect("a medium")
}

/// From the tool of the same name: `printf '#!board\nprint Hello from the image\ndelay 1ms\nprompt demo\n' | sha256sum`.
const HELLO_SHA256: &str = include_str!("hello.sha256");

#[tokio::test]
async fn a_flashed_image_boots_to_its_prompt() -> Result<()> {
    let bench = board().await;
    storage(&bench).flash(Source::from_bytes(HELLO), None).await?;
    let mut console = console(&bench).await;
    power(&bench).on().await?;
    console.expect(&format!("image: {} bytes, sha256 {}", HELLO.len(), HELLO_SHA256.trim())[..]).await?;
    console.expect("Hello from the image").await?;
    console.expect("demo> ").await?;
    console.send_line("echo over and out").await?;
    console.expect("\r\nover and out\r\n").await?;
    assert!(bench.stop().await.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_blank_medium_and_foreign_data_do_not_boot() -> Result<()> {
    let bench = board().await;
    let mut console = console(&bench).await;
    power(&bench).on().await?;
    console.expect("no bootable image: the medium is blank").await?;
    storage(&bench).flash(Source::from_bytes("\x7fELF"), None).await?;
    power(&bench).cycle("0s".parse().expect("no time")).await?;
    console.expect("no bootable image: its first line is not #!board").await?;
    bench.stop().await;
    Ok(())
}

#[tokio::test]
async fn only_what_is_connected_to_the_device_boots() -> Result<()> {
    let bench = board().await;
    storage(&bench).flash(Source::from_bytes(HELLO), None).await?;
    storage(&bench).host().await?;
    let mut console = console(&bench).await;
    power(&bench).on().await?;
    console.expect("no medium: it is connected to the host").await?;
    bench.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_medium_can_only_be_written_on_the_hosts_side() -> Result<()> {
    let bench = board().await;
    let storage = storage(&bench);
    storage.dut().await?;
    let error = storage.write(Source::from_bytes(HELLO)).await.expect_err("refused");
    assert!(error.message().contains("switch it to the host first"), "{error}");
    bench.stop().await;
    Ok(())
}

#[tokio::test]
async fn pitfall_s1_a_cut_flash_marks_the_image_and_fails_at_both_ends() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bench = board_with(&format!("{{image: '{}'}}", folder.path().join("image").display())).await;
    let storage = storage(&bench);
    storage.flash(Source::from_bytes(HELLO), None).await?;
    // Cut once the board has begun to write: before that, the old image would rightly still be there.
    let begun = folder.path().join("image.incomplete");
    let cut = async move {
        let writing = async {
            while !begun.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), writing).await.expect("it begins");
        Err(jumpstarter::Error::disconnected("cable pulled"))
    };
    let half = futures::stream::iter([Ok(Bytes::from_static(b"#!board\nprint Half"))]);
    let pieces = futures::StreamExt::chain(half, futures::stream::once(cut));
    let error = storage.flash(Source::new(pieces), None).await.expect_err("a cut upload");
    assert!(
        matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Truncated | ErrorKind::Device),
        "{error:?}"
    );
    let mut console = console(&bench).await;
    power(&bench).on().await?;
    console.expect("broken image: writing was interrupted").await?;
    // A client that was killed never gave the medium back: the board says both.
    storage.host().await?;
    power(&bench).cycle("0s".parse().expect("no time")).await?;
    console.expect("no medium: it is connected to the host").await?;
    console.expect("broken image: writing was interrupted").await?;
    let (sink, content) = Sink::to_memory();
    let error = storage.read(sink).await.expect_err("incomplete");
    assert!(error.message().contains("incomplete"), "{error}");
    assert!(content.await.is_err());
    bench.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_was_flashed_can_be_dumped_plain_and_packed() -> Result<()> {
    let bench = board().await;
    let storage = storage(&bench);
    storage.flash(Source::from_bytes(HELLO), None).await?;
    let (sink, content) = Sink::to_memory();
    storage.dump(sink, None).await?;
    assert_eq!(content.await?, HELLO);
    for packing in [Packing::Gzip, Packing::Xz, Packing::Bz2, Packing::Zstd] {
        let (sink, packed) = Sink::to_memory();
        storage.dump(sink, Some(packing)).await?;
        let packed = packed.await?;
        assert_ne!(packed, HELLO);
        storage.flash(Source::from_bytes(packed), Some(packing.into())).await?;
        let (sink, content) = Sink::to_memory();
        storage.dump(sink, None).await?;
        assert_eq!(content.await?, HELLO, "{packing:?}");
    }
    bench.stop().await;
    Ok(())
}

#[tokio::test]
async fn readings_follow_the_state() -> Result<()> {
    let bench = board().await;
    let power = power(&bench);
    assert_eq!(power.read().await?.collect().await?, [PowerReading { voltage: 0.0, current: 0.0 }]);
    power.on().await?;
    let on = power.read().await?.collect().await?;
    assert!(on[0].voltage > 4.0 && on[0].current > 0.0, "{on:?}");
    power.off().await?;
    assert_eq!(power.read().await?.collect().await?, [PowerReading { voltage: 0.0, current: 0.0 }]);
    bench.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_button_asks_for_recovery_and_the_lamp_shows_a_running_image() -> Result<()> {
    let bench = board().await;
    storage(&bench).flash(Source::from_bytes("#!board\nprompt demo\n"), None).await?;
    let (button, led): (DigitalOutputClient, DigitalInputClient) =
        (bench.client("board.button")?, bench.client("board.led")?);
    let mut console = console(&bench).await;
    button.on().await?;
    assert_eq!(button.read_pin().await?, 1);
    power(&bench).on().await?;
    console.expect("recovery> ").await?;
    assert_eq!(led.read_pin().await?, 0);
    button.off().await?;
    power(&bench).cycle("0s".parse().expect("no time")).await?;
    led.wait_for_active(Some(10.0)).await?;
    console.expect("demo> ").await?;
    power(&bench).off().await?;
    led.wait_for_inactive(Some(10.0)).await?;
    let error = led.wait_for_active(Some(0.01)).await.expect_err("nothing lights it");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    bench.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_panicking_image_says_so_and_stops() -> Result<()> {
    let bench = board().await;
    storage(&bench).flash(Source::from_bytes("#!board\npanic out of luck\nprint never\n"), None).await?;
    let mut console = console(&bench).await;
    power(&bench).on().await?;
    console.expect("panic: out of luck").await?;
    bench.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_image_in_a_file_outlives_the_exporter_with_its_mark() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("image");
    let config = format!("{{image: '{}'}}", image.display());
    let bench = board_with(&config).await;
    storage(&bench).flash(Source::from_bytes(HELLO), None).await?;
    bench.stop().await;
    assert_eq!(std::fs::read_to_string(&image)?, HELLO);

    // What a killed exporter leaves behind: the mark, which is written before the first byte.
    std::fs::File::create(folder.path().join("image.incomplete"))?;
    let bench = board_with(&config).await;
    let mut console = console(&bench).await;
    power(&bench).on().await?;
    console.expect("broken image").await?;
    bench.stop().await;
    Ok(())
}

#[tokio::test]
async fn two_consoles_see_the_same() -> Result<()> {
    let bench = board().await;
    storage(&bench).flash(Source::from_bytes("#!board\nprompt demo\n"), None).await?;
    power(&bench).on().await?;
    let (mut one, mut two) = (console(&bench).await, console(&bench).await);
    one.expect("demo> ").await?;
    two.expect("demo> ").await?;
    one.send_line("echo shared").await?;
    one.expect("\r\nshared").await?;
    two.expect("\r\nshared").await?;
    bench.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_machine_tells_what_the_board_is_doing() -> Result<()> {
    let bench = board().await;
    let machine: MachineClient = bench.client("board.machine").expect("a machine");
    let off = MachineState { phase: Phase::Off, starts: 0, image: None };
    assert_eq!(machine.state().await?, off);
    let mut states = machine.watch(2).await?;
    assert_eq!(states.next().await.expect("the state")?, off);

    storage(&bench).flash(Source::from_bytes(HELLO), None).await?;
    power(&bench).on().await?;
    assert_ne!(states.next().await.expect("a change")?.phase, Phase::Off);
    assert!(states.next().await.is_none(), "only two were wanted");
    let limit = "10s".parse().expect("a time");
    let image = ImageInfo { size: HELLO.len() as u64, sha256: HELLO_SHA256.trim().to_owned() };
    let prompt = MachineState { phase: Phase::Prompt, starts: 1, image: Some(image) };
    assert_eq!(machine.wait_for(Phase::Prompt, limit).await?, prompt);

    let mut console = console(&bench).await;
    console.send_line("reboot").await?;
    console.expect("demo> ").await?;
    console.expect("demo> ").await?;
    assert_eq!(machine.wait_for(Phase::Prompt, limit).await?, MachineState { starts: 2, ..prompt });
    console.send_line("panic").await?;
    machine.wait_for(Phase::Panicked, limit).await?;
    power(&bench).off().await?;
    assert_eq!(machine.state().await?, off);

    DigitalOutputClient::on(&bench.client("board.button").expect("a button")).await?;
    power(&bench).on().await?;
    machine.wait_for(Phase::Recovery, limit).await?;
    let (log, content) = Sink::to_memory();
    machine.save_log(log).await?;
    let content = content.await?;
    assert!(content.starts_with(b"Boot ROM of simulated board\r\nbutton held"), "{content:?}");

    let error = machine.wait_for(Phase::Halted, "10ms".parse().expect("a time")).await.expect_err("too late");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.message().ends_with("not in phase halted after 10ms, but in recovery"), "{error}");
    assert!(bench.stop().await.is_empty());
    Ok(())
}
