//! `http-power` and `energenie-power`, beside HTTP servers of the test.

use std::sync::{Arc, Mutex};

use jumpstarter::{ErrorKind, Result};
use jumpstarter_interfaces::PowerReading;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{bench, measured, power};

/// What a device was asked: request line, the header `authorization`, body.
type Seen = Arc<Mutex<Vec<(String, String, String)>>>;

/// A device that answers each request with status and body.
async fn device(answer: fn(&str, &str) -> (&'static str, String)) -> Result<(String, Seen)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let seen = Seen::default();
    let shared = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, shared.clone(), answer));
        }
    });
    Ok((address, seen))
}

async fn serve(
    stream: TcpStream,
    seen: Seen,
    answer: fn(&str, &str) -> (&'static str, String),
) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length, mut who) = (String::new(), 0, String::new());
    stream.read_line(&mut line).await?;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse()?,
            "authorization" => value.trim().clone_into(&mut who),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    let (status, text) = answer(&line, &body);
    seen.lock().expect("a lock").push((line, who, body));
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

fn requests(seen: &Seen) -> Vec<(String, String, String)> {
    std::mem::take(&mut seen.lock().expect("a lock"))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_sent_as_they_are_configured() -> Result<()> {
    let (address, seen) = device(|line, _| match line {
        // A Shelly of the second generation.
        "GET /rpc/Switch.GetStatus?id=0" => {
            ("200 OK", r#"{"id":0,"output":true,"voltage":229.5,"current":0.25}"#.into())
        }
        _ => ("200 OK", "{}".into()),
    })
    .await?;
    let keys = format!(
        "power_on: {{url: 'http://{address}/rpc/Switch.Set', method: post, data: '{{\"id\":0,\"on\":true}}'}}\n\
         power_off: {{url: 'http://{address}/relay/0?turn=off', data: 'not sent with GET'}}\n\
         power_read: {{url: 'http://{address}/rpc/Switch.GetStatus?id=0'}}\n\
         auth: {{basic: {{user: me, password: secret}}}}"
    );
    let bench = bench("http-power", &keys).await?;
    let supply = power(&bench)?;
    supply.on().await?;
    supply.off().await?;
    assert_eq!(measured(&supply).await?, [PowerReading { voltage: 229.5, current: 0.25 }]);
    // base64 of `me:secret`
    let who = "Basic bWU6c2VjcmV0";
    let wanted = [
        ("POST /rpc/Switch.Set", r#"{"id":0,"on":true}"#),
        ("GET /relay/0?turn=off", ""),
        ("GET /rpc/Switch.GetStatus?id=0", ""),
    ];
    assert_eq!(
        requests(&seen),
        wanted.map(|(line, body)| (line.to_owned(), who.to_owned(), body.to_owned()))
    );
    assert!(bench.stop().await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_http_device_does_wrong_is_an_error() -> Result<()> {
    let (address, _) = device(|line, _| match line {
        "GET /on" => ("500 Internal Server Error", "no".into()),
        _ => ("200 OK", "<html>".into()),
    })
    .await?;
    let keys = |read: &str| {
        format!(
            "power_on: {{url: 'http://me:secret@{address}/on'}}\npower_off: {{url: 'http://127.0.0.1:1/off?key=secret'}}\n{read}"
        )
    };
    let with_read = keys(&format!("power_read: {{url: 'http://{address}/read'}}"));
    let first = bench("http-power", &with_read).await?;
    let supply = power(&first)?;
    let error = supply.on().await.unwrap_err();
    let message = format!("GET http://{address}/on: the device answers 500 Internal Server Error");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Device, message.as_str()));
    let error = supply.off().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(error.message().starts_with("GET http://127.0.0.1:1/off: Connection refused"), "{error}");
    let error = measured(&supply).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("the answer of `power_read` is not JSON"), "{error}");
    assert!(first.stop().await.is_empty());
    let second = bench("http-power", &keys("")).await?;
    let error = measured(&power(&second)?).await.unwrap_err();
    let message = "this supply cannot measure: `power_read` is not configured";
    assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidArgument, message));
    assert!(second.stop().await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_silent_is_an_error() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let keys = format!(
        "power_on: {{url: 'http://{address}/'}}\npower_off: {{url: 'http://{address}/'}}\ntimeout: 0.1"
    );
    let bench = bench("http-power", &keys).await?;
    let error = power(&bench)?.on().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.message(), format!("GET http://{address}/: the device does not answer"));
    assert!(bench.stop().await.is_empty());
    Ok(())
}

const PAGE: &str =
    "<html><script>var sockstates = [0,1,0,0];</script><a href=\"login.html\">Log Out</a></html>";

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_a_strip_is_switched_and_its_page_is_believed() -> Result<()> {
    // Socket 2 is on, whatever it is told.
    let (address, seen) = device(|line, body| match (line, body) {
        ("POST /login.html", "pw=secret") => ("200 OK", PAGE.into()),
        ("POST /login.html", _) => ("200 OK", "<input name=\"pw\">".into()),
        _ => ("200 OK", PAGE.into()),
    })
    .await?;
    let first = bench("energenie-power", &format!("host: '{address}'\npassword: secret\nslot: 2")).await?;
    let supply = power(&first)?;
    supply.on().await?;
    let asked: Vec<_> = requests(&seen).into_iter().map(|(line, _, body)| format!("{line} {body}")).collect();
    assert_eq!(asked, ["POST /login.html pw=secret", "POST / cte2=1"]);
    let error = supply.off().await.unwrap_err();
    assert_eq!(error.message(), "the strip did not switch socket 2: its page shows the old state");
    assert!(first.stop().await.is_empty());
    let second = bench("energenie-power", &format!("host: '{address}'\npassword: wrong\nslot: 2")).await?;
    let error = power(&second)?.on().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Device, "the strip does not accept the password")
    );
    assert!(second.stop().await.is_empty());
    Ok(())
}
