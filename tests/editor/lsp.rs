//! A client of a language server: what an editor says to it, and hears from it.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin},
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

use jumpstarter_tests::node::LanguageServer;
use serde_json::{Value, json};

/// How long an answer may take before the test gives up.
const PATIENCE: Duration = Duration::from_mins(2);

/// An editor with a language server.
pub(crate) struct Editor {
    server: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    asked: u64,
    opened: u64,
    /// What the server has said about each document.
    problems: HashMap<String, Vec<Value>>,
}

/// What the server underlines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What is underlined.
    pub(crate) text: String,
    /// The line, from 0.
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// What the server offers.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) label: String,
    /// What would be inserted.
    pub(crate) inserted: String,
    pub(crate) documentation: String,
}

/// A place in a text: where the mark `|` stood.
struct Marked {
    text: String,
    line: usize,
    character: usize,
}

fn marked(text: &str) -> Marked {
    let (before, after) = text.split_once('|').expect("a mark");
    let line = before.matches('\n').count();
    let character = before.rsplit('\n').next().unwrap_or_default().chars().count();
    Marked { text: format!("{before}{after}"), line, character }
}

impl Editor {
    pub(crate) fn start(server: &LanguageServer) -> Self {
        let mut server = server.command().spawn().expect("the language server starts");
        let input = server.stdin.take().expect("its standard input");
        let mut output = BufReader::new(server.stdout.take().expect("its standard output"));
        // The server waits for whoever does not read.
        let (sender, messages) = sync_channel(64);
        // Ends with the server, whose output then ends.
        std::thread::spawn(move || {
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut editor = Self { server, input, messages, asked: 0, opened: 0, problems: HashMap::new() };
        let item = json!({ "documentationFormat": ["markdown"], "snippetSupport": true });
        editor.ask(
            "initialize",
            &json!({
                "processId": null,
                "rootUri": null,
                "capabilities": { "textDocument": {
                    "completion": { "completionItem": item },
                    "hover": { "contentFormat": ["markdown"] },
                    "publishDiagnostics": {},
                } },
            }),
        );
        editor.tell("initialized", &json!({}));
        let settings = json!({ "completion": true, "hover": true, "validate": true, "schemaStore": { "enable": false } });
        editor.tell("workspace/didChangeConfiguration", &json!({ "settings": { "yaml": settings } }));
        editor
    }

    /// What is offered at the mark `|` of an unsaved file in this folder.
    pub(crate) fn offers(&mut self, folder: &Path, text: &str) -> Vec<Offer> {
        let Marked { text, line, character } = marked(text);
        let document = self.open(folder, &text);
        let position = json!({ "line": line, "character": character });
        let answer = self.ask(
            "textDocument/completion",
            &json!({ "textDocument": { "uri": document }, "position": position }),
        );
        let items = answer.get("items").unwrap_or(&answer).as_array().cloned().unwrap_or_default();
        items.iter().map(offer).collect()
    }

    /// What is shown for the word at the mark `|`.
    pub(crate) fn hover(&mut self, folder: &Path, text: &str) -> String {
        let Marked { text, line, character } = marked(text);
        let document = self.open(folder, &text);
        let position = json!({ "line": line, "character": character });
        let answer = self
            .ask("textDocument/hover", &json!({ "textDocument": { "uri": document }, "position": position }));
        words(&answer["contents"])
    }

    /// What is underlined in an unsaved file in this folder.
    pub(crate) fn problems(&mut self, folder: &Path, text: &str) -> Vec<Problem> {
        let document = self.open(folder, text);
        loop {
            if let Some(problems) = self.problems.remove(&document) {
                return problems.iter().map(|diagnostic| problem(text, diagnostic)).collect();
            }
            self.listen();
        }
    }

    /// Opens a text as a file that is not saved yet. Each has a name of its own.
    fn open(&mut self, folder: &Path, text: &str) -> String {
        self.opened += 1;
        let name = folder.join(format!("unsaved-{}.yaml", self.opened));
        let document = format!("file://{}", name.display());
        self.tell(
            "textDocument/didOpen",
            &json!({ "textDocument": { "uri": document, "languageId": "yaml", "version": 1, "text": text } }),
        );
        document
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            if let Some(answer) = self.listen().filter(|message| message["id"] == id) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len()).expect("the server listens");
        self.input.flush().expect("the server listens");
    }

    /// Takes one message; answers are handed back, everything else is dealt with.
    fn listen(&mut self) -> Option<Value> {
        let message = self.messages.recv_timeout(PATIENCE).expect("the server says something");
        let method = message["method"].as_str().unwrap_or_default();
        if method.is_empty() {
            return Some(message);
        }
        // A server that stumbles over a schema says so here, and otherwise offers less.
        assert_ne!(method, "telemetry/event", "{message}");
        if method == "textDocument/publishDiagnostics" {
            let document = message["params"]["uri"].as_str().unwrap_or_default().to_owned();
            let problems = message["params"]["diagnostics"].as_array().cloned().unwrap_or_default();
            self.problems.insert(document, problems);
        } else if message.get("id").is_some() {
            let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": null });
            self.send(&answer);
        }
        None
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn words(documentation: &Value) -> String {
    documentation.as_str().or(documentation["value"].as_str()).unwrap_or_default().to_owned()
}

fn offer(item: &Value) -> Offer {
    let inserted = item["insertText"].as_str().or(item["textEdit"]["newText"].as_str()).unwrap_or_default();
    Offer {
        label: item["label"].as_str().unwrap_or_default().to_owned(),
        inserted: inserted.to_owned(),
        documentation: words(&item["documentation"]),
    }
}

fn problem(text: &str, diagnostic: &Value) -> Problem {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap_or_default()).unwrap_or_default();
    let (start, end) = (&diagnostic["range"]["start"], &diagnostic["range"]["end"]);
    let line = number(&start["line"]);
    let first = number(&start["character"]);
    // What goes on in the next line covers the rest of this one.
    let last = if end["line"] == start["line"] { number(&end["character"]) } else { usize::MAX };
    let covered =
        text.lines().nth(line).unwrap_or_default().chars().skip(first).take(last.saturating_sub(first));
    Problem {
        text: covered.collect(),
        line,
        message: diagnostic["message"].as_str().unwrap_or_default().to_owned(),
    }
}
