//! Chromium without a screen, driven over a WebSocket by the Chrome `DevTools` protocol (version 1.3).

use std::{collections::VecDeque, path::Path, process::Stdio, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use jumpstarter_tests::counterparts::counterpart;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

/// How long something may take that has to happen.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Browser {
    child: Child,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The page.
    session: Option<String>,
    next: u64,
    /// What the page has written to its console, and what went wrong in it.
    said: Vec<String>,
    events: VecDeque<Value>,
}

impl Browser {
    /// Starts one; nothing, if programs of the system are left out.
    pub(crate) async fn start(folder: &Path) -> Option<Self> {
        let program = counterpart("chromium-headless-shell", "chromium-headless-shell")?;
        let mut child = Command::new(program)
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", folder.join("browser").display()))
            // The certificate is by an authority that only this test knows.
            .arg("--ignore-certificate-errors")
            // Tests may run as root, in a container.
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .arg("about:blank")
            .env("HOME", folder)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a browser");
        let mut lines = BufReader::new(child.stderr.take().expect("its words")).lines();
        let address = async {
            let mut said = Vec::new();
            while let Some(line) = lines.next_line().await.expect("text") {
                if let Some(address) = line.strip_prefix("DevTools listening on ") {
                    return address.to_owned();
                }
                said.push(line);
            }
            panic!("the browser ends: {said:?}");
        };
        let address = tokio::time::timeout(PATIENCE, address).await.expect("it starts in time");
        // It goes on talking, and must not wait for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (socket, _) = tokio_tungstenite::connect_async(address).await.expect("it can be driven");
        let mut browser =
            Self { child, socket, session: None, next: 0, said: Vec::new(), events: VecDeque::new() };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach).await;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        Some(browser)
    }

    async fn next_message(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("in time");
            if let Message::Text(text) = message.expect("it goes on").expect("a message") {
                return serde_json::from_str(text.as_str()).expect("JSON");
            }
        }
    }

    fn event(&mut self, event: Value) {
        let text = match event["method"].as_str() {
            Some("Runtime.consoleAPICalled") => event["params"]["args"].to_string(),
            Some("Runtime.exceptionThrown") => event["params"]["exceptionDetails"].to_string(),
            Some("Log.entryAdded") => event["params"]["entry"].to_string(),
            _ => return self.events.push_back(event),
        };
        self.said.push(text);
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(message.to_string())).await.expect("sent");
        loop {
            let mut answer = self.next_message().await;
            if answer["id"] == self.next {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.event(answer);
        }
    }

    /// Opens a page, and waits until everything of it is there.
    pub(crate) async fn open(&mut self, address: &str) {
        let opened = self.call("Page.navigate", json!({ "url": address })).await;
        assert!(opened.get("errorText").is_none(), "{address}: {opened}");
        loop {
            while let Some(event) = self.events.pop_front() {
                if event["method"] == "Page.loadEventFired" {
                    return;
                }
            }
            let event = self.next_message().await;
            self.event(event);
        }
    }

    /// What an expression is in the page.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let ask = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", ask).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true, whenever the page changes.
    pub(crate) async fn until(&mut self, expression: &str) {
        let waiting = format!(
            "new Promise((done) => {{ const look = () => {{ if ({expression}) {{ watch.disconnect(); done(true); }} }}; \
             const watch = new MutationObserver(look); \
             watch.observe(document, {{ attributes: true, characterData: true, childList: true, subtree: true }}); \
             look(); }})"
        );
        assert_eq!(self.value(&waiting).await, true, "{expression}");
    }

    /// Types a token, and presses the button.
    pub(crate) async fn enter(&mut self, token: &str) {
        self.value("document.getElementById('token').value = ''; document.getElementById('token').focus()")
            .await;
        self.call("Input.insertText", json!({ "text": token })).await;
        self.value("document.querySelector('#enter button').click()").await;
    }

    /// What the page has written to its console, and what went wrong in it.
    pub(crate) fn said(&self) -> &[String] {
        &self.said
    }

    pub(crate) async fn stop(mut self) {
        self.child.kill().await.expect("it ends");
    }
}
