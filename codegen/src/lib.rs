//! What the attributes of `jumpstarter` expand to, as an ordinary library on tokens.
//!
//! Three stages, one folder each; only the model can be expanded:
//!
//! | Module | Responsibility |
//! |---|---|
//! | `parse` | what was written: keys of attributes, doc comments, signatures, all with their places |
//! | `model` | what it means, checked |
//! | `expand` | tokens; one file for each thing that is printed |
//! | `diagnostics` | every error of one item, with a remedy, at once |
//! | [`pretty`] | formatted output for golden files |
//! | `proto_text` | descriptors as `.proto` text; feature `proto-text`, which the macros do without |
//!
//! The macros know syntax and never types: what a type means is asked by the printed code, through the traits of
//! `jumpstarter`. So this crate depends on nothing of ours, and aliases and newtypes work. The entry points take the
//! attribute's arguments and the item, and always give the item back, with the errors beside it.
//!
//! ```
//! let attribute = "name = \"lamp\", version = 1".parse().unwrap();
//! let item = "pub trait Lamp { async fn shine(&self) -> Result<()>; }".parse().unwrap();
//! let printed = jumpstarter_codegen::pretty::file(&jumpstarter_codegen::interface(attribute, item));
//! assert!(printed.contains("pub struct LampClient"));
//! ```

#![forbid(unsafe_code)]

mod diagnostics;
mod expand;
mod model;
mod parse;
pub mod pretty;
#[cfg(feature = "proto-text")]
pub mod proto_text;

use proc_macro2::TokenStream;

use diagnostics::Errors;

/// `#[interface(…)]` on a trait.
pub fn interface(attribute: TokenStream, item: TokenStream) -> TokenStream {
    run(attribute, item, model::Interface::read, expand::interface)
}

/// `#[message]` on a struct or an enum.
pub fn message(attribute: TokenStream, item: TokenStream) -> TokenStream {
    run(attribute, item, model::Message::read, expand::message)
}

/// `#[commands]` on the `impl` of a client.
pub fn commands(attribute: TokenStream, item: TokenStream) -> TokenStream {
    run(attribute, item, model::Commands::read, expand::commands)
}

/// `#[config]` on a struct or an enum.
pub fn config(attribute: TokenStream, item: TokenStream) -> TokenStream {
    run(attribute, item, model::Config::read, expand::config)
}

/// `#[children]` on a struct.
pub fn children(attribute: TokenStream, item: TokenStream) -> TokenStream {
    run(attribute, item, model::Children::read, expand::children)
}

/// `#[driver(…)]` on a struct.
pub fn driver(attribute: TokenStream, item: TokenStream) -> TokenStream {
    run(attribute, item, model::Driver::read, expand::driver)
}

/// `#[jumpstarter::test]` on an asynchronous function.
pub fn test(attribute: TokenStream, item: TokenStream) -> TokenStream {
    run(attribute, item, model::Test::read, expand::test)
}

/// Reads, prints, and adds the errors. Without a model (the item is of the wrong sort) the item stays as it was.
fn run<M>(
    attribute: TokenStream,
    item: TokenStream,
    read: fn(TokenStream, TokenStream, &mut Errors) -> Option<M>,
    print: fn(&M) -> TokenStream,
) -> TokenStream {
    let mut errors = Errors::default();
    let model = read(attribute, item.clone(), &mut errors);
    let mut printed = model.as_ref().map_or(item, print);
    printed.extend(errors.into_tokens());
    printed
}
