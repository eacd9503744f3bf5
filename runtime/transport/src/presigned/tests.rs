use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// A server that plays one answer per connection and keeps what it was asked.
struct Server {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    async fn start(answers: Vec<String>) -> Self {
        Self::bytes(answers.into_iter().map(String::into_bytes).collect()).await
    }

    async fn bytes(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, answers)
    }

    fn on(listener: TcpListener, answers: Vec<Vec<u8>>) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                converse(&mut socket, &answer, &log).await;
            }
        });
        Self { address, seen, _task: AbortOnDropHandle::new(task) }
    }

    fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads a request, chunked or with a length or without a body, answers, and closes.
async fn converse(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: &[u8],
    log: &Mutex<Vec<String>>,
) {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        let lower = text.to_ascii_lowercase();
        if let Some(head) = lower.find("\r\n\r\n") {
            let length = lower
                .split_once("content-length: ")
                .and_then(|(_, rest)| rest.split_once("\r\n"))
                .and_then(|(number, _)| number.parse::<usize>().ok());
            let body = text.len() - head - 4;
            let complete = if lower.contains("transfer-encoding: chunked") {
                text.ends_with("0\r\n\r\n") && body > 0
            } else {
                body >= length.unwrap_or(0)
            };
            if complete {
                break;
            }
        }
        if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
            request.extend_from_slice(b"<cut>");
            break;
        }
    }
    log.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    let _ = socket.write_all(answer).await;
    let _ = socket.shutdown().await;
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

const NONE: [(&str, &str); 0] = [];

fn get(url: &str) -> Request {
    Request::new("GET", url, NONE).unwrap()
}

async fn read(mut download: Download) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(piece) = download.next().await {
        let piece = piece?;
        assert!(!piece.is_empty() && piece.len() <= codec::PIECE);
        all.extend_from_slice(&piece);
    }
    assert!(download.next().await.is_none());
    Ok(all)
}

async fn fetch(request: &Request) -> Result<Vec<u8>, Error> {
    read(Http::new().get(request).await?).await
}

#[tokio::test]
async fn a_get_streams_the_body_and_knows_its_length() {
    let body = "x".repeat(300_000);
    let server = Server::start(vec![ok(&body)]).await;
    let request = Request::new("GET", &server.url("/image"), [("X-Custom", "kept")]).unwrap();
    let download = Http::new().get(&request).await.unwrap();
    assert_eq!(download.length(), Some(300_000));
    assert_eq!(read(download).await.unwrap(), body.as_bytes());
    let seen = server.requests().remove(0).to_ascii_lowercase();
    assert!(seen.starts_with("get /image http/1.1\r\n"), "{seen}");
    for header in ["x-custom: kept", "accept-encoding: gzip, deflate", &format!("host: {}", server.address)] {
        assert!(seen.contains(header), "{header} in {seen}");
    }
}

#[tokio::test]
async fn pitfall_r11_the_text_of_the_url_is_sent_as_it_is() {
    for target in [
        "/a%40b%2Fc/./d/../e//f?sig=%2B%2f+x'|{}&b=%20",
        "/%7euser/%E4?",
        "/p;v=1,2/@:!$&'()*?a[]=1\\&u=\u{fc}",
        "?only=query",
    ] {
        let server = Server::start(vec![ok("done")]).await;
        assert_eq!(fetch(&get(&server.url(target))).await.unwrap(), b"done");
        let slash = if target.starts_with('/') { "" } else { "/" };
        let line = format!("GET {slash}{target} HTTP/1.1\r\n");
        let seen = server.requests().remove(0);
        assert!(seen.starts_with(&line), "{line:?} in {seen:?}");
    }
}

#[tokio::test]
async fn pitfall_r11_every_kind_of_redirect_is_followed_with_its_text_kept() {
    for status in [301, 302, 303, 307, 308] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = [
            redirect(status, &format!("http://{address}/b%40c?x=%2F#part")),
            redirect(status, "../d%2e/./e?y=%41"),
            redirect(status, "?z=1"),
            ok("here"),
        ];
        let server = Server::on(listener, answers.map(String::into_bytes).to_vec());
        assert_eq!(fetch(&get(&server.url("/one/two"))).await.unwrap(), b"here");
        let lines: Vec<_> =
            server.requests().iter().map(|text| text.split(" HTTP").next().unwrap().to_owned()).collect();
        assert_eq!(lines, ["GET /one/two", "GET /b%40c?x=%2F", "GET /d%2e/e?y=%41", "GET /d%2e/e?z=1"]);
    }
}

