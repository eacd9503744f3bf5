//! Every method, both ways.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use jumpstarter::{ErrorKind, Result, Sink, Source};
use jumpstarter_client::{Device, files};
use jumpstarter_interfaces::opendal::{HashAlgo, OpenMode, StorageClient};
use jumpstarter_interfaces::{FlasherClient, StorageMuxClient, StorageMuxFlasherClient};
use jumpstarter_tests::client::{Client, Outcome};
use jumpstarter_tests::exporter::{Exporter, Program};
use jumpstarter_tests::helpers::Helper;
use jumpstarter_tests::methods::{Methods, Pair};
use jumpstarter_tests::python::python;
use tokio::io::AsyncWriteExt as _;

use super::counterparts::S3;
use super::{devices, exporter, file, node};

const OPENDAL: &str = "opendal";

fn data() -> Bytes {
    let mut data = (0..=255).collect::<Vec<u8>>().repeat(1171);
    data.extend_from_slice(&[b'x'; 224]);
    data.into()
}

fn nodes(folder: &Path, s3: &S3) -> String {
    let mut nodes = node("storage", "fs", &[("root", &folder.display().to_string())]);
    nodes += &node("s3", "s3", &s3.options());
    for (name, class) in
        [("flasher", "MockFlasher"), ("mux", "MockStorageMux"), ("mux_flasher", "MockStorageMuxFlasher")]
    {
        write!(nodes, "  {name}:\n    type: jumpstarter_driver_opendal.driver.{class}\n").expect("a string");
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_works_both_ways() {
    let Some(python) = python() else { return };
    let mut methods = Methods::new("storage");
    let s3 = S3::start(&python).await;
    let web = Helper::web(b"from the web").await.expect("a helper");
    let url = format!("http://{}/image", web.address);

    let folder = tempfile::tempdir().expect("a folder");
    let (ours, _) = exporter(&nodes(folder.path(), &s3)).await;
    let client = Client::new(&python, &ours.address.to_string());
    let outcome = client.check("storage", &["storage", "s3", &url]).await.expect("the check");
    for line in outcome.success().lines() {
        let (driver, method) = line.split_once(' ').expect("two words");
        methods.works(Pair::PythonOnOurs, driver, method, Ok::<_, Infallible>(()));
    }
    for (driver, commands, lines) in TYPED {
        let run = async |words: Vec<String>| {
            client.j(&words.iter().map(String::as_str).collect::<Vec<_>>()).await.expect("j runs")
        };
        methods.works(Pair::PythonOnOurs, driver, commands, typed(lines, run).await);
    }
    for (driver, node) in MUXES {
        let outcome = client.j(&[node, "write-local-file", "nosuch"]).await.expect("j runs");
        assert_ne!(outcome.code, Some(0), "{driver}");
        methods.otherwise(Pair::PythonOnOurs, driver, WRITE_LOCAL, "0.9.0 does not offer this command");
    }
    for (command, line, _) in FILES.into_iter().filter(|(command, ..)| !command.is_empty()) {
        let outcome = client.j(&line.split(' ').collect::<Vec<_>>()).await.expect("j runs");
        assert_ne!(outcome.code, Some(0), "{line}");
        let why = "0.9.0 does not offer its commands for storage";
        methods.otherwise(Pair::PythonOnOurs, OPENDAL, &format!("j {command}"), why);
    }
    ours.stop().await;

    let folder = tempfile::tempdir().expect("a folder");
    let config = file(&nodes(folder.path(), &s3));
    let theirs = Exporter::local(&Program::Upstream(python.clone()), &config).await.expect("an exporter");
    let device = devices(&theirs.address).await;
    let mut called = |driver: &str, method: &str, result: Result<()>| {
        methods.works(Pair::OursOnPython, driver, method, result);
    };
    files_and_folders(&device, &mut called).await;
    open_files(&device, &mut called).await;
    signed_requests(&device, &mut called).await;
    mocks(&device, &url, &mut called).await;
    let host = theirs.host();
    for (driver, commands, lines) in TYPED {
        let done = typed(lines, async |words| our_j(&host, words).await).await;
        methods.works(Pair::OursOnPython, driver, commands, done);
    }
    for (driver, node) in MUXES {
        let line = format!("{node} write-local-file FILE");
        let done = typed(&[&line], async |words| our_j(&host, words).await).await;
        methods.works(Pair::OursOnPython, driver, WRITE_LOCAL, done);
        let mux: StorageMuxClient = device.client(node).expect("a mux");
        let (sink, bytes) = Sink::to_memory();
        mux.read(sink).await.expect("read");
        assert_eq!(bytes.await.expect("all of it"), data(), "{driver}");
    }
    for (command, line, printed) in FILES {
        let run = async |words| {
            let outcome = our_j_with(&host, words, INPUT).await;
            assert!(outcome.stdout.contains(printed), "{line}: {outcome:?}");
            assert!(!printed.is_empty() || outcome.stdout.is_empty(), "{line}: {outcome:?}");
            outcome
        };
        let done = typed(&[line], run).await;
        if command.is_empty() {
            done.expect("a list");
        } else {
            methods.works(Pair::OursOnPython, OPENDAL, &format!("j {command}"), done);
        }
    }
    theirs.stop().await.expect("an orderly end");
    let classes = [
        ("jumpstarter_driver_opendal.driver.Opendal", OPENDAL),
        ("jumpstarter_driver_opendal.driver.MockFlasher", "MockFlasher"),
        ("jumpstarter_driver_opendal.driver.MockStorageMux", "MockStorageMux"),
        ("jumpstarter_driver_opendal.driver.MockStorageMuxFlasher", "MockStorageMuxFlasher"),
    ];
    methods.covers(&python, &classes);
    methods.finish();
}

async fn all(stream: Result<jumpstarter::Stream<String>>) -> Vec<String> {
    let mut all = stream.expect("a list").collect().await.expect("all of it");
    all.sort();
    all
}

async fn files_and_folders(device: &Device, called: &mut impl FnMut(&str, &str, Result<()>)) {
    let storage: StorageClient = device.client("storage").expect("a storage");
    let path = |path: &str| path.to_owned();
    called(OPENDAL, "create_dir", storage.create_dir(path("dir/sub/")).await);
    storage.write("dir/a.bin", data()).await.expect("written");
    assert_eq!(storage.read("dir/a.bin").await.expect("read"), data());
    let metadata = storage.stat(path("dir/a.bin")).await;
    assert_eq!(metadata.as_ref().expect("a file").content_length, data().len() as u64);
    called(OPENDAL, "stat", metadata.map(drop));
    let error = storage.stat(path("nosuch")).await.expect_err("it is not there");
    assert!(error.message().contains("nosuch"), "{error}");
    let digest = storage.hash(path("dir/a.bin"), HashAlgo::Sha256).await.expect("a digest");
    assert_eq!(digest, jumpstarter::resource::hex(&<sha2::Sha256 as sha2::Digest>::digest(data())));
    called(OPENDAL, "hash", storage.hash(path("dir/a.bin"), HashAlgo::Md5).await.map(drop));
    called(OPENDAL, "copy", storage.copy(path("dir/a.bin"), path("dir/b.bin")).await);
    called(OPENDAL, "rename", storage.rename(path("dir/b.bin"), path("dir/c.bin")).await);
    let exists = storage.exists(path("dir/c.bin")).await;
    assert_eq!(exists.as_ref().ok(), Some(&true));
    called(OPENDAL, "exists", exists.map(drop));
    assert_eq!(all(storage.list(path("dir/")).await).await, ["dir/", "dir/a.bin", "dir/c.bin", "dir/sub/"]);
    called(OPENDAL, "list", Ok(()));
    assert!(all(storage.scan(path("/")).await).await.contains(&path("dir/sub/")));
    called(OPENDAL, "scan", Ok(()));
    called(OPENDAL, "register_path", storage.register_path(path("registered")).await);
    let made = storage.get_created_resources().await.expect("a list");
    assert!(made.contains(&path("dir/c.bin")) && made.contains(&path("registered")), "{made:?}");
    called(OPENDAL, "get_created_resources", Ok(()));
    called(OPENDAL, "delete", storage.delete(path("dir/c.bin")).await);
    called(OPENDAL, "remove_all", storage.remove_all(path("dir/")).await);
    assert!(!storage.exists(path("dir/a.bin")).await.expect("an answer"));
    let capability = storage.capability().await;
    assert!(capability.as_ref().is_ok_and(|flags| flags.copy && !flags.presign), "{capability:?}");
    called(OPENDAL, "capability", capability.map(drop));
}

async fn open_files(device: &Device, called: &mut impl FnMut(&str, &str, Result<()>)) {
    let storage: StorageClient = device.client("storage").expect("a storage");
    let path = || "open.bin".to_owned();
    let fd = storage.open(path(), OpenMode::Write).await.expect("an open file");
    called(OPENDAL, "open", Ok(()));
    called(OPENDAL, "file_write", storage.file_write(fd, Source::from_bytes(&b"0123456789"[..])).await);
    assert!(storage.file_writable(fd).await.expect("an answer"));
    called(OPENDAL, "file_writable", Ok(()));
    called(OPENDAL, "file_close", storage.file_close(fd).await);
    assert!(storage.file_closed(fd).await.expect("an answer"));
    called(OPENDAL, "file_closed", Ok(()));
    let fd = storage.open(path(), OpenMode::Read).await.expect("an open file");
    assert!(storage.file_readable(fd).await.expect("an answer"));
    called(OPENDAL, "file_readable", Ok(()));
    assert!(storage.file_seekable(fd).await.expect("an answer"));
    called(OPENDAL, "file_seekable", Ok(()));
    assert_eq!(storage.file_seek(fd, -4, 2).await.expect("a position"), 6);
    called(OPENDAL, "file_seek", Ok(()));
    assert_eq!(storage.file_tell(fd).await.expect("a position"), 6);
    called(OPENDAL, "file_tell", Ok(()));
    let (sink, bytes) = Sink::to_memory();
    called(OPENDAL, "file_read", storage.file_read(fd, sink).await);
    assert_eq!(bytes.await.expect("all of it"), &b"6789"[..]);
    storage.file_close(fd).await.expect("closed");
}

async fn signed_requests(device: &Device, called: &mut impl FnMut(&str, &str, Result<()>)) {
    let s3: StorageClient = device.client("s3").expect("a storage");
    let path = || "signed.bin".to_owned();
    s3.write(path(), data()).await.expect("written");
    let request = s3.presign_read(path(), 60).await.expect("a request");
    let fetched = files::fetch(&request.url).await.expect("an answer").read_to_end(1 << 20).await;
    assert_eq!(fetched.expect("all of it"), data());
    called(OPENDAL, "presign_read", Ok(()));
    let request = s3.presign_stat(path(), 60).await.expect("a request");
    assert_eq!(request.method, "HEAD");
    called(OPENDAL, "presign_stat", Ok(()));
    let request = s3.presign_write(path(), 60).await.expect("a request");
    assert_eq!(request.method, "PUT");
    called(OPENDAL, "presign_write", Ok(()));
    s3.delete(path()).await.expect("deleted");
}

async fn mocks(device: &Device, url: &str, called: &mut impl FnMut(&str, &str, Result<()>)) {
    let flasher: FlasherClient = device.client("flasher").expect("a flasher");
    flasher.flash(Source::from_url(url, BTreeMap::new()), Some("web".to_owned())).await.expect("flashed");
    called("MockFlasher", "flash", flasher.flash(Source::from_bytes(data()), None).await);
    for (partition, content) in [(None, data()), (Some("web"), Bytes::from_static(b"from the web"))] {
        let (sink, bytes) = Sink::to_memory();
        flasher.dump(sink, partition.map(str::to_owned)).await.expect("dumped");
        assert_eq!(bytes.await.expect("all of it"), content);
    }
    called("MockFlasher", "dump", Ok(()));
    let (sink, _) = Sink::to_memory();
    let error = flasher.dump(sink, Some("empty".to_owned())).await.expect_err("nothing was written there");
    assert_eq!(error.kind(), ErrorKind::Device, "{error}");

    let mux: StorageMuxClient = device.client("mux").expect("a mux");
    called("MockStorageMux", "host", mux.host().await);
    called("MockStorageMux", "dut", mux.dut().await);
    called("MockStorageMux", "off", mux.off().await);
    called("MockStorageMux", "write", mux.write_local_file(Source::from_bytes(data())).await);
    let (sink, bytes) = Sink::to_memory();
    called("MockStorageMux", "read", mux.read(sink).await);
    assert_eq!(bytes.await.expect("all of it"), data());

    let mux: StorageMuxFlasherClient = device.client("mux_flasher").expect("a mux");
    called("MockStorageMuxFlasher", "host", mux.host().await);
    called("MockStorageMuxFlasher", "dut", mux.dut().await);
    called("MockStorageMuxFlasher", "off", mux.off().await);
    called("MockStorageMuxFlasher", "write", mux.write_local_file(Source::from_bytes(data())).await);
    let (sink, bytes) = Sink::to_memory();
    called("MockStorageMuxFlasher", "read", mux.read(sink).await);
    assert_eq!(bytes.await.expect("all of it"), data());
    called("MockStorageMuxFlasher", "flash", mux.flash(Source::from_url(url, BTreeMap::new()), None).await);
    let (sink, bytes) = Sink::to_memory();
    called("MockStorageMuxFlasher", "dump", mux.dump(sink, None).await);
    assert_eq!(bytes.await.expect("all of it"), &b"from the web"[..]);
}

/// Muxes and their nodes, with a command that 0.9.0 declares and loses.
const MUXES: [(&str, &str); 2] = [("MockStorageMux", "mux"), ("MockStorageMuxFlasher", "mux_flasher")];
const WRITE_LOCAL: &str = "j write-local-file";

/// What both programs are asked on a command line, and what comes of it. `FILE` and `DUMP` are files here.
const TYPED: [(&str, &str, &[&str]); 5] = [
    ("MockFlasher", "j flash, dump", &["flasher flash FILE", "flasher dump DUMP"]),
    (
        "MockFlasher",
        "j flash -t, dump --target",
        &["flasher flash -t part:FILE", "flasher dump --target part DUMP"],
    ),
    ("MockStorageMux", "j host, dut, off", &["mux host", "mux dut", "mux off"]),
    (
        "MockStorageMuxFlasher",
        "j host, dut, off",
        &["mux_flasher host", "mux_flasher dut", "mux_flasher off"],
    ),
    ("MockStorageMuxFlasher", "j flash, dump", &["mux_flasher flash FILE", "mux_flasher dump DUMP"]),
];

/// Types these lines; the error is the first one's that fails.
async fn typed(lines: &[&str], run: impl AsyncFn(Vec<String>) -> Outcome) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), data()).expect("written");
    for line in lines {
        let word = |word: &str| {
            let word = word.replace("FILE", &at("file").display().to_string());
            word.replace("DUMP", &at("dump").display().to_string())
        };
        let outcome = run(line.split(' ').map(word).collect()).await;
        if outcome.code != Some(0) {
            return Err(format!("{line}: {}", outcome.stderr));
        }
    }
    match std::fs::read(at("dump")) {
        Ok(dumped) if dumped != data() => Err("another image came back".to_owned()),
        Err(_) if lines.iter().any(|line| line.contains("DUMP")) => Err("nothing came back".to_owned()),
        _ => Ok(()),
    }
}

