//! Every error of one item, collected: the author sees all mistakes of one compile at once.

use std::fmt;

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;

/// The errors of one item.
#[derive(Default)]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    /// An error at these tokens, from the first to the last of them.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl fmt::Display) {
        self.0.push(syn::Error::new_spanned(tokens, message));
    }

    /// An error at this place.
    pub(crate) fn here(&mut self, place: Span, message: impl fmt::Display) {
        self.0.push(syn::Error::new(place, message));
    }

    /// An error that the parser found.
    pub(crate) fn add(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    /// Keeps the value, or the error.
    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// How many there are; lets a part see whether anything below it failed.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// One `compile_error!` for each.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0.into_iter().map(syn::Error::into_compile_error).collect()
    }
}

/// An unknown word where some are known: all of them, the nearest first.
pub(crate) fn unknown(what: &str, found: &Ident, known: &[&str]) -> String {
    let found = found.to_string();
    let mut sorted = known.to_vec();
    sorted.sort_by(|a, b| {
        let likeness = |word: &str| strsim::jaro_winkler(word, &found);
        likeness(b).total_cmp(&likeness(a)).then_with(|| a.cmp(b))
    });
    let list = sorted.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match sorted.first() {
        None => format!("{what} takes no keys, but got `{found}`"),
        Some(nearest) if strsim::jaro_winkler(nearest, &found) > 0.75 => {
            format!("{what} does not know `{found}`; did you mean `{nearest}`? known: {list}")
        }
        Some(_) => format!("{what} does not know `{found}`; known: {list}"),
    }
}
