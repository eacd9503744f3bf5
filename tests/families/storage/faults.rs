//! What people read when something goes wrong in the middle.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use jumpstarter::{ErrorKind, Source};
use jumpstarter_interfaces::FlasherClient;
use jumpstarter_interfaces::opendal::{OpenMode, StorageClient};
use jumpstarter_tests::client::Client;
use jumpstarter_tests::exporter::{Exporter, Program};
use jumpstarter_tests::programs;
use jumpstarter_tests::python::python;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::counterparts::{Mood, S3, SmallDisk, Web};
use super::{devices, exporter, file, node};

/// An error as people read it, without what differs from run to run.
fn shown(error: &jumpstarter::Error, secret: &[(&str, &str)]) -> String {
    let mut text = format!("{:?}: {error}", error.kind());
    for (real, name) in secret {
        text = text.replace(real, name);
    }
    text
}

fn noise(mebibytes: usize) -> Bytes {
    vec![7; mebibytes << 20].into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_error_and_leaves_no_file() {
    let disk = SmallDisk::new().await;
    let (root, name) = disk.place();
    let (exporter, device) = exporter(&node("storage", "fs", &[("root", &root.display().to_string())])).await;
    let storage: StorageClient = device.client("storage").expect("a storage");
    let error = storage.write(name, noise(8)).await.expect_err("there is no room");
    insta::assert_snapshot!("full_disk", shown(&error, &[(name, "image")]));
    if let Some(root) = disk.root() {
        assert_eq!(std::fs::read_dir(root).expect("a folder").count(), 0);
        storage.write(name, noise(2)).await.expect("the room is free again");
        // Zeros take no room.
        storage.write("zeros", vec![0; 8 << 20]).await.expect("written");
        // The unmodified client learns it as well.
        if let Some(python) = python() {
            let client = Client::new(&python, &exporter.address.to_string());
            let script = "client.storage.write_bytes('image', b'7' * (8 << 20))";
            let outcome = client.python(script).await.expect("a client");
            assert_eq!(outcome.code, Some(1), "{outcome:?}");
            assert!(outcome.stderr.contains("no space left on device"), "{}", outcome.stderr);
            assert!(!storage.exists("image".to_owned()).await.expect("an answer"));
        }
    }
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_that_fails_is_an_error_and_never_a_short_file() {
    const IMAGE: &[u8] = &[9; 300_000];
    let mut told = String::new();
    for mood in [Mood::Cut, Mood::Stuck, Mood::Broken] {
        let web = Web::start(IMAGE, mood).await;
        let endpoint = format!("http://{}", web.address);
        let mut nodes = node("web", "http", &[("endpoint", &endpoint)]);
        // A short time, so that the test does not take the usual minute.
        nodes = nodes.replace("      scheme", "      timeout: 300ms\n      scheme");
        nodes += "  flasher: {type: mock-flasher}\n";
        let (exporter, device) = exporter(&nodes).await;
        let secret = [(web.address.as_str(), "SERVER")];
        let storage: StorageClient = device.client("web").expect("a storage");
        let error = storage.read("image").await.expect_err("half a file");
        write!(told, "read, {mood:?}\n{}\n\n", shown(&error, &secret)).expect("a string");
        if mood != Mood::Stuck {
            let flasher: FlasherClient = device.client("flasher").expect("a flasher");
            let image = Source::from_url(format!("{endpoint}/image"), BTreeMap::new());
            let error = flasher.flash(image, None).await.expect_err("half a file");
            write!(told, "flash, {mood:?}\n{}\n\n", shown(&error, &secret)).expect("a string");
        }
        exporter.stop().await;
    }
    insta::assert_snapshot!("web_server", told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_whose_server_dies_is_an_error() {
    let Some(python) = python() else { return };
    let mut s3 = S3::start(&python).await;
    let (exporter, device) = exporter(&node("s3", "s3", &s3.options())).await;
    let storage: StorageClient = device.client("s3").expect("a storage");
    let fd = storage.open("image".to_owned(), OpenMode::Write).await.expect("an open file");
    storage.file_write(fd, Source::from_bytes(noise(9))).await.expect("the first part");
    s3.server.kill().await.expect("killed");
    let written = storage.file_write(fd, Source::from_bytes(noise(40))).await;
    let error = written.expect_err("nobody takes the next part");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.message().contains("send http request"), "{error}");
    // It has failed already; closing says nothing new.
    storage.file_close(fd).await.expect("closed");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_in_the_middle_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (exporter, device) =
        exporter(&node("storage", "fs", &[("root", &folder.path().display().to_string())])).await;
    let other = devices(&exporter.address).await;
    let uploading = tokio::spawn(async move {
        let storage: StorageClient = device.client("storage").expect("a storage");
        let endless = futures::stream::once(async { Ok(noise(3)) }).chain(futures::stream::pending());
        storage.write_from_path("image".to_owned(), Source::new(endless)).await
    });
    let image = folder.path().join("image");
    // Something was written …
    while std::fs::metadata(&image).map_or(0, |metadata| metadata.len()) < 1 << 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // … when the client goes.
    uploading.abort();
    while image.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let storage: StorageClient = other.client("storage").expect("a storage");
    assert!(storage.get_created_resources().await.expect("a list").iter().all(|path| path != "other"));
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_dies_in_the_middle_is_an_error_on_both_ways() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("large"), noise(64)).expect("written");
    let config = file(&node("storage", "fs", &[("root", &folder.path().display().to_string())]));
    let mut told = String::new();
    for way in ["upload", "dump"] {
        let program = Program::Ours(programs::jmp());
        let exporter = Exporter::local(&program, &config).await.expect("an exporter");
        let device = devices(&exporter.address).await;
        let storage: StorageClient = device.client("storage").expect("a storage");
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let transfer = tokio::spawn(async move {
            if way == "upload" {
                let endless = futures::stream::repeat_with(|| Ok(noise(1)));
                return storage.write_from_path("image".to_owned(), Source::new(endless)).await;
            }
            storage.read_into_path("large".to_owned(), jumpstarter::Sink::to_writer(near)).await
        });
        // It is under way once the other side has some of it.
        let image = folder.path().join("image");
        while way == "upload" && std::fs::metadata(&image).map_or(0, |metadata| metadata.len()) < 4 << 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if way == "dump" {
            far.read_exact(&mut vec![0; 1 << 20]).await.expect("the beginning");
        }
        exporter.kill().await.expect("killed");
        tokio::spawn(async move { tokio::io::copy(&mut far, &mut tokio::io::sink()).await });
        let error = transfer.await.expect("no panic").expect_err("the exporter is gone");
        write!(told, "{way}\n{}\n\n", crate::settled(&shown(&error, &[]))).expect("a string");
        std::fs::remove_file(&image).ok();
    }
    insta::assert_snapshot!("dead_exporter", told);
}

#[tokio::test(flavor = "multi_thread")]
async fn j_says_what_went_wrong_with_a_file_and_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = node("full", "fs", &[("root", "/dev")]);
    let config = file(&(node("storage", "fs", &[("root", &folder.path().display().to_string())]) + &full));
    let program = Program::Ours(programs::jmp());
    let exporter = Exporter::local(&program, &config).await.expect("an exporter");
    let mut told = String::new();
    for line in [
        "storage write-from-path image nowhere",
        "storage read-bytes nothing",
        "storage exists nothing",
        "storage copy nothing other",
        "storage hash nothing",
        "storage write-bytes ../outside",
        "storage presign-read image --expire-second 60",
        "full write-bytes full",
    ] {
        let mut command = Command::new(programs::jmp().with_file_name("j"));
        command.args(line.split(' ')).env("JUMPSTARTER_HOST", exporter.host()).env("NO_COLOR", "1");
        command.stdin(std::fs::File::open("/proc/self/exe").expect("a file of some size"));
        let output = command.output().await.expect("j");
        write!(told, "$ j {line}\n{}", String::from_utf8_lossy(&output.stderr)).expect("a string");
        write!(told, "[{}]\n\n", output.status.code().unwrap_or(-1)).expect("a string");
    }
    insta::assert_snapshot!("j", told);
    exporter.stop().await.expect("an orderly end");
}
