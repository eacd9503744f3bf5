//! What was written means this: checked, and ready to be printed.

mod children;
mod commands;
mod config;
mod driver;
mod interface;
mod message;
mod method;
mod test;

use heck::{ToKebabCase, ToShoutySnakeCase, ToSnakeCase, ToUpperCamelCase};
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{Expr, ExprLit, Generics, Lit, LitStr, ext::IdentExt};

pub(crate) use children::{Child, Children, Form};
pub(crate) use commands::Commands;
pub(crate) use config::{Config, ConfigField, Shape};
pub(crate) use driver::{Driver, Opening};
pub(crate) use interface::Interface;
pub(crate) use message::{Content, Message, MessageField, Variant};
pub(crate) use method::{Broken, Exclusive, Method, Param, Place};
pub(crate) use test::Test;

use crate::{diagnostics::Errors, parse::Keys};

/// How generated code reaches the runtime: the user may have renamed the crate.
pub(crate) struct Root(TokenStream);

impl Root {
    /// From `crate = "…"`.
    pub(crate) fn read(keys: &mut Keys, errors: &mut Errors) -> Self {
        let Some(text) = keys.text("crate", errors) else { return Self(quote!(::jumpstarter)) };
        let Some(path) = errors.keep(text.parse::<syn::Path>()) else { return Self(quote!(::jumpstarter)) };
        let absolute =
            path.leading_colon.is_some() || path.segments.first().is_some_and(|first| first.ident == "crate");
        Self(if absolute { quote!(#path) } else { quote!(::#path) })
    }

    /// The module with everything that generated code uses.
    pub(crate) fn rt(&self) -> TokenStream {
        let root = &self.0;
        quote!(#root::__private)
    }
}

/// A default, as an attribute states it.
pub(crate) enum Default {
    /// Text, which stands for whatever the type reads from text.
    Text(LitStr),
    /// Any other expression, which has the type.
    Value(Box<Expr>),
}

impl Default {
    fn new(value: Expr) -> Self {
        match value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Self::Text(text),
            other => Self::Value(Box::new(other)),
        }
    }
}

/// The text of a name, without the mark of raw identifiers.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

fn camel(name: &str) -> String {
    name.to_upper_camel_case()
}

fn snake(name: &str) -> String {
    name.to_snake_case()
}

fn kebab(name: &str) -> String {
    name.to_kebab_case()
}

/// The static with an interface's description.
pub(crate) fn shouting(name: &Ident) -> Ident {
    Ident::new(&plain(name).to_shouty_snake_case(), name.span())
}

/// Generated items that belong together have the name they are made from in front.
pub(crate) fn joined(name: &Ident, suffix: &str) -> Ident {
    Ident::new(&format!("{}{suffix}", plain(name)), name.span())
}

/// The names in generated functions: out of reach for the author's code.
pub(crate) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn not_generic(what: &str, generics: &Generics, errors: &mut Errors) -> bool {
    if generics.params.is_empty() && generics.where_clause.is_none() {
        return true;
    }
    errors.at(
        &generics.params,
        format!("{what} cannot be generic: it needs one description; write out the types"),
    );
    false
}
