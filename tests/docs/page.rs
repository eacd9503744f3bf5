//! Pages and their code blocks.
//!
//! A code block is checked according to the words behind its language. People who read the page never see them.
//!
//! | Words | Meaning |
//! |---|---|
//! | `file=NAME` | belongs to a file; blocks with the same name are its parts, in order |
//! | `opens=NAME` | `console`: one command, which gets the blocks `in=NAME` to run on its standard input |
//! | `in=NAME` | `console`: runs in the shell that was opened under this name |
//! | `needs=python` | runs only where the unmodified Python implementation is |
//! | `printed` | a part of what the macros print for the files of the page |
//! | `problems` | `yaml`: has the problems that the next block shows |
//! | `of=yaml` | `text`: what is shown is compared with what is printed for the block before |
//! | `shown="…"` | not checked here, for this reason |

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

/// Whether pages are written instead of compared.
pub(crate) fn updating() -> bool {
    std::env::var_os("JUMPSTARTER_UPDATE_DOCS").is_some_and(|value| value == "1")
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests are below the root").to_owned()
}

/// A folder of this test below the target directory.
pub(crate) fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs").join(name)
}

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    /// Relative to the root.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) blocks: Vec<Block>,
}

/// One code block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) language: String,
    words: BTreeMap<String, String>,
    /// Of the opening fence, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
    /// Of `text` in the page.
    range: Range<usize>,
}

/// Every word that a fence may carry.
const WORDS: &[&str] = &["file", "opens", "in", "needs", "printed", "problems", "of", "shown"];

impl Block {
    /// The value of a word behind the language; empty for a word without one.
    pub(crate) fn word(&self, name: &str) -> Option<&str> {
        self.words.get(name).map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.words.contains_key(name)
    }
}

impl Page {
    /// Reads a page.
    pub(crate) fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let blocks = blocks(name, &text);
        Self { name: name.to_owned(), text, blocks }
    }

    /// Blocks of these languages.
    pub(crate) fn of<'a>(&'a self, languages: &'a [&str]) -> impl Iterator<Item = &'a Block> {
        self.blocks.iter().filter(|block| languages.contains(&block.language.as_str()))
    }

    /// The files that the page describes.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::<String, String>::new();
        for block in &self.blocks {
            if let Some(name) = block.word("file") {
                let file = files.entry(name.to_owned()).or_default();
                if !file.is_empty() {
                    file.push('\n');
                }
                file.push_str(&block.text);
            }
        }
        files
    }

    /// Writes other texts into blocks, each given by its place in `blocks`.
    pub(crate) fn rewrite(&self, mut texts: Vec<(usize, String)>) {
        texts.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let mut page = self.text.clone();
        for (at, text) in texts {
            page.replace_range(self.blocks[at].range.clone(), &text);
        }
        fs::write(root().join(&self.name), page).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Where a block is, for messages.
    pub(crate) fn place(&self, block: &Block) -> String {
        format!("{}:{}", self.name, block.line)
    }
}

fn blocks(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize, usize)> = None;
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let end = at + line.len();
        if let Some(info) = line.trim_end().strip_prefix("```") {
            match open.take() {
                None => open = Some((info.to_owned(), index + 1, end)),
                Some((info, line, start)) => {
                    let place = format!("{page}:{line}");
                    let (language, words) = words(&info, &place);
                    blocks.push(Block {
                        language,
                        words,
                        line,
                        text: text[start..at].to_owned(),
                        range: start..at,
                    });
                }
            }
        }
        at = end;
    }
    assert!(open.is_none(), "{page}: the last code block is not closed");
    blocks
}

/// `console in=board shown="needs hardware"` → language and words.
fn words(info: &str, place: &str) -> (String, BTreeMap<String, String>) {
    let (language, mut rest) = info.split_once(' ').unwrap_or((info, ""));
    let mut words = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return (language.to_owned(), words);
        }
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let (value, behind) = match behind.strip_prefix('=') {
            None => ("", behind),
            Some(quoted) if quoted.starts_with('"') => {
                quoted[1..].split_once('"').unwrap_or_else(|| panic!("{place}: a quotation mark is missing"))
            }
            Some(plain) => plain.split_at(plain.find(' ').unwrap_or(plain.len())),
        };
        assert!(WORDS.contains(&name), "{place}: unknown word {name:?} behind the fence; known: {WORDS:?}");
        words.insert(name.to_owned(), value.to_owned());
        rest = behind;
    }
}

/// Whether a text is what a page shows, in which `…` stands for anything: alone on a line for any number of lines, within a
/// line for any part of it.
pub(crate) fn matches(shown: &str, text: &str) -> bool {
    fn lines(shown: &[&str], text: &[&str]) -> bool {
        match shown {
            [] => text.is_empty(),
            ["…", rest @ ..] => (0..=text.len()).any(|skipped| lines(rest, &text[skipped..])),
            [first, rest @ ..] => {
                text.split_first().is_some_and(|(line, behind)| within(first, line) && lines(rest, behind))
            }
        }
    }
    fn within(shown: &str, line: &str) -> bool {
        let mut parts = shown.split('…');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = line.strip_prefix(first) else { return false };
        let parts: Vec<_> = parts.collect();
        let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
        for part in middle {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
    let split =
        |text: &'_ str| text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    let (shown, text) = (split(shown), split(text));
    lines(
        &shown.iter().map(String::as_str).collect::<Vec<_>>(),
        &text.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

#[test]
fn three_dots_stand_for_anything_and_nothing_else_does() {
    assert!(matches("a\n…\nz", "a\nb\nc\nz\n"));
    assert!(matches("a\n…", "a"));
    assert!(!matches("a\n…\nz", "a\nb"));
    assert!(matches("from … to …", "from 1 to 2"));
    assert!(!matches("from … to 3", "from 1 to 2"));
    assert!(!matches("a", "a\nb"));
    assert!(!matches("", "a"));
    assert!(matches("", ""));
}

#[test]
fn words_behind_a_fence_are_read() {
    let (language, read) = words("console in=board shown=\"it needs a port\" problems", "here");
    assert_eq!(language, "console");
    assert_eq!(read.get("in").map(String::as_str), Some("board"));
    assert_eq!(read.get("shown").map(String::as_str), Some("it needs a port"));
    assert_eq!(read.get("problems").map(String::as_str), Some(""));
}
