//! What people read when something goes wrong in the middle.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use jumpstarter::{ErrorKind, Sink, Source};
use jumpstarter_interfaces::opendal::{OpenMode, StorageClient};
use jumpstarter_interfaces::{Compression, FlasherClient, Packing};
use jumpstarter_tests::client::Client;
use jumpstarter_tests::exporter::{Exporter, Program};
use jumpstarter_tests::programs;
use jumpstarter_tests::python::python;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::counterparts::{Mood, S3, SmallDisk, Web};
use super::{devices, exporter, file, node};
use crate::shell::seen;

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
    } else {
        // The device that is always full is nobody's to remove.
        let there = std::fs::symlink_metadata(root.join(name)).expect("it is still there");
        assert!(!there.is_file(), "a file took the place of the device");
    }
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_write_one_file_do_not_mix_what_they_send() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().display().to_string();
    let nodes = node("storage", "fs", &[("root", &root)]) + &node("other", "fs", &[("root", &root)]);
    let (exporter, device) = exporter(&nodes).await;
    let storage: StorageClient = device.client("storage").expect("a storage");
    let other: StorageClient = device.client("other").expect("another one");
    let fd = storage.open("image".to_owned(), OpenMode::Write).await.expect("an open file");
    let (more, pieces) = tokio::sync::mpsc::channel(1);
    let pieces = futures::stream::unfold(pieces, async |mut pieces| Some((Ok(pieces.recv().await?), pieces)));
    let writing = tokio::spawn({
        let storage = storage.clone();
        async move { storage.file_write(fd, Source::new(pieces)).await }
    });
    more.send(noise(3)).await.expect("it is read");
    let image = folder.path().join("image");
    while std::fs::metadata(&image).map_or(0, |metadata| metadata.len()) < 1 << 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // By another way, too.
    for storage in [&storage, &other] {
        let error = storage.write("image", b"short".to_vec()).await.expect_err("somebody writes it");
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        let text = "somebody else is writing image: try again when that is done, or write to another name";
        assert!(error.message().contains(text), "{error}");
    }
    more.send(noise(1)).await.expect("it is read");
    drop(more);
    writing.await.expect("no panic").expect("all of it");
    storage.file_close(fd).await.expect("closed");
    assert!(std::fs::read(&image).expect("a file") == noise(4));
    other.write("image", b"short".to_vec()).await.expect("nobody writes it any more");
    assert_eq!(std::fs::read(&image).expect("a file"), b"short");
    // Whoever has gone without closing a file is in nobody's way, and learns it should he be there after all.
    let fd = storage.open("image".to_owned(), OpenMode::Write).await.expect("an open file");
    storage.file_write(fd, Source::from_bytes("the first")).await.expect("written");
    storage.write("./image", b"the second".to_vec()).await.expect("nobody is writing");
    let text = "it was opened for writing again meanwhile: what was written before is not stored";
    for taken in [storage.file_write(fd, Source::from_bytes("x")).await, storage.file_close(fd).await] {
        let error = taken.expect_err("it is somebody else's");
        assert!(error.message().contains(text), "{error}");
    }
    assert_eq!(std::fs::read(&image).expect("a file"), b"the second");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_stays_as_it_is_until_something_comes_to_take_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let web = Web::start(b"", Mood::Broken).await;
    let (exporter, device) =
        exporter(&node("storage", "fs", &[("root", &folder.path().display().to_string())])).await;
    let storage: StorageClient = device.client("storage").expect("a storage");
    let (before, fresh) = (folder.path().join("before"), folder.path().join("fresh"));
    std::fs::write(&before, b"what was there").expect("written");
    // An address that was mistyped.
    for name in ["before", "fresh"] {
        let nothing = Source::from_url(format!("http://{}/nothing", web.address), BTreeMap::new());
        storage.write_from_path(name.to_owned(), nothing).await.expect_err("nothing is there");
    }
    assert_eq!(std::fs::read(&before).expect("a file"), b"what was there");
    assert!(!fresh.exists());
    // What is written is all there is, also when it is nothing.
    storage.write("before", b"less".to_vec()).await.expect("written");
    assert_eq!(std::fs::read(&before).expect("a file"), b"less");
    storage.write("before", Vec::new()).await.expect("written");
    assert_eq!(std::fs::read(&before).expect("a file"), b"");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_exporter_fetches_or_stores_at_an_address_cannot_be_packed_on_the_way() {
    let web = Web::start(b"an image", Mood::Well).await;
    let (exporter, device) = exporter("  flasher: {type: mock-flasher}\n").await;
    let flasher: FlasherClient = device.client("flasher").expect("a flasher");
    let address = format!("http://{}/image", web.address);
    let source = Source::from_url(&address, BTreeMap::new());
    let flashed = flasher.flash_file(source, None, Some(Compression::Gzip)).await;
    let sink = Sink::to_url(&address, BTreeMap::new());
    let dumped = flasher.dump_file(sink, None, Some(Packing::Gzip)).await;
    for refused in [flashed, dumped] {
        let error = refused.expect_err("nobody would pack it");
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.message().contains("leave out gzip, or use a file here"), "{error}");
    }
    let words = ["flasher", "dump", &address, "--compression", "gzip"];
    let typed = seen(&exporter.address.to_string(), &words).await;
    assert!(typed.ends_with("[2]\n") && typed.contains("leave out gzip"), "{typed}");
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
    // What follows is the system's word for it, which depends on what the connection was about to do.
    let told = shown(&error, &[(s3.endpoint.as_str(), "SERVER")]);
    let (before, _) = told.split_once("send http request").expect(&told);
    insta::assert_snapshot!("dead_bucket", format!("{before}send http request …"));
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
    assert!(storage.get_created_resources().await.expect("a list").iter().all(|path| path != "image"));
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
