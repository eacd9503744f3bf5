//! Rules for all pages.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::page::{Page, root};

/// Folders that hold no pages of ours.
const FOREIGN: &[&str] = &["target", ".git", "node_modules"];

/// Pages whose every code block is checked by this test, or says why not.
pub(crate) const CHECKED: &[&str] = &[
    "README.md",
    "docs/using-a-device.md",
    "docs/writing-a-driver.md",
    "docs/expansion.md",
    "docs/exporter-file.md",
    "docs/exporter-life.md",
    "docs/faults.md",
    "docs/serial.md",
    "docs/storage.md",
];

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && !FOREIGN.iter().any(|foreign| name == *foreign) {
            pages(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// The text of a page without its code.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            // Every second piece between backticks is code.
            prose.extend(line.split('`').step_by(2));
            prose.push('\n');
        }
    }
    prose
}

/// Where the links of a page lead.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let mut links = Vec::new();
    for (at, _) in prose.match_indices("](") {
        let rest = &prose[at + 2..];
        links.extend(rest.find(')').map(|end| rest[..end].to_owned()));
    }
    // `[name]: target`
    for line in prose.lines() {
        if let Some((name, target)) = line.strip_prefix('[').and_then(|line| line.split_once("]: "))
            && !name.contains(']')
        {
            links.push(target.trim().to_owned());
        }
    }
    links
}

/// The anchors of a page: its headings, as they are addressed.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        code ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        if !code && line.starts_with('#') && title.starts_with(' ') {
            let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            anchors.insert(kept.collect::<String>().to_lowercase().replace(' ', "-"));
        }
    }
    anchors
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut found = Vec::new();
    pages(&root(), &mut found);
    let mut broken = Vec::new();
    let mut seen = 0;
    for path in &found {
        let text = std::fs::read_to_string(path).expect("a readable page");
        let folder = path.parent().expect("a page is in a folder");
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if target.is_empty() { path.clone() } else { folder.join(target) };
            let page = path.strip_prefix(root()).unwrap_or(path).display();
            if !target.exists() {
                broken.push(format!("{page}: {link} leads nowhere"));
            } else if !anchor.is_empty() && target.extension().is_some_and(|ending| ending == "md") {
                let other = std::fs::read_to_string(&target).expect("a readable page");
                if !anchors(&other).contains(anchor) {
                    broken
                        .push(format!("{page}: {link} leads to no heading; there are {:?}", anchors(&other)));
                }
            }
        }
    }
    assert!(found.len() > 8 && seen > 10, "{} pages, {seen} links: something was not found", found.len());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_code_block_is_checked_or_says_why_not() {
    let mut wrong = Vec::new();
    for name in CHECKED {
        let page = Page::read(name);
        for (at, block) in page.blocks.iter().enumerate() {
            let checked = match block.language.as_str() {
                // All commands are run, and all files of an exporter are checked.
                "console" | "yaml" => true,
                "text" => block.has("of") && at > 0 && page.blocks[at - 1].has("problems"),
                "sh" => block.has("in"),
                "rust" | "toml" | "python" => block.has("file") || block.has("printed"),
                _ => false,
            };
            if !checked && block.word("shown").is_none_or(str::is_empty) {
                wrong.push(format!(
                    "{}: nothing checks this block ({}); say how, or shown=\"why not\"",
                    page.place(block),
                    block.language
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Headings are sentences, pages begin with one of the first level, and lines fit a screen.
#[test]
fn pages_have_the_shape_of_pages() {
    let mut wrong = Vec::new();
    for name in CHECKED {
        let text = std::fs::read_to_string(root().join(name)).expect("a readable page");
        if !text.starts_with("# ") {
            wrong.push(format!("{name}: the first line is no heading of the first level"));
        }
        let mut code = false;
        for (index, line) in text.lines().enumerate() {
            code ^= line.starts_with("```");
            if !code && line.chars().count() > 130 && !line.starts_with('|') {
                wrong.push(format!("{name}:{}: a line of {} characters", index + 1, line.chars().count()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
