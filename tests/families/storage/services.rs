//! Services of the network as the place where files are, and an operator of one's own at the client's side.

use bytes::Bytes;
use jumpstarter::Source;
use jumpstarter_driver_storage::operator;
use jumpstarter_interfaces::FlasherClient;
use jumpstarter_interfaces::opendal::{OpenMode, StorageClient};
use jumpstarter_tests::python::python;
use opendal::{Operator, services::Memory};

use super::counterparts::{BUCKET, Mood, S3, Web};
use super::{exporter, node};

/// More than two parts.
fn large() -> Bytes {
    (0_u32..5 << 20).flat_map(u32::to_le_bytes).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_to_a_bucket_in_parts_and_comes_back() {
    let Some(python) = python() else { return };
    let s3 = S3::start(&python).await;
    let (exporter, device) = exporter(&node("s3", "s3", &s3.options())).await;
    let storage: StorageClient = device.client("s3").expect("a storage");
    let file = large();
    storage.write("image", file.clone()).await.expect("written");
    assert_eq!(storage.stat("image".to_owned()).await.expect("a file").content_length, 20 << 20);
    assert!(storage.read("image").await.expect("read") == file);
    // From the middle, with a request for that part only.
    let fd = storage.open("image".to_owned(), OpenMode::Read).await.expect("an open file");
    storage.file_seek(fd, -16, 2).await.expect("a position");
    let (sink, bytes) = jumpstarter::Sink::to_memory();
    storage.file_read(fd, sink).await.expect("read");
    assert_eq!(bytes.await.expect("all of it"), file[file.len() - 16..]);
    storage.file_close(fd).await.expect("closed");
    let capability = storage.capability().await.expect("flags");
    assert!(capability.presign_read && capability.write_can_multi && !capability.blocking);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_leaves_nothing_in_a_bucket() {
    let Some(python) = python() else { return };
    let s3 = S3::start(&python).await;
    let (exporter, device) = exporter(&node("s3", "s3", &s3.options())).await;
    let storage: StorageClient = device.client("s3").expect("a storage");
    let pieces = [Ok(large()), Err(jumpstarter::Error::device("the file was cut"))];
    let cut = Source::new(futures::stream::iter(pieces));
    let error = storage.write_from_path("image".to_owned(), cut).await.expect_err("a cut file");
    assert_eq!(error.message(), "the file was cut");
    assert!(!storage.exists("image".to_owned()).await.expect("an answer"));
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_web_server_are_read_whole_and_from_the_middle() {
    let web = Web::start(b"0123456789", Mood::Well).await;
    let (exporter, device) =
        exporter(&node("web", "http", &[("endpoint", &format!("http://{}", web.address))])).await;
    let storage: StorageClient = device.client("web").expect("a storage");
    assert_eq!(storage.read("image").await.expect("read"), &b"0123456789"[..]);
    assert!(!storage.exists("nothing".to_owned()).await.expect("an answer"));
    let fd = storage.open("image".to_owned(), OpenMode::Read).await.expect("an open file");
    assert_eq!(storage.file_seek(fd, -3, 2).await.expect("a position"), 7);
    let (sink, bytes) = jumpstarter::Sink::to_memory();
    storage.file_read(fd, sink).await.expect("read");
    assert_eq!(bytes.await.expect("all of it"), &b"789"[..]);
    let error = storage.write("image", &b"x"[..]).await.expect_err("it only reads");
    assert!(error.message() == "cannot write image: this storage has no such operation", "{error}");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_an_operator_is_flashed_and_dumped() {
    let (exporter, device) = exporter("  flasher: {type: mock-flasher}\n").await;
    let flasher: FlasherClient = device.client("flasher").expect("a flasher");
    let images = Operator::new(Memory::default()).expect("memory");
    images.write("board/image", large()).await.expect("written");
    let source = operator::source(&images, "board/image").await.expect("a file");
    assert_eq!(source.len(), Some(20 << 20));
    flasher.flash(source, None).await.expect("flashed");
    flasher.dump(operator::sink(&images, "dump").await.expect("a file"), None).await.expect("dumped");
    assert!(images.read("dump").await.expect("read").to_bytes() == large());
    operator::source(&images, "nothing").await.expect_err("there is no such file");
    // What fails is not stored.
    let sink = operator::sink(&images, "none").await.expect("a file");
    flasher.dump(sink, Some("empty".to_owned())).await.expect_err("nothing was written there");
    assert!(!images.exists("none").await.expect("an answer"));
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exporter_fetches_files_of_an_operator_that_signs_requests() {
    let Some(python) = python() else { return };
    let s3 = S3::start(&python).await;
    let mut nodes = node("s3", "s3", &s3.options());
    nodes += "  flasher: {type: mock-flasher}\n";
    let (exporter, device) = exporter(&nodes).await;
    let options = s3.options().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let bucket = Operator::from_iter::<opendal::services::S3>(options).expect("a bucket");
    let transport = opendal_http_transport_reqwest::ReqwestTransport::default();
    let context =
        opendal::OperationContext::new().with_http_transport(opendal::HttpTransporter::new(transport));
    let bucket = bucket.with_context(context);
    bucket.write("image", &b"signed"[..]).await.expect("written");
    let source = operator::source(&bucket, "image").await.expect("a file");
    let handle = source.handle().expect("a request that the exporter makes").to_json();
    assert!(handle.contains(BUCKET) && handle.contains("X-Amz-Expires=60"), "{handle}");
    let flasher: FlasherClient = device.client("flasher").expect("a flasher");
    flasher.flash(source, None).await.expect("flashed");
    let (sink, bytes) = jumpstarter::Sink::to_memory();
    flasher.dump(sink, None).await.expect("dumped");
    assert_eq!(bytes.await.expect("all of it"), &b"signed"[..]);
    exporter.stop().await;
}
