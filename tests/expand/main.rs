//! What the attributes expand to: `README.md` says how to add a case.

// `pass/renamed.rs` shows what a crate does that calls `jumpstarter` something else.
extern crate jumpstarter as harness;

#[allow(dead_code, unreachable_pub)]
mod pass;

use std::{collections::BTreeSet, fs, path::Path};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{Attribute, Item, Meta};

type Attributed = fn(TokenStream, TokenStream) -> TokenStream;

const ATTRIBUTES: &[(&str, Attributed)] = &[
    ("interface", jumpstarter_codegen::interface),
    ("message", jumpstarter_codegen::message),
    ("commands", jumpstarter_codegen::commands),
    ("config", jumpstarter_codegen::config),
    ("children", jumpstarter_codegen::children),
    ("driver", jumpstarter_codegen::driver),
];

/// Expands the attributes of a file the way the compiler does: the outermost first.
fn expand(source: &str) -> String {
    let file = syn::parse_file(source).expect("a file of pass/ is Rust");
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
    jumpstarter_codegen::pretty::file(&out)
}

#[test]
fn expansions_are_as_reviewed() {
    let settings = insta_settings();
    settings.bind(|| {
        insta::glob!("pass/*.rs", |path| {
            if path.file_stem().is_some_and(|name| name != "mod") {
                let printed = expand(&fs::read_to_string(path).expect("a readable file"));
                insta::assert_snapshot!(shortened(&printed));
            }
        });
    });
}

fn insta_settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description("`rt` stands for `::jumpstarter::__private`");
    settings
}

/// The expansion with a short name for the module that every line mentions.
fn shortened(printed: &str) -> String {
    let tokens: TokenStream = printed.parse().expect("printed Rust");
    let short = tokens.to_string().replace(":: jumpstarter :: __private", "rt");
    jumpstarter_codegen::pretty::file(&short.parse().expect("still Rust"))
}

#[test]
fn every_situation_is_compiled_as_well() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pass");
    let files: BTreeSet<_> = fs::read_dir(folder)
        .expect("the folder of this test")
        .map(|entry| {
            entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned()
        })
        .filter(|name| name != "mod")
        .collect();
    let compiled = pass::NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(files, compiled, "pass/mod.rs lists every file of pass/");
}

#[test]
fn mistakes_are_reported_once_with_place_and_remedy() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}

#[test]
fn our_name_is_not_printed_where_the_crate_was_renamed() {
    fn names(tokens: TokenStream, found: &mut Vec<String>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => names(group.stream(), found),
                TokenTree::Ident(ident) => found.push(ident.to_string()),
                // Derives take paths as text.
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    if text.contains("::") {
                        found.extend(text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
                    }
                }
                TokenTree::Punct(_) => {}
            }
        }
    }
    let source = include_str!("pass/renamed.rs");
    for (name, _) in ATTRIBUTES {
        assert!(source.contains(&format!("#[{name}(")), "pass/renamed.rs shows `#[{name}]`");
    }
    let mut found = Vec::new();
    names(expand(source).parse().expect("printed Rust"), &mut found);
    assert!(found.contains(&"harness".to_owned()));
    assert!(
        !found.contains(&"jumpstarter".to_owned()),
        "an expansion names `jumpstarter`, which is called `harness` there"
    );
}

#[test]
fn an_expansion_stays_below_a_screen_for_each_method() {
    for entry in
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("pass")).expect("the folder of this test")
    {
        let source = fs::read_to_string(entry.expect("an entry").path()).expect("a readable file");
        let methods = source.matches("async fn").count() + source.matches("#[blocking]").count();
        let types = source.matches("\n#[").count();
        let lines = shortened(&expand(&source)).lines().count();
        assert!(lines <= 60 * methods + 140 * types, "{lines} lines for {methods} methods and {types} types");
    }
}