/// Files on our command line, in this order, and what is printed, in part; 0.9.0 has these commands, but never offers them.
const FILES: [(&str, &str, &str); 19] = [
    ("create-dir", "storage create-dir typed/", ""),
    ("write-bytes", "storage write-bytes typed/bytes", ""),
    ("read-bytes", "storage read-bytes typed/bytes", "from standard input"),
    ("write-from-path", "storage write-from-path typed/file FILE", ""),
    ("read-into-path", "storage read-into-path typed/file DUMP", ""),
    ("stat", "storage stat typed/bytes", "\"content_length\": 19"),
    ("hash", "storage hash typed/bytes --algo md5", "8ae1746b6100a7b15c06860c433dd0d7"),
    ("copy", "storage copy typed/bytes typed/copy", ""),
    ("rename", "storage rename typed/copy typed/renamed", ""),
    ("list", "storage list typed/", "typed/renamed\n"),
    ("scan", "storage scan /", "typed/renamed\n"),
    ("exists", "storage exists typed/renamed", ""),
    ("delete", "storage delete typed/renamed", ""),
    ("remove-all", "storage remove-all typed/", ""),
    ("capability", "storage capability", "\"presign_read\": false"),
    ("presign-stat", "s3 presign-stat typed --expire-second 60", "\"method\": \"HEAD\""),
    ("presign-read", "s3 presign-read typed --expire-second 60", "\"method\": \"GET\""),
    ("presign-write", "s3 presign-write typed --expire-second 60", "\"method\": \"PUT\""),
    // Whatever was removed is not there.
    ("", "storage list typed/", ""),
];

/// What is piped into every command; only one reads it.
const INPUT: &str = "from standard input";

async fn our_j(host: &str, words: Vec<String>) -> Outcome {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    crate::shell::j(host, &words).output().await.expect("j runs").into()
}

/// The same with something to read.
async fn our_j_with(host: &str, words: Vec<String>, input: &str) -> Outcome {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut child = crate::shell::j(host, &words).stdin(Stdio::piped()).spawn().expect("j runs");
    let mut stdin = child.stdin.take().expect("its input");
    // A command that does not read it is not wrong.
    let feed = async move { stdin.write_all(input.as_bytes()).await.ok() };
    let (_, output) = futures::join!(feed, child.wait_with_output());
    output.expect("it ends").into()
}
