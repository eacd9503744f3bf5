//! What the model looks like as Rust: one file for each thing that is printed.
//!
//! Spans are chosen on purpose. Whatever asks a question about an author's type carries that type's span, and always
//! asks in the same words (`<Type as Trait>::NAME`), so that the compiler reports a wrong type once, there. Everything
//! else has the attribute's span.

mod children;
mod client;
mod command;
mod config;
mod describe;
mod dispatch;
mod driver;
mod interface;
mod message;
mod server;
mod test;

pub(crate) use children::children;
pub(crate) use command::commands;
pub(crate) use config::config;
pub(crate) use driver::driver;
pub(crate) use interface::interface;
pub(crate) use message::message;
pub(crate) use test::test;

use proc_macro2::{Group, Literal, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::{Type, spanned::Spanned as _};

/// `<Type as rt::Trait>`, at the type.
fn ask(ty: &Type, question: &TokenStream) -> TokenStream {
    quote_spanned!(ty.span()=> <#ty as #question>)
}

/// `<<Type as rt::Returned>::Value as rt::Outcome>`, at the type.
fn ask_outcome(ty: &Type, rt: &TokenStream) -> TokenStream {
    quote_spanned!(ty.span()=> <<#ty as #rt::Returned>::Value as #rt::Outcome>)
}

/// The same tokens at another place. A call that is checked in a constant is reported from its first token to its
/// last, so all of them must be where the mistake is.
fn at(place: Span, tokens: &TokenStream) -> TokenStream {
    let moved = tokens.clone().into_iter().map(|token| match token {
        TokenTree::Group(group) => {
            let mut moved = Group::new(group.delimiter(), at(place, &group.stream()));
            moved.set_span(place);
            TokenTree::Group(moved)
        }
        mut other => {
            other.set_span(place);
            other
        }
    });
    moved.collect()
}

/// A number without the suffix of its type, as people write it.
fn number(number: impl Into<u64>) -> Literal {
    Literal::u64_unsuffixed(number.into())
}

/// An index without the suffix of its type.
fn index(index: usize) -> Literal {
    Literal::usize_unsuffixed(index)
}

/// Texts in a slice.
fn texts(texts: &[String]) -> TokenStream {
    quote!(&[#(#texts),*])
}
