//! The arguments of an attribute: `key`, `key = value`, `key(value, …)`, separated by commas.

use proc_macro2::{Ident, Span, TokenStream};
use syn::{
    Expr, ExprLit, Lit, LitInt, LitStr, Path, Token, Type,
    ext::IdentExt,
    parenthesized,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
    spanned::Spanned as _,
};

use crate::diagnostics::{Errors, unknown};

/// What stands behind a key.
pub(crate) enum Given {
    /// Nothing: `key`.
    Flag,
    /// `key = value`.
    Value(Box<Expr>),
    /// `key(value, …)`.
    List(Punctuated<Expr, Token![,]>),
}

struct Pair {
    key: Ident,
    given: Given,
}

impl Parse for Pair {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // `crate` and `type` are words of the language as well.
        let key = input.call(Ident::parse_any)?;
        let given = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Given::Value(input.parse()?)
        } else if input.peek(syn::token::Paren) {
            let inner;
            parenthesized!(inner in input);
            Given::List(Punctuated::parse_terminated(&inner)?)
        } else {
            Given::Flag
        };
        Ok(Self { key, given })
    }
}

/// The keys of one attribute. What the grammar does not know is complained about at once; the rest is taken, once each.
pub(crate) struct Keys {
    what: &'static str,
    known: &'static [&'static str],
    place: Span,
    complete: bool,
    pairs: Vec<Pair>,
}

impl Keys {
    /// Reads them. `what` is the attribute's name, `known` its grammar.
    pub(crate) fn read(
        tokens: TokenStream,
        what: &'static str,
        known: &'static [&'static str],
        errors: &mut Errors,
    ) -> Self {
        let before = errors.len();
        let place = if tokens.is_empty() { Span::call_site() } else { tokens.span() };
        let parsed = Punctuated::<Pair, Token![,]>::parse_terminated.parse2(tokens);
        let mut pairs: Vec<Pair> = Vec::new();
        for pair in errors.keep(parsed).into_iter().flatten() {
            if !known.iter().any(|known| pair.key == known) {
                errors.at(&pair.key, unknown(what, &pair.key, known));
            } else if pairs.iter().any(|earlier| earlier.key == pair.key) {
                errors.at(&pair.key, format!("`{}` is given twice", pair.key));
            } else {
                pairs.push(pair);
            }
        }
        Self { what, known, place, complete: errors.len() == before, pairs }
    }

    /// The place of the arguments, for what is missing among them.
    pub(crate) fn place(&self) -> Span {
        self.place
    }

    /// Whether all of them were understood.
    pub(crate) fn complete(&self) -> bool {
        self.complete
    }

    /// What stands behind this key.
    pub(crate) fn take(&mut self, key: &str) -> Option<(Ident, Given)> {
        debug_assert!(self.known.contains(&key), "the grammar of {} lacks `{key}`", self.what);
        let at = self.pairs.iter().position(|pair| pair.key == key)?;
        let pair = self.pairs.remove(at);
        Some((pair.key, pair.given))
    }

    /// Whether the key stands there, alone.
    pub(crate) fn flag(&mut self, key: &str, errors: &mut Errors) -> bool {
        match self.take(key) {
            None => false,
            Some((_, Given::Flag)) => true,
            Some((ident, _)) => {
                errors.at(ident, format!("`{key}` takes no value"));
                true
            }
        }
    }

    /// `key = value` as an expression.
    pub(crate) fn value(&mut self, key: &str, example: &str, errors: &mut Errors) -> Option<Expr> {
        match self.take(key)? {
            (_, Given::Value(value)) => Some(*value),
            (ident, _) => {
                errors.at(ident, format!("write `{key} = {example}`"));
                None
            }
        }
    }

    /// `key = "text"`.
    pub(crate) fn text(&mut self, key: &str, errors: &mut Errors) -> Option<LitStr> {
        let value = self.value(key, "\"…\"", errors)?;
        text(&value, key, errors)
    }

    /// `key = 1`.
    pub(crate) fn number(&mut self, key: &str, errors: &mut Errors) -> Option<LitInt> {
        match self.value(key, "1", errors)? {
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Some(number),
            other => {
                errors.at(other, format!("`{key}` is a whole number"));
                None
            }
        }
    }

    /// `key = some::Type`.
    pub(crate) fn ty(&mut self, key: &str, errors: &mut Errors) -> Option<Type> {
        let value = self.value(key, "SomeType", errors)?;
        match value {
            Expr::Path(path) => {
                Some(Type::Path(syn::TypePath { attrs: path.attrs, qself: path.qself, path: path.path }))
            }
            other => {
                errors.at(other, format!("`{key}` is the name of a type"));
                None
            }
        }
    }

    /// `key(a, b)` or `key = [a, b]`.
    pub(crate) fn list(&mut self, key: &str, example: &str, errors: &mut Errors) -> Vec<Expr> {
        match self.take(key) {
            None => Vec::new(),
            Some((_, Given::List(list))) => list.into_iter().collect(),
            Some((ident, given)) => {
                if let Given::Value(value) = given
                    && let Expr::Array(array) = *value
                {
                    return array.elems.into_iter().collect();
                }
                errors.at(ident, format!("write `{key}({example})`"));
                Vec::new()
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &str, errors: &mut Errors) -> Vec<LitStr> {
        self.list(key, "\"…\"", errors).iter().filter_map(|item| text(item, key, errors)).collect()
    }

    /// A list of paths.
    pub(crate) fn paths(&mut self, key: &str, example: &str, errors: &mut Errors) -> Vec<Path> {
        let items = self.list(key, example, errors);
        let mut paths = Vec::new();
        for item in items {
            match item {
                Expr::Path(path) if path.qself.is_none() => paths.push(path.path),
                other => errors.at(other, format!("`{key}` takes names: `{key}({example})`")),
            }
        }
        paths
    }
}

/// An expression that must be text.
pub(crate) fn text(value: &Expr, key: &str, errors: &mut Errors) -> Option<LitStr> {
    if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value {
        return Some(text.clone());
    }
    errors.at(value, format!("`{key}` is text: write it in quotes"));
    None
}
