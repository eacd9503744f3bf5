//! `#[message]`.

use proc_macro2::{Ident, Span, TokenStream};
use syn::{
    Attribute, Expr, ExprLit, Fields, Item, ItemEnum, ItemStruct, Lit, Token, Type, Visibility,
    parse::Parser as _, punctuated::Punctuated,
};

use super::{Default, Root, method::unique_tag, not_generic, plain, snake};
use crate::{
    diagnostics::Errors,
    parse::{Attributes, Keys, derives, doc_of},
};

/// A struct or enum that crosses the wire.
pub(crate) struct Message {
    /// How the runtime is reached.
    pub(crate) root: Root,
    /// Attributes that stay.
    pub(crate) attrs: Vec<Attribute>,
    /// Derives that the macro adds.
    pub(crate) derives: Vec<&'static str>,
    /// Visibility.
    pub(crate) vis: Visibility,
    /// Name.
    pub(crate) ident: Ident,
    /// Documentation as data.
    pub(crate) doc: String,
    /// What it holds.
    pub(crate) content: Content,
}

/// Fields or variants.
pub(crate) enum Content {
    /// A struct.
    Fields {
        /// In declaration order.
        fields: Vec<MessageField>,
        /// Field numbers that may not be used again.
        reserved_tags: Vec<u32>,
        /// Names that may not be used again.
        reserved_names: Vec<String>,
        /// Whether upstream sends it as a list.
        list: bool,
    },
    /// An enum without data.
    Variants(Vec<Variant>),
}

/// A field.
pub(crate) struct MessageField {
    /// Attributes that stay.
    pub(crate) attrs: Vec<Attribute>,
    /// Visibility.
    pub(crate) vis: Visibility,
    /// Name in Rust.
    pub(crate) ident: Ident,
    /// Name on the wire.
    pub(crate) name: String,
    /// Documentation as data.
    pub(crate) doc: String,
    /// Type.
    pub(crate) ty: Type,
    /// Field number.
    pub(crate) tag: u32,
    /// What an absent one means.
    pub(crate) default: Option<Default>,
    /// Unit of a number.
    pub(crate) unit: String,
}

/// A variant.
pub(crate) struct Variant {
    /// Attributes that stay.
    pub(crate) attrs: Vec<Attribute>,
    /// Name in Rust.
    pub(crate) ident: Ident,
    /// Text on the wire.
    pub(crate) text: String,
    /// Number on the wire.
    pub(crate) number: u32,
    /// Documentation as data.
    pub(crate) doc: String,
}

impl Message {
    /// Reads the attribute and the item.
    pub(crate) fn read(attribute: TokenStream, item: TokenStream, errors: &mut Errors) -> Option<Self> {
        let mut keys = Keys::read(attribute, "`#[message]`", &["list", "crate"], errors);
        let root = Root::read(&mut keys, errors);
        let list = keys.flag("list", errors);
        match syn::parse2::<Item>(item.clone()) {
            Ok(Item::Struct(item)) => Self::of_struct(root, list, item, errors),
            Ok(Item::Enum(item)) => {
                if list {
                    errors.at(&item.ident, "`list` is for structs: an enum has no fields");
                }
                Self::of_enum(root, item, errors)
            }
            _ => {
                errors.at(item, "put `#[message]` on a struct with named fields, or on an enum without data");
                None
            }
        }
    }

    fn of_struct(root: Root, list: bool, item: ItemStruct, errors: &mut Errors) -> Option<Self> {
        let ItemStruct { mut attrs, vis, ident, generics, fields, .. } = item;
        let mut ours = Attributes::new(&mut attrs);
        let (reserved_tags, reserved_names) = reserved(&mut ours, errors);
        let fields = match fields {
            Fields::Named(named) => named.named.into_iter().collect(),
            Fields::Unit => Vec::new(),
            Fields::Unnamed(fields) => {
                errors.at(fields, "give the parts names: a message is a struct with named fields (`#[message(list)]` where upstream sends a list)");
                return None;
            }
        };
        let usable = not_generic("a message", &generics, errors);
        let mut tags: Vec<(u32, Span)> = Vec::new();
        let mut read = Vec::new();
        for mut field in fields {
            let Some(name) = field.ident.clone() else { continue };
            let mut ours = Attributes::new(&mut field.attrs);
            let tag = ours.tag(errors);
            let default = ours.value("default", "…", errors).map(Default::new);
            let unit = ours.texts("unit", errors).pop().map_or(String::new(), |unit| unit.value());
            let doc = ours.doc();
            let number = tag.map_or_else(|| next_tag(&tags, &reserved_tags), |(number, _)| number);
            let place = tag.map_or(name.span(), |(_, place)| place);
            unique_tag(&mut tags, number, place, errors);
            if let Some((_, earlier)) = reserved_tags.iter().find(|(reserved, _)| *reserved == number) {
                errors.here(place, format!("tag {number} is reserved: an older peer means something else by it; use another number"));
                errors.here(*earlier, format!("tag {number} is reserved here"));
            }
            if let Some((_, earlier)) = reserved_names.iter().find(|(reserved, _)| *reserved == plain(&name))
            {
                errors.at(
                    &name,
                    format!(
                        "the name `{}` is reserved: an older peer means something else by it",
                        plain(&name)
                    ),
                );
                errors.here(*earlier, "it is reserved here");
            }
            read.push(MessageField {
                attrs: field.attrs,
                vis: field.vis,
                name: plain(&name),
                ident: name,
                doc,
                ty: field.ty,
                tag: number,
                default,
                unit,
            });
        }
        let content = Content::Fields {
            fields: read,
            reserved_tags: reserved_tags.into_iter().map(|(tag, _)| tag).collect(),
            reserved_names: reserved_names.into_iter().map(|(name, _)| name).collect(),
            list,
        };
        let derives = derives(&attrs, &["Clone", "Debug", "PartialEq"]);
        usable.then(|| Self { root, doc: doc_of(&attrs), derives, attrs, vis, ident, content })
    }