const SECRETS: [(&str, &str); 8] = [
    ("Authorization", "Bearer s3cret"),
    ("Cookie", "s3cret"),
    ("Proxy-Authorization", "s3cret"),
    ("X-Amz-Security-Token", "s3cret"),
    ("x-ms-version", "s3cret"),
    ("X-GOOG-meta", "s3cret"),
    ("Host", "s3cret.example.com"),
    ("X-Other", "kept"),
];

#[tokio::test]
async fn pitfall_r11_credentials_stay_with_their_origin() {
    let target = Server::start(vec![ok("body"), ok("body")]).await;
    let server = Server::start(vec![redirect(302, "/again"), redirect(302, &target.url("/over"))]).await;
    let request = Request::new("GET", &server.url("/"), SECRETS).unwrap();
    assert_eq!(fetch(&request).await.unwrap(), b"body");
    for seen in server.requests() {
        assert_eq!(seen.matches("s3cret").count(), 7, "{seen}");
    }
    let seen = target.requests().remove(0).to_ascii_lowercase();
    assert!(!seen.contains("s3cret"), "{seen}");
    assert!(seen.contains("x-other: kept") && seen.contains(&format!("host: {}", target.address)), "{seen}");
}

#[tokio::test]
async fn a_user_name_in_the_url_becomes_credentials_of_that_origin_only() {
    let target = Server::start(vec![ok("body")]).await;
    let server = Server::start(vec![redirect(307, &target.url("/x"))]).await;
    let url = format!("http://us%65r:p%40ss@{}/", server.address);
    let request = get(&url);
    assert_eq!(request.redacted_url(), format!("http://[REDACTED]@{}/", server.address));
    assert_eq!(fetch(&request).await.unwrap(), b"body");
    let seen = server.requests().remove(0).to_ascii_lowercase();
    assert!(seen.contains("authorization: basic dxnlcjpwqhnz\r\n"), "{seen}");
    assert!(!seen.contains("p%40ss") && !target.requests()[0].to_ascii_lowercase().contains("authorization"));
}

#[tokio::test]
async fn ten_redirects_are_followed_and_not_eleven() {
    let mut answers = vec![redirect(302, "/next"); 10];
    answers.push(ok("end"));
    let server = Server::start(answers).await;
    assert_eq!(fetch(&get(&server.url("/"))).await.unwrap(), b"end");

    let server = Server::start(vec![redirect(302, "/next"); 11]).await;
    let error = fetch(&get(&server.url("/?secret"))).await.unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error}");
    assert!(error.to_string().contains("more than 10 redirects") && !error.to_string().contains("secret"));
    assert_eq!(server.requests().len(), 11);
}

