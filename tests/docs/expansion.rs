//! `docs/expansion.md`.

use proc_macro2::{Spacing, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{Attribute, Item, Meta};

use crate::page::{Page, scratch, updating};

const PAGE: &str = "docs/expansion.md";

type Attributed = fn(TokenStream, TokenStream) -> TokenStream;

const ATTRIBUTES: &[(&str, Attributed)] = &[
    ("interface", jumpstarter_codegen::interface),
    ("message", jumpstarter_codegen::message),
    ("commands", jumpstarter_codegen::commands),
    ("config", jumpstarter_codegen::config),
    ("children", jumpstarter_codegen::children),
    ("driver", jumpstarter_codegen::driver),
];

/// What each attribute of a file expands to, in the file's order.
fn expand(source: &str) -> String {
    let file = syn::parse_file(source).expect("the page shows Rust");
    let mut out = TokenStream::new();
    for mut item in file.items {
        let attributes = match &mut item {
            Item::Trait(item) => &mut item.attrs,
            Item::Struct(item) => &mut item.attrs,
            Item::Enum(item) => &mut item.attrs,
            Item::Impl(item) => &mut item.attrs,
            _ => continue,
        };
        let known =
            |attribute: &Attribute| ATTRIBUTES.iter().find(|(name, _)| attribute.path().is_ident(name));
        let Some(at) = attributes.iter().position(|attribute| known(attribute).is_some()) else { continue };
        let attribute = attributes.remove(at);
        let (_, expand) = known(&attribute).expect("it was just found");
        let arguments = match attribute.meta {
            Meta::List(list) => list.tokens,
            _ => TokenStream::new(),
        };
        out.extend(expand(arguments, item.to_token_stream()));
    }
    jumpstarter_codegen::pretty::file(&shortened(out))
}

/// `::jumpstarter::__private` is `rt` on the page.
fn shortened(tokens: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut out = TokenStream::new();
    let mut at = 0;
    let colons = |at: usize| {
        matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':' && p.spacing() == Spacing::Joint)
            && matches!(tokens.get(at + 1), Some(TokenTree::Punct(p)) if p.as_char() == ':')
    };
    let is = |at: usize, name: &str| matches!(tokens.get(at), Some(TokenTree::Ident(ident)) if ident == name);
    while at < tokens.len() {
        if colons(at) && is(at + 2, "jumpstarter") && colons(at + 3) && is(at + 5, "__private") {
            out.extend([TokenTree::Ident(proc_macro2::Ident::new("rt", proc_macro2::Span::call_site()))]);
            at += 6;
            continue;
        }
        out.extend([match &tokens[at] {
            TokenTree::Group(group) => {
                let mut inner = proc_macro2::Group::new(group.delimiter(), shortened(group.stream()));
                inner.set_span(group.span());
                TokenTree::Group(inner)
            }
            other => other.clone(),
        }]);
        at += 1;
    }
    out
}

/// Lines that say something.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect()
}

/// The expansion in the pieces that the page shows: each begins with the same two lines as before.
fn pieces(page: &Page, expanded: &str) -> Option<Vec<(usize, String)>> {
    let shown = || page.blocks.iter().enumerate().filter(|(_, block)| block.has("printed"));
    let mut starts = Vec::new();
    let mut from = 0;
    for (_, block) in shown() {
        let head: Vec<_> = block.text.lines().take(2).collect();
        let start = from + expanded[from..].find(&head.join("\n"))?;
        starts.push(start);
        from = start + 1;
    }
    if starts.first() != Some(&0) {
        return None;
    }
    let ends = starts.iter().skip(1).copied().chain([expanded.len()]);
    let texts = starts.iter().zip(ends).map(|(start, end)| format!("{}\n", expanded[*start..end].trim_end()));
    Some(shown().map(|(at, _)| at).zip(texts).collect())
}

#[test]
fn the_page_shows_what_the_macros_print() {
    let page = Page::read(PAGE);
    let source: String = page.files().into_values().collect();
    let expanded = expand(&source);
    let shown: String =
        page.of(&["rust"]).filter(|block| block.has("printed")).map(|block| block.text.as_str()).collect();
    let (expanded_lines, shown_lines) = (lines(&expanded), lines(&shown));
    if expanded_lines == shown_lines {
        return;
    }
    let file = scratch("expansion.rs");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a writable target directory");
    std::fs::write(&file, &expanded).expect("a writable target directory");
    if let Some(pieces) = pieces(&page, &expanded).filter(|_| updating()) {
        page.rewrite(pieces);
    }
    let first = expanded_lines.iter().zip(&shown_lines).find(|(expanded, shown)| expanded != shown);
    panic!(
        "{PAGE} does not show what the macros print; the first difference is {first:#?}.\n\
         JUMPSTARTER_UPDATE_DOCS=1 writes it to the page, if its pieces still begin as they did. All of it is in {}.",
        file.display()
    );
}