    fn of_enum(root: Root, item: ItemEnum, errors: &mut Errors) -> Option<Self> {
        let ItemEnum { attrs, vis, ident, generics, variants, .. } = item;
        let usable = not_generic("a message", &generics, errors);
        let before = errors.len();
        let mut numbers: Vec<(u32, Span)> = Vec::new();
        let mut read: Vec<Variant> = Vec::new();
        for mut variant in variants {
            if !matches!(variant.fields, Fields::Unit) {
                errors.at(
                    &variant.fields,
                    "variants of a message hold no data: use a struct with optional fields",
                );
                continue;
            }
            if let Some((_, value)) = &variant.discriminant {
                errors.at(value, "state the number on the wire with `#[tag = …]`");
            }
            let mut ours = Attributes::new(&mut variant.attrs);
            let tag = ours.tag(errors);
            let text = ours.texts("text", errors).pop();
            let doc = ours.doc();
            let number = tag.map_or_else(|| next_tag(&numbers, &[]), |(number, _)| number);
            unique_tag(&mut numbers, number, tag.map_or(variant.ident.span(), |(_, place)| place), errors);
            let text = text.map_or_else(|| snake(&plain(&variant.ident)), |text| text.value());
            if read.iter().any(|earlier| earlier.text == text) {
                errors.at(&variant.ident, format!("two variants are called \"{text}\" on the wire"));
            }
            read.push(Variant { attrs: variant.attrs, ident: variant.ident, text, number, doc });
        }
        if read.is_empty() && errors.len() == before {
            errors.at(&ident, "an enum that crosses the wire has at least one variant");
        }
        let usable = usable && errors.len() == before;
        let derives = derives(&attrs, &["Clone", "Copy", "Debug", "PartialEq", "Eq", "Hash"]);
        usable.then(|| Self {
            root,
            doc: doc_of(&attrs),
            derives,
            attrs,
            vis,
            ident,
            content: Content::Variants(read),
        })
    }
}

/// The next free number: declaration order, without what is reserved.
fn next_tag(used: &[(u32, Span)], reserved: &[(u32, Span)]) -> u32 {
    let mut next = used.iter().map(|(tag, _)| *tag).max().unwrap_or(0) + 1;
    while reserved.iter().any(|(tag, _)| *tag == next) {
        next += 1;
    }
    if (19_000..=19_999).contains(&next) { 20_000 } else { next }
}

type Reserved = (Vec<(u32, Span)>, Vec<(String, Span)>);

/// `#[reserved(2, "old_name")]`.
fn reserved(ours: &mut Attributes<'_>, errors: &mut Errors) -> Reserved {
    let (mut tags, mut names) = (Vec::new(), Vec::new());
    for meta in ours.take_all("reserved") {
        let parsed = meta
            .require_list()
            .and_then(|list| Punctuated::<Expr, Token![,]>::parse_terminated.parse2(list.tokens.clone()));
        for item in errors.keep(parsed).into_iter().flatten() {
            match item {
                Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => {
                    tags.extend(errors.keep(number.base10_parse::<u32>()).map(|tag| (tag, number.span())));
                }
                Expr::Lit(ExprLit { lit: Lit::Str(name), .. }) => names.push((name.value(), name.span())),
                other => errors.at(other, "write `#[reserved(2, \"old_name\")]`: numbers and names"),
            }
        }
    }
    (tags, names)
}