#[tokio::test]
async fn a_redirect_to_nowhere_says_so() {
    for (answer, words) in [
        ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_owned(), "no Location"),
        (redirect(302, "ftp://elsewhere/x"), "http:// or https://"),
        (redirect(302, "file:///etc/passwd"), "http:// or https://"),
        (redirect(302, "http://host:99999/"), "port"),
        (redirect(302, "/with space"), "percent-encoded"),
    ] {
        let server = Server::start(vec![answer]).await;
        let error = fetch(&get(&server.url("/"))).await.unwrap_err();
        assert!(matches!(error, Error::Redirect { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_has_upstreams_text_without_the_query() {
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnope!".to_owned();
    let server = Server::start(vec![answer]).await;
    let error = fetch(&get(&server.url("/file?token=abc"))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Presigned HTTP GET request failed: status=404, reason='Not Found', url={}",
            server.url("/file?[REDACTED]")
        )
    );
    for answer in ["HTTP/1.1 304 Not Modified\r\n\r\n", "HTTP/1.1 500 Oh Dear\r\nContent-Length: 0\r\n\r\n"] {
        let server = Server::start(vec![answer.to_owned()]).await;
        let error = fetch(&get(&server.url("/"))).await.unwrap_err();
        assert!(matches!(error, Error::Status { .. }), "{error}");
    }
}

#[tokio::test]
async fn pitfall_r6_a_body_cut_short_is_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly",
    ] {
        let server = Server::start(vec![answer.to_owned()]).await;
        let error = fetch(&get(&server.url("/?q=1"))).await.unwrap_err();
        assert!(matches!(error, Error::Cut { method: "GET", .. }), "{error}");
        assert!(error.to_string().contains("/?[REDACTED]"), "{error}");
    }
    for answer in ["", "HTTP/1.1 200", "nonsense\r\n\r\n"] {
        let server = Server::start(vec![answer.to_owned()]).await;
        let error = fetch(&get(&server.url("/"))).await.unwrap_err();
        assert!(matches!(error, Error::Connection { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = fetch(&get(&format!("http://{address}/?secret"))).await.unwrap_err();
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    assert!(
        error.to_string().contains(&address.to_string()) && !error.to_string().contains("secret"),
        "{error}"
    );
}

fn with_encoding(encoding: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    answer.extend_from_slice(body);
    answer
}

#[tokio::test]
async fn the_content_encoding_of_an_answer_is_undone() {
    const PLAIN: &[u8] = include_bytes!("../codec/fixtures/plain.bin");
    const GZIP: &[u8] = include_bytes!("../codec/fixtures/gzip.bin");
    const ZLIB: &[u8] = include_bytes!("../codec/fixtures/zlib.bin");
    const ZSTD: &[u8] = include_bytes!("../codec/fixtures/zstd.bin");
    // Bare deflate is zlib without its two bytes before and four behind.
    let bare = &ZLIB[2..ZLIB.len() - 4];
    for (encoding, body, expected) in [
        ("gzip", GZIP, PLAIN),
        ("x-gzip", GZIP, PLAIN),
        ("GZip", GZIP, PLAIN),
        ("deflate", ZLIB, PLAIN),
        ("deflate", bare, PLAIN),
        ("zstd", ZSTD, PLAIN),
        ("identity", PLAIN, PLAIN),
        ("aws-chunked,gzip", GZIP, PLAIN),
        ("binary", GZIP, GZIP),
    ] {
        let server = Server::bytes(vec![with_encoding(encoding, body)]).await;
        let download = Http::new().get(&get(&server.url("/"))).await.unwrap();
        let plain = matches!(encoding, "identity" | "binary");
        assert_eq!(download.length(), plain.then_some(body.len() as u64), "{encoding}");
        assert!(read(download).await.unwrap() == expected, "{encoding}");
    }
    for (encoding, body) in
        [("gzip", &GZIP[..GZIP.len() - 3]), ("br", PLAIN), ("gzip, zstd", GZIP), ("gzip", PLAIN)]
    {
        let server = Server::bytes(vec![with_encoding(encoding, body)]).await;
        let error = fetch(&get(&server.url("/x?q"))).await.unwrap_err();
        assert!(matches!(error, Error::Content { .. }), "{encoding}: {error}");
        assert!(error.to_string().contains(&server.url("/x?[REDACTED]")), "{error}");
    }
}

/// What the server was sent, out of its chunks.
fn dechunked(request: &str) -> String {
    let mut rest = request.split_once("\r\n\r\n").unwrap().1;
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    body
}

#[tokio::test]
async fn a_put_sends_chunks_and_waits_for_the_answer() {
    let server = Server::start(vec!["HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n".to_owned()]).await;
    let request = Request::new("PUT", &server.url("/dump?sig=%2F"), [("x-amz-acl", "private")]).unwrap();
    let mut upload = Http::new().put(&request).await.unwrap();
    let body = "0123456789".repeat(20_000);
    for piece in body.as_bytes().chunks(150_000) {
        upload.send(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    upload.send(Bytes::new()).await.unwrap();
    upload.finish().await.unwrap();
    let seen = server.requests().remove(0);
    assert!(seen.starts_with("PUT /dump?sig=%2F HTTP/1.1\r\n"), "{}", &seen[..200]);
    let lower = seen[..500].to_ascii_lowercase();
    for header in
        ["transfer-encoding: chunked", "x-amz-acl: private", "content-type: application/octet-stream"]
    {
        assert!(lower.contains(header), "{lower}");
    }
    assert!(!lower.contains("content-length"));
    assert!(dechunked(&seen) == body);
}

#[tokio::test]
async fn an_empty_put_is_a_complete_request() {
    let server = Server::start(vec![ok("")]).await;
    let request = Request::new("PUT", &server.url("/"), NONE).unwrap();
    Http::new().put(&request).await.unwrap().finish().await.unwrap();
    assert_eq!(dechunked(&server.requests()[0]), "");
}

#[tokio::test]
async fn a_put_with_a_length_keeps_to_it() {
    for (data, good) in [("12345", true), ("1234", false), ("123456", false)] {
        let server = Server::start(vec![ok("")]).await;
        let request = Request::new("PUT", &server.url("/"), [("Content-Length", "5")]).unwrap();
        let mut upload = Http::new().put(&request).await.unwrap();
        let sent = upload.send(Bytes::from_static(data.as_bytes())).await;
        let result = match sent {
            Ok(()) => upload.finish().await,
            Err(error) => {
                assert_eq!(upload.send(Bytes::from_static(b"x")).await, Err(error.clone()));
                Err(error)
            }
        };
        if good {
            result.unwrap();
            let seen = server.requests().remove(0);
            assert!(seen.ends_with("\r\n\r\n12345") && !seen.contains("chunked"), "{seen}");
        } else {
            assert!(matches!(result, Err(Error::Cut { method: "PUT", .. })), "{result:?}");
        }
    }
}

#[tokio::test]
async fn pitfall_r6_a_put_given_up_is_not_a_complete_request() {
    for headers in [vec![], vec![("content-length", "100")]] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let log = Mutex::new(Vec::new());
            converse(&mut socket, b"", &log).await;
            log.into_inner().unwrap().remove(0)
        });
        let mut upload = Http::new().put(&Request::new("PUT", &url, headers).unwrap()).await.unwrap();
        upload.send(Bytes::from_static(b"half")).await.unwrap();
        drop(upload);
        let seen = server.await.unwrap();
        assert!(seen.ends_with("<cut>") && !seen.contains("0\r\n\r\n<cut>"), "{seen}");
    }
}

#[tokio::test]
async fn a_refused_put_is_noticed_while_sending() {
    // Answers after the head, and then reads nothing more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/up?sig", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut some = [0; 512];
        let _ = socket.read(&mut some).await.unwrap();
        socket.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        socket
    });
    let request = Request::new("PUT", &url, NONE).unwrap();
    let mut upload = Http::new().put(&request).await.unwrap();
    let error = loop {
        if let Err(error) = upload.send(Bytes::from(vec![1; 100_000])).await {
            break error;
        }
    };
    assert!(matches!(&error, Error::Status { method: "PUT", status: 403, .. }), "{error}");
    assert!(error.to_string().ends_with("/up?[REDACTED]"), "{error}");
    assert_eq!(upload.finish().await, Err(error));
    drop(server.await);
}

#[tokio::test]
async fn a_redirected_put_is_an_error() {
    let server = Server::start(vec![redirect(307, "/elsewhere")]).await;
    let mut upload = Http::new().put(&Request::new("PUT", &server.url("/"), NONE).unwrap()).await.unwrap();
    upload.send(Bytes::from_static(b"data")).await.unwrap();
    let error = upload.finish().await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 307, .. }), "{error}");
}

