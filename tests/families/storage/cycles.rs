//! What is left behind by many transfers: nothing.

use std::path::Path;

use jumpstarter_client::Device;
use jumpstarter_interfaces::FlasherClient;
use jumpstarter_interfaces::opendal::{OpenMode, StorageClient};
use jumpstarter_tests::exporter::{Exporter, Program};
use jumpstarter_tests::programs;

use super::{devices, exporter, file, node};

/// Descriptors and resident memory in KiB of an exporter, which is a process of its own.
fn held(exporter: &Exporter) -> (usize, usize) {
    let process = exporter.id().expect("it runs");
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).expect("a list").count();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    (descriptors, resident.trim().trim_end_matches(" kB").parse().expect("a number"))
}

/// Opens and closes files in both storages, for reading and for writing.
async fn cycles(storages: &[StorageClient; 2], count: usize) {
    for index in 0..count {
        let storage = &storages[index % 2];
        let (path, mode) = if index % 4 < 2 { ("file", OpenMode::Read) } else { ("other", OpenMode::Write) };
        let fd = storage.open(path.to_owned(), mode).await.expect("an open file");
        storage.file_close(fd).await.expect("closed");
    }
}

async fn storages(device: &Device) -> [StorageClient; 2] {
    let storages = ["storage", "memory"].map(|name| device.client::<StorageClient>(name).expect("a storage"));
    for storage in &storages {
        storage.write("file", &b"content"[..]).await.expect("written");
    }
    storages
}

fn nodes(folder: &Path) -> String {
    node("storage", "fs", &[("root", &folder.display().to_string())])
        + &node("memory", "memory", &[("root", "/")])
}

/// After a warm-up, ten thousand cycles may not hold more than this, in KiB: allocators keep some for later.
const MEMORY: usize = 8 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_open_and_close_cycles_leave_descriptors_and_memory_flat() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Program::Ours(programs::jmp());
    let exporter = Exporter::local(&program, &file(&nodes(folder.path()))).await.expect("an exporter");
    let storages = storages(&devices(&exporter.address).await).await;
    cycles(&storages, 2_000).await;
    let before = held(&exporter);
    cycles(&storages, 10_000).await;
    let after = held(&exporter);
    assert!(after.0 <= before.0 + 2, "descriptors: {before:?} {after:?}");
    assert!(after.1 <= before.1 + MEMORY, "memory: {before:?} {after:?}");
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_open_and_close_cycles_leave_tasks_flat() {
    let folder = tempfile::tempdir().expect("a folder");
    // The exporter's tasks are those of this test.
    let (exporter, device) = exporter(&nodes(folder.path())).await;
    let storages = storages(&device).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    cycles(&storages, 100).await;
    let before = tasks();
    cycles(&storages, 10_000).await;
    assert!(tasks() <= before + 4, "{before} {}", tasks());
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_nobody_closes_are_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let (exporter, device) =
        exporter(&node("storage", "fs", &[("root", &folder.path().display().to_string())])).await;
    let storage: StorageClient = device.client("storage").expect("a storage");
    for _ in 0..512 {
        storage.open("file".to_owned(), OpenMode::Write).await.expect("there is room");
    }
    let error = storage.open("file".to_owned(), OpenMode::Write).await.expect_err("there is none left");
    assert_eq!(error.message(), "512 files are open: close some of them first");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_transfers_leave_nothing_either() {
    let program = Program::Ours(programs::jmp());
    let config = file("  flasher: {type: mock-flasher}\n");
    let exporter = Exporter::local(&program, &config).await.expect("an exporter");
    let flasher: FlasherClient = devices(&exporter.address).await.client("flasher").expect("a flasher");
    let transfers = async |count: usize| {
        for _ in 0..count {
            let image = jumpstarter::Source::from_bytes(vec![1; 10_000]);
            flasher.flash(image, None).await.expect("flashed");
            let (sink, bytes) = jumpstarter::Sink::to_memory();
            flasher.dump(sink, None).await.expect("dumped");
            assert_eq!(bytes.await.expect("all of it").len(), 10_000);
        }
    };
    transfers(200).await;
    let before = held(&exporter);
    transfers(1_000).await;
    let after = held(&exporter);
    assert!(after.0 <= before.0 + 2, "descriptors: {before:?} {after:?}");
    assert!(after.1 <= before.1 + MEMORY, "memory: {before:?} {after:?}");
    exporter.stop().await.expect("an orderly end");
}
