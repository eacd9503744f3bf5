//! Our client against exporters that give the recorded answers: it has to ask what the recorded client asked.

use std::collections::BTreeMap;

use bytes::Bytes;
use jumpstarter::{Delay, ErrorKind, Sink, Source};
use jumpstarter_client::adapters::{Expect, TcpForward};
use jumpstarter_client::{Device, Endpoint, Options};
use jumpstarter_interfaces::{
    Compression, FlasherClient, NetworkClient, Packing, PowerClient, PowerReading, SerialClient, ShellClient,
    ShellResult, StorageClient,
    opendal::{HashAlgo, OpenMode},
};
use jumpstarter_tests::scripted::scripted;
use prost_types::{Value, value::Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Recordings whose client ours can stand in for, and the test that does it.
pub(crate) const CLIENT: [(&str, &str); 20] = [
    ("j_power_on", "our_client_switches_and_measures"),
    ("j_power_cycle", "our_client_switches_and_measures"),
    ("j_power_read", "our_client_switches_and_measures"),
    ("j_shell_driver", "our_client_runs_methods_of_a_shell"),
    ("lib_echo_stream", "our_client_opens_byte_streams"),
    ("lib_serial_pexpect", "our_client_opens_byte_streams"),
    ("lib_tcp_portforward", "our_client_opens_byte_streams"),
    ("lib_tcp_refused", "our_client_opens_byte_streams"),
    ("lib_errors", "our_client_tells_errors_apart"),
    ("lib_resource_upload_gzip", "our_client_flashes_and_dumps_packed_files"),
    ("lib_resource_upload_xz", "our_client_flashes_and_dumps_packed_files"),
    ("lib_resource_upload_bz2", "our_client_flashes_and_dumps_packed_files"),
    ("lib_resource_upload_zstd", "our_client_flashes_and_dumps_packed_files"),
    ("lib_resource_encoding_mismatch", "our_client_passes_files_on_as_they_are"),
    ("lib_resource_packed_file_without_encoding", "our_client_passes_files_on_as_they_are"),
    ("lib_flash_http_url", "our_client_passes_files_on_as_they_are"),
    ("lib_resource_upload_plain", "our_client_keeps_files_in_storage"),
    ("lib_resource_upload_large", "our_client_keeps_files_in_storage"),
    ("lib_storage", "our_client_arranges_files_in_storage"),
    ("lib_storage_file", "our_client_reads_open_files_from_anywhere"),
];

/// Runs a client of the devices of a recording. `j` asks the shell driver for its methods before anything else; a typed
/// client has no reason to.
async fn play(name: &str, client: impl AsyncFnOnce(Device)) {
    let outcome = scripted(name).not_calling("get_methods").run(|socket| async move {
        let endpoint = Endpoint::parse(&socket.display().to_string()).expect("a socket");
        let device = Device::connect(&endpoint, &Options::default()).await.expect("an exporter");
        Box::pin(client(device)).await;
    });
    outcome.await.unwrap_or_else(|unfaithful| panic!("{unfaithful}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_switches_and_measures() {
    let power = |device: &Device| device.client::<PowerClient>("power").expect("a supply");
    play("j_power_on", async |device| power(&device).on().await.expect("on")).await;
    play("j_power_cycle", async |device| power(&device).cycle(Delay::ZERO).await.expect("a cycle")).await;
    play("j_power_read", async |device| {
        let readings = power(&device).read().await.expect("a stream").collect().await.expect("readings");
        let reading = |voltage, current| PowerReading { voltage, current };
        assert_eq!(readings, [reading(0.0, 0.0), reading(5.0, 2.0)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_runs_methods_of_a_shell() {
    let late = "\nTimeout expired while running slow: Command '['bash', '-c', 'sleep 5', 'slow']' timed out after 1 seconds\n";
    let outcome = scripted("j_shell_driver").run(|socket| async move {
        for (method, env, args, (stdout, stderr, returncode)) in [
            ("hello", None, &["world", "-x"][..], ("hello world\n", "oops\n", 3)),
            ("hello", Some(("A", "b")), &[], ("hello\n", "oops\n", 3)),
            ("slow", None, &[], ("", late, 199)),
        ] {
            let endpoint = Endpoint::parse(&socket.display().to_string()).expect("a socket");
            let device = Device::connect(&endpoint, &Options::default()).await.expect("an exporter");
            let shell: ShellClient = device.client("shell").expect("a shell");
            assert_eq!(shell.get_methods().await.expect("methods"), ["hello", "slow"]);
            let result = shell.run(method, env, args.iter().copied()).await.expect("a result");
            let wanted = ShellResult { stdout: stdout.to_owned(), stderr: stderr.to_owned(), returncode };
            assert_eq!(result, wanted);
        }
    });
    outcome.await.unwrap_or_else(|unfaithful| panic!("{unfaithful}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_opens_byte_streams() {
    play("lib_echo_stream", async |device| {
        let echo: NetworkClient = device.client("echo").expect("a network");
        let mut io = echo.connect().await.expect("a stream");
        for piece in ["hello", "worldworldworld"] {
            io.send(piece).await.expect("sent");
            assert_eq!(io.recv().await.expect("an answer").as_deref(), Some(piece.as_bytes()));
        }
        io.finish().await.expect("the end");
        assert_eq!(io.recv().await.expect("the other end"), None);
    })
    .await;
    play("lib_serial_pexpect", async |device| {
        let serial: SerialClient = device.client("serial").expect("a port");
        let mut console = Expect::new(serial.connect().await.expect("a stream"));
        console.send_line("ping").await.expect("a line");
        assert_eq!(console.expect("ping").await.expect("an answer").text, "ping");
        console.into_inner().0.finish().await.expect("the end");
    })
    .await;
    play("lib_tcp_portforward", async |device| {
        let tcp = device.find("tcp").expect("a network");
        let forward = TcpForward::local(&tcp).await.expect("a port");
        let mut stream = TcpStream::connect(forward.address()).await.expect("a connection");
        stream.write_all(b"you").await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("all of the answer");
        assert_eq!(answer, b"hello you");
        stream.shutdown().await.expect("the end");
    })
    .await;
    play("lib_tcp_refused", async |device| {
        let tcp: NetworkClient = device.client("tcp_refused").expect("a network");
        let error = tcp.connect().await.expect_err("nobody listens there");
        assert!(error.message().contains("All connection attempts failed"), "{error}");
    })
    .await;
}

fn number(number: f64) -> Value {
    Value { kind: Some(Kind::NumberValue(number)) }
}

/// How many items come, and what ends them. An error that is there at once is told by the call, a later one by the stream.
async fn streamed(errors: &Device, method: &str) -> (usize, Option<jumpstarter::Error>) {
    let mut stream = match errors.stream_values(method, vec![number(3.0)]).await {
        Ok(stream) => stream,
        Err(failed) => return (0, Some(failed)),
    };
    let (mut seen, mut error) = (0, None);
    while let Some(item) = stream.next().await {
        match item {
            Ok(_) => seen += 1,
            Err(failed) => error = Some(failed),
        }
    }
    (seen, error)
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_tells_errors_apart() {
    const UNARY: [(&str, ErrorKind, &str); 13] = [
        ("value_error", ErrorKind::InvalidArgument, "bad value"),
        ("not_implemented", ErrorKind::Unsupported, "not here"),
        ("timeout_error", ErrorKind::Timeout, "too slow"),
        ("runtime_error", ErrorKind::Device, "something broke"),
        ("key_error", ErrorKind::Device, "'k'"),
        ("os_error", ErrorKind::Device, "[Errno 2] No such file or directory: '/no/such/file'"),
        ("unicode_message", ErrorKind::Device, "café 100% 世界"),
        ("multiline_message", ErrorKind::Device, "line 1\nline 2\r\n\ttabbed"),
        ("pydantic_validation", ErrorKind::InvalidArgument, "1 validation error for int"),
        ("unserializable", ErrorKind::InvalidArgument, "Unable to serialize unknown type"),
        ("nosuch", ErrorKind::MethodNotFound, "method nosuch not found on driver"),
        ("not_exported", ErrorKind::MethodNotFound, "method not_exported missing marker marker_drivercall"),
        ("count", ErrorKind::MethodNotFound, "method count missing marker marker_drivercall"),
    ];
    play("lib_errors", async |device| {
        let errors = device.find("errors").expect("the driver");
        let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
        // An answer comes once everything has come that was asked before it: the order is the recorded one.
        let refused = async |method: &str, args: Vec<Value>, kind: ErrorKind, text: &str| {
            let error = errors.call_values(method, args).await.expect_err(method);
            assert_eq!(error.kind(), kind, "{method}: {error}");
            assert!(error.message().contains(text), "{method}: {error}");
        };
        for (method, kind, text) in UNARY {
            refused(method, Vec::new(), kind, text).await;
        }
        assert_eq!(errors.call_values("add", vec![number(1.0)]).await.expect("a sum"), number(11.0));
        let two = vec![number(1.0), number(2.0)];
        assert_eq!(errors.call_values("add", two).await.expect("a sum"), number(3.0));
        refused("add", Vec::new(), ErrorKind::Device, "missing 1 required positional argument: 'a'").await;
        refused("add", vec![text("a")], ErrorKind::Device, "can only concatenate str").await;
        refused("long_message", vec![number(100.0)], ErrorKind::Device, "xxxxxxxxxx").await;
        // Like the existing client, ours takes a missing method for a missing feature in unary calls only.
        for (method, items, end) in [
            ("value_error", 0, Some((ErrorKind::Device, "missing marker marker_streamingdrivercall"))),
            ("nosuch", 0, Some((ErrorKind::Device, "method nosuch not found on driver"))),
            ("count_then_fail", 3, Some((ErrorKind::InvalidArgument, "after the items"))),
            ("stream_not_implemented", 0, Some((ErrorKind::Device, "takes 1 positional argument"))),
            ("count", 3, None),
        ] {
            let (seen, error) = streamed(&errors, method).await;
            assert_eq!(seen, items, "{method}");
            assert_eq!(
                error.as_ref().map(jumpstarter::Error::kind),
                end.map(|(kind, _)| kind),
                "{method}: {error:?}"
            );
            if let (Some(error), Some((_, text))) = (error, end) {
                assert!(error.message().contains(text), "{method}: {error}");
            }
        }
    })
    .await;
}

fn plain() -> Bytes {
    b"jumpstarter ".repeat(20).into()
}

/// The file that the recorded client sent, whose bytes another packer would not reproduce.
fn recorded_file(name: &str) -> Bytes {
    let recording = jumpstarter_tests::recording::Recording::load(name).expect("a recording");
    jumpstarter_tests::scripted::payload(&recording, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_flashes_and_dumps_packed_files() {
    for (name, packing) in [
        ("lib_resource_upload_gzip", Packing::Gzip),
        ("lib_resource_upload_xz", Packing::Xz),
        ("lib_resource_upload_bz2", Packing::Bz2),
        ("lib_resource_upload_zstd", Packing::Zstd),
    ] {
        play(name, async |device| {
            let flasher: FlasherClient = device.client("flasher").expect("a flasher");
            let file = Source::from_bytes(recorded_file(name));
            flasher.flash_file(file, None, Some(packing.into())).await.expect("flashed");
            let (sink, dumped) = Sink::to_memory();
            flasher.dump(sink, None).await.expect("dumped");
            assert_eq!(dumped.await.expect("all of it"), plain());
            // The recorded exporter never ends what it packs.
            let (sink, _) = Sink::to_memory();
            let error = flasher.dump_file(sink, None, Some(packing)).await.expect_err("a cut file");
            assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_passes_files_on_as_they_are() {
    play("lib_resource_encoding_mismatch", async |device| {
        let flasher: FlasherClient = device.client("flasher").expect("a flasher");
        let file = Source::from_bytes(plain());
        let error = flasher.flash_file(file, None, Some(Compression::Gzip)).await.expect_err("no gzip");
        assert!(error.message().contains("incorrect header check"), "{error}");
    })
    .await;
    let name = "lib_resource_packed_file_without_encoding";
    play(name, async |device| {
        let flasher: FlasherClient = device.client("flasher").expect("a flasher");
        let file = recorded_file(name);
        let partition = || Some("part".to_owned());
        flasher.flash(Source::from_bytes(file.clone()), partition()).await.expect("flashed");
        let (sink, dumped) = Sink::to_memory();
        flasher.dump(sink, partition()).await.expect("dumped");
        assert_eq!(dumped.await.expect("all of it"), file);
    })
    .await;
    play("lib_flash_http_url", async |device| {
        let flasher: FlasherClient = device.client("flasher").expect("a flasher");
        let url = "http://127.0.0.1:18081/dir/image%20one.bin?sig=a%2Fb";
        flasher.flash(Source::from_url(url, BTreeMap::new()), None).await.expect("flashed");
        let (sink, dumped) = Sink::to_memory();
        flasher.dump(sink, None).await.expect("dumped");
        assert_eq!(dumped.await.expect("all of it"), &b"fromweb"[..]);
    })
    .await;
}

fn storage(device: &Device) -> StorageClient {
    device.client("storage").expect("a storage")
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_keeps_files_in_storage() {
    play("lib_resource_upload_plain", async |device| {
        let storage = storage(&device);
        storage.write("f", &b"0123456789"[..]).await.expect("written");
        assert_eq!(storage.read("f").await.expect("read"), &b"0123456789"[..]);
    })
    .await;
    play("lib_resource_upload_large", async |device| {
        let storage = storage(&device);
        let image = recorded_file("lib_resource_upload_large");
        assert_eq!(image.len(), 300_000);
        storage.write("big", image.clone()).await.expect("written");
        assert_eq!(storage.stat("big".to_owned()).await.expect("a file").content_length, 300_000);
        assert_eq!(storage.read("big").await.expect("read"), image);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_arranges_files_in_storage() {
    play("lib_storage", async |device| {
        let storage = storage(&device);
        let file = || "dir/a.txt".to_owned();
        let fails = |result: jumpstarter::Result<()>, text: &str| {
            let error = result.expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Device, "{error}");
            assert!(error.message().contains(text), "{error}");
        };
        storage.create_dir("dir/".to_owned()).await.expect("a folder");
        storage.write(file(), &b"hello opendal"[..]).await.expect("written");
        assert_eq!(storage.read(file()).await.expect("read"), &b"hello opendal"[..]);
        let metadata = storage.stat(file()).await.expect("a file");
        assert_eq!((metadata.content_length, metadata.mode.entry_is_file), (13, true));
        assert!(storage.stat("dir/".to_owned()).await.expect("a folder").mode.entry_is_dir);
        fails(storage.stat("nosuch".to_owned()).await.map(drop), "NotFound (permanent) at stat");
        assert_eq!(
            storage.hash(file(), HashAlgo::Sha256).await.expect("a digest"),
            "e85dae0e412bad2c470c748bedbe901d79ef4a059f4dd897868b167be5e425b6"
        );
        let md5 = storage.hash(file(), HashAlgo::Md5).await.expect("a digest");
        assert_eq!(md5, "ae306afc185a7d9a1d51d65e6c493f4e");
        assert!(storage.exists(file()).await.expect("an answer"));
        assert!(!storage.exists("nosuch".to_owned()).await.expect("an answer"));
        let all = async |stream: jumpstarter::Result<jumpstarter::Stream<String>>| {
            stream.expect("a list").collect().await.expect("all of it")
        };
        assert_eq!(all(storage.list("dir/".to_owned()).await).await, ["dir/", "dir/a.txt"]);
        assert_eq!(all(storage.scan("/".to_owned()).await).await, ["dir/", "dir/a.txt", "f"]);
        assert!(all(storage.list("nosuch/".to_owned()).await).await.is_empty());
        fails(storage.copy(file(), "dir/b.txt".to_owned()).await, "Unsupported (permanent) at copy");
        fails(storage.rename(file(), "dir/c.txt".to_owned()).await, "Unsupported (permanent) at rename");
        storage.delete(file()).await.expect("deleted");
        storage.remove_all("dir/".to_owned()).await.expect("removed");
        fails(storage.read(file()).await.map(drop), "NotFound (permanent) at stat");
        let capability = storage.capability().await.expect("flags");
        assert!(capability.write_can_empty && !capability.copy && capability.write_multi_max_size.is_none());
        fails(storage.presign_read("x".to_owned(), 60).await.map(drop), "Unsupported (permanent) at presign");
        assert_eq!(storage.get_created_resources().await.expect("a list"), ["f"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_reads_open_files_from_anywhere() {
    play("lib_storage_file", async |device| {
        let storage = storage(&device);
        storage.write("f", &b"0123456789"[..]).await.expect("written");
        let fd = storage.open("f".to_owned(), OpenMode::Read).await.expect("an open file");
        assert!(storage.file_readable(fd).await.expect("an answer"));
        assert!(!storage.file_writable(fd).await.expect("an answer"));
        assert!(storage.file_seekable(fd).await.expect("an answer"));
        assert!(!storage.file_closed(fd).await.expect("an answer"));
        assert_eq!(storage.file_tell(fd).await.expect("a position"), 0);
        assert_eq!(storage.file_seek(fd, 4, 0).await.expect("a position"), 4);
        assert_eq!(storage.file_tell(fd).await.expect("a position"), 4);
        assert_eq!(storage.file_seek(fd, -2, 2).await.expect("a position"), 8);
        assert_eq!(storage.file_seek(fd, 1, 1).await.expect("a position"), 9);
        assert_eq!(storage.file_seek(fd, 4, 0).await.expect("a position"), 4);
        let read = async || {
            let (sink, bytes) = Sink::to_memory();
            storage.file_read(fd, sink).await.expect("read");
            bytes.await.expect("all of it")
        };
        assert_eq!(read().await, &b"456789"[..]);
        storage.file_close(fd).await.expect("closed");
        assert!(storage.file_closed(fd).await.expect("an answer"));
        assert_eq!(read().await, &b""[..]);
        let error = storage.file_tell(fd).await.expect_err("it is closed");
        assert_eq!(error.message(), "I/O operation failed for reading on closed file.");
    })
    .await;
}