#[tokio::test]
async fn the_time_limit_covers_connecting_answer_and_body() {
    let http = Http::new().with_time_limit(Duration::from_millis(100));
    // Accepted by the system, answered by nobody.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/f?secret", silent.local_addr().unwrap());
    let error = http.get(&get(&url)).await.err().unwrap();
    let expected = format!(
        "Presigned HTTP GET request timed out after 0.1s for http://{}/f?[REDACTED]",
        silent.local_addr().unwrap()
    );
    assert_eq!(error.to_string(), expected);

    let mut upload = http.put(&Request::new("PUT", &url, NONE).unwrap()).await.unwrap();
    let error = loop {
        if let Err(error) = upload.send(Bytes::from(vec![0; 65_536])).await {
            break error;
        }
    };
    assert!(matches!(error, Error::TimedOut { method: "PUT", .. }), "{error}");

    // A body that stops without an end.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly").await.unwrap();
        socket
    });
    let http = Http::new().with_time_limit(Duration::from_millis(500));
    let error = read(http.get(&get(&url)).await.unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { method: "GET", .. }), "{error}");
    drop(server.await);
}

#[tokio::test]
async fn a_server_of_which_nothing_comes_is_not_waited_for_as_long_as_a_transfer_may_take() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        // One that does not answer, and one that stops in the middle.
        let silent = listener.accept().await.unwrap();
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly").await.unwrap();
        (silent, socket)
    });
    let http = Http::new().with_silence(Duration::from_millis(200));
    let expected = format!("Presigned HTTP GET: the server has sent nothing for 0.2s: {url}");
    let error = http.get(&get(&url)).await.err().unwrap();
    assert_eq!(error.to_string(), expected);
    let mut download = http.get(&get(&url)).await.unwrap();
    assert_eq!(download.next().await.unwrap().unwrap(), "only");
    // A reader that takes its time is not the server's fault: the time begins when it waits.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let error = read(download).await.unwrap_err();
    assert_eq!(error.to_string(), expected);
    drop(server.await);
}

