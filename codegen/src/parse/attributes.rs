//! Attributes of one item, field or parameter: ours are taken out, the rest stays on it.

use proc_macro2::{Span, TokenStream};
use syn::{Attribute, Expr, ExprLit, Lit, LitInt, LitStr, Meta, spanned::Spanned as _};

use super::Keys;
use crate::diagnostics::Errors;

/// The attributes that are not ours yet.
pub(crate) struct Attributes<'a> {
    attrs: &'a mut Vec<Attribute>,
}

impl<'a> Attributes<'a> {
    /// Of this item.
    pub(crate) fn new(attrs: &'a mut Vec<Attribute>) -> Self {
        Self { attrs }
    }

    /// Takes the first attribute with this name.
    pub(crate) fn take(&mut self, name: &str) -> Option<Meta> {
        let at = self.attrs.iter().position(|attr| attr.path().is_ident(name))?;
        Some(self.attrs.remove(at).meta)
    }

    /// Takes all attributes with this name.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<Meta> {
        std::iter::from_fn(|| self.take(name)).collect()
    }

    /// Takes `#[name]`.
    pub(crate) fn flag(&mut self, name: &str, errors: &mut Errors) -> Option<Span> {
        let meta = self.take(name)?;
        if !matches!(meta, Meta::Path(_)) {
            errors.at(&meta, format!("`#[{name}]` takes nothing"));
        }
        Some(meta.span())
    }

    /// Takes `#[name = value]`.
    pub(crate) fn value(&mut self, name: &str, example: &str, errors: &mut Errors) -> Option<Expr> {
        match self.take(name)? {
            Meta::NameValue(pair) => Some(pair.value),
            other => {
                errors.at(&other, format!("write `#[{name} = {example}]`"));
                None
            }
        }
    }

    /// Takes `#[name(keys…)]` or `#[name]`.
    pub(crate) fn keys(
        &mut self,
        name: &str,
        what: &'static str,
        known: &'static [&'static str],
        errors: &mut Errors,
    ) -> Option<Keys> {
        let meta = self.take(name)?;
        let tokens = match meta {
            Meta::Path(_) => TokenStream::new(),
            Meta::List(list) => list.tokens,
            Meta::NameValue(pair) => {
                errors.at(&pair, format!("write {what} with its keys in parentheses"));
                TokenStream::new()
            }
        };
        Some(Keys::read(tokens, what, known, errors))
    }

    /// Takes all `#[name = "text"]` and `#[name("text", …)]`.
    pub(crate) fn texts(&mut self, name: &str, errors: &mut Errors) -> Vec<LitStr> {
        let mut texts = Vec::new();
        for meta in self.take_all(name) {
            match meta {
                Meta::NameValue(pair) => texts.extend(super::keys::text(&pair.value, name, errors)),
                Meta::List(list) => {
                    let parsed = list.parse_args_with(
                        syn::punctuated::Punctuated::<LitStr, syn::Token![,]>::parse_terminated,
                    );
                    texts.extend(errors.keep(parsed).into_iter().flatten());
                }
                Meta::Path(path) => errors.at(path, format!("write `#[{name} = \"…\"]`")),
            }
        }
        texts
    }

    /// Takes `#[tag = 3]`: a protobuf field number.
    pub(crate) fn tag(&mut self, errors: &mut Errors) -> Option<(u32, Span)> {
        let value = self.value("tag", "3", errors)?;
        let place = value.span();
        if let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = &value {
            return tag_number(number, errors).map(|number| (number, place));
        }
        errors.at(value, "a tag is a whole number: `#[tag = 3]`");
        None
    }

    /// The doc comment, which stays.
    pub(crate) fn doc(&self) -> String {
        doc_of(self.attrs)
    }
}

/// A field number that protobuf accepts.
pub(crate) fn tag_number(literal: &LitInt, errors: &mut Errors) -> Option<u32> {
    let number = errors.keep(literal.base10_parse::<u32>())?;
    let problem = match number {
        0 => "tags begin at 1",
        19_000..=19_999 => "19000 to 19999 are reserved by protobuf: use another tag",
        0x2000_0000.. => "the largest tag is 536870911",
        _ => return Some(number),
    };
    errors.at(literal, problem);
    None
}

/// The text of a doc comment: data for help texts, schemas and reference pages.
pub(crate) fn doc_of(attrs: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attr in attrs {
        if let Meta::NameValue(pair) = &attr.meta
            && attr.path().is_ident("doc")
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
        {
            let text = text.value();
            lines.extend(
                text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned()),
            );
            if text.is_empty() {
                lines.push(String::new());
            }
        }
    }
    lines.join("\n").trim().to_owned()
}

/// Which of these traits no visible `#[derive]` names: those that the macro adds.
pub(crate) fn derives(attrs: &[Attribute], wanted: &[&'static str]) -> Vec<&'static str> {
    let mut missing = wanted.to_vec();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        // What cannot be read is the compiler's to refuse.
        let _ = attr.parse_nested_meta(|meta| {
            if let Some(last) = meta.path.segments.last() {
                missing.retain(|name| last.ident != name);
            }
            Ok(())
        });
    }
    missing
}