#[test]
fn the_text_of_the_real_limit_is_upstreams() {
    let error = Error::TimedOut {
        method: "GET",
        seconds: TIME_LIMIT.as_secs_f64().to_string(),
        url: "http://h/p".to_owned(),
    };
    assert_eq!(error.to_string(), "Presigned HTTP GET request timed out after 7200s for http://h/p");
}

#[tokio::test]
async fn dropping_a_download_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 65_536];
        let _ = socket.read(&mut buffer).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
        // Ends only when the client is gone; until then the window is what limits it.
        while socket.write_all(&buffer).await.is_ok() {}
    });
    let mut download = Http::new().get(&get(&url)).await.unwrap();
    assert!(download.next().await.unwrap().is_ok());
    drop(download);
    server.await.unwrap();
}

#[test]
fn a_wrong_handle_says_what_is_wrong_without_secrets() {
    for (method, url, words) in [
        ("POST", "http://h/", "neither GET nor PUT"),
        ("get", "http://h/", "neither GET nor PUT"),
        ("GET", "", "http:// or https://"),
        ("GET", "ftp://h/s3cret", "http:// or https://"),
        ("GET", "http:///s3cret", "no host"),
        ("GET", "http://h:0/s3cret", "port"),
        ("GET", "http://h:+1/s3cret", "port"),
        ("GET", "http://[::1/s3cret", "bracket"),
        ("GET", "http://b\u{fc}ro/s3cret", "xn--"),
        ("GET", "http://h h/s3cret", "host"),
        ("GET", "http://h/s3cret x", "percent-encoded"),
        ("GET", "http://h/s3cret\r\nX: y", "percent-encoded"),
    ] {
        let error = Request::new(method, url, NONE).unwrap_err();
        assert!(matches!(error, Error::Handle(_)));
        let error = error.to_string();
        assert!(error.contains(words) && !error.contains("s3cret"), "{url}: {error}");
    }
    for (name, value) in [("bad name", "x"), ("", "x"), ("x", "s3cret\r\nInjected: yes")] {
        let error = Request::new("GET", "http://h/", [(name, value)]).unwrap_err().to_string();
        assert!(error.starts_with("presigned_request: headers: `") && !error.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_handle_is_for_one_direction() {
    let put = Request::new("PUT", "http://127.0.0.1:1/", NONE).unwrap();
    assert!(matches!(Http::new().get(&put).await, Err(Error::Handle(_))));
    assert!(matches!(Http::new().put(&get("http://127.0.0.1:1/")).await, Err(Error::Handle(_))));
}

#[tokio::test]
async fn https_is_verified() {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let certificate = issued.cert.der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let _server = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            if let Ok(mut socket) = acceptor.accept(socket).await {
                converse(&mut socket, ok("secured").as_bytes(), &Mutex::new(Vec::new())).await;
            }
        }
    }));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let trusting = Http::new().with_tls(Arc::new(http::tls_config(roots.clone()).unwrap()));
    let body = read(trusting.get(&get(&format!("https://localhost:{port}/"))).await.unwrap()).await;
    assert_eq!(body.unwrap(), b"secured");
    // The right roots and another name.
    let error = trusting.get(&get(&format!("https://127.0.0.1:{port}/"))).await.err().unwrap();
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    // The right name and the roots of this machine, which have not heard of it.
    let error = Http::new().get(&get(&format!("https://localhost:{port}/"))).await.err().unwrap();
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    // The right name and other roots.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(other.cert.der().clone()).unwrap();
    let wary = Http::new().with_tls(Arc::new(http::tls_config(roots).unwrap()));
    let error = wary.get(&get(&format!("https://localhost:{port}/"))).await.err().unwrap();
    assert!(error.to_string().contains("TLS with localhost"), "{error}");
}

#[test]
fn joining_follows_the_standard_and_keeps_the_text() {
    let base = Url::parse("http://h:81/a/b%2Fc?q=1").unwrap();
    for (location, expected) in [
        ("x", "http://h:81/a/x"),
        ("./x", "http://h:81/a/x"),
        ("../x", "http://h:81/x"),
        ("../../../x", "http://h:81/x"),
        ("..", "http://h:81/"),
        (".", "http://h:81/a/"),
        ("x/", "http://h:81/a/x/"),
        ("#top", "http://h:81/a/b%2Fc?[REDACTED]"),
        ("//other/%2e%2e/y", "http://other/%2e%2e/y"),
        ("HTTPS://Other:444", "https://Other:444/"),
        ("/p:q", "http://h:81/p:q"),
    ] {
        assert_eq!(base.join(location).unwrap().redacted(), expected, "{location}");
    }
    let same = Url::parse("HTTP://H:81/").unwrap();
    assert!(base.same_origin(&same));
    assert!(Url::parse("http://h").unwrap().same_origin(&Url::parse("http://h:80/").unwrap()));
    for other in ["https://h:81/", "http://h:82/", "http://g:81/"] {
        assert!(!base.same_origin(&Url::parse(other).unwrap()), "{other}");
    }
}

#[tokio::test]
async fn transfers_stand_behind_what_drivers_read_and_write() {
    use jumpstarter_core::{ErrorKind, Sink, Source};

    let server =
        Server::start(vec![ok("data"), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nda".to_owned()]).await;
    for whole in [true, false] {
        let download = Http::new().get(&get(&server.url("/"))).await.unwrap();
        let mut source = Source::new(download.map(|piece| piece.map_err(jumpstarter_core::Error::from)));
        assert_eq!(&source.next().await.unwrap().unwrap()[..2], b"da");
        match source.next().await {
            Ok(None) => assert!(whole),
            Ok(Some(more)) => panic!("{more:?}"),
            Err(error) => assert!(!whole && error.kind() == ErrorKind::Truncated, "{error}"),
        }
    }

    let server = Server::start(vec![ok(""), ok("")]).await;
    let request = Request::new("PUT", &server.url("/"), NONE).unwrap();
    let mut sink = Sink::new(Http::new().put(&request).await.unwrap());
    sink.write(Bytes::from_static(b"whole")).await.unwrap();
    sink.finish().await.unwrap();
    assert_eq!(dechunked(&server.requests()[0]), "whole");
}

#[test]
fn kinds_lead_to_the_right_statuses() {
    use jumpstarter_core::ErrorKind;

    let (method, url, reason) = ("GET", String::new(), String::new());
    for (error, kind) in [
        (Error::Handle(String::new()), ErrorKind::InvalidArgument),
        (Error::TimedOut { method, seconds: String::new(), url: url.clone() }, ErrorKind::Timeout),
        (Error::Status { method, status: 404, reason: reason.clone(), url: url.clone() }, ErrorKind::Device),
        (Error::Cut { method, url, reason }, ErrorKind::Truncated),
    ] {
        let text = error.to_string();
        let error = jumpstarter_core::Error::from(error);
        assert_eq!((error.kind(), error.message()), (kind, text.as_str()));
    }
}
