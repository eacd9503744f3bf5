//! `#[config]`.

use proc_macro2::{Ident, TokenStream};
use syn::{Attribute, Field, Fields, Item, ItemEnum, ItemStruct, Visibility};

use super::{Default, Root, not_generic};
use crate::{
    diagnostics::Errors,
    parse::{Attributes, Keys, derives},
};

/// A driver's configuration, or an enum inside one.
pub(crate) struct Config {
    /// How the runtime is reached.
    pub(crate) root: Root,
    /// Attributes that stay.
    pub(crate) attrs: Vec<Attribute>,
    /// Visibility.
    pub(crate) vis: Visibility,
    /// Name.
    pub(crate) ident: Ident,
    /// What it holds.
    pub(crate) shape: Shape,
}

/// Fields or variants.
pub(crate) enum Shape {
    /// A struct.
    Fields(Vec<ConfigField>),
    /// An enum without data.
    Choice {
        /// The variants as they were written, with their old names for serde and the schema.
        variants: Vec<syn::Variant>,
        /// Derives to add.
        derives: Vec<&'static str>,
        /// Whether a variant has an old name.
        old_names: bool,
    },
}

/// A key.
pub(crate) struct ConfigField {
    /// The field without our attributes.
    pub(crate) field: Field,
    /// Its name.
    pub(crate) ident: Ident,
    /// What an absent one means.
    pub(crate) default: Option<Default>,
    /// Old names.
    pub(crate) aliases: Vec<String>,
    /// What its numbers count.
    pub(crate) unit: Option<syn::LitStr>,
}

impl Config {
    /// Reads the attribute and the item.
    pub(crate) fn read(attribute: TokenStream, item: TokenStream, errors: &mut Errors) -> Option<Self> {
        let mut keys = Keys::read(attribute, "`#[config]`", &["crate"], errors);
        let root = Root::read(&mut keys, errors);
        match syn::parse2::<Item>(item.clone()) {
            Ok(Item::Struct(item)) => Self::of_struct(root, item, errors),
            Ok(Item::Enum(item)) => Self::of_enum(root, item, errors),
            _ => {
                errors.at(item, "put `#[config]` on a struct with named fields, or on an enum without data");
                None
            }
        }
    }

    fn of_struct(root: Root, item: ItemStruct, errors: &mut Errors) -> Option<Self> {
        let ItemStruct { mut attrs, vis, ident, generics, fields, .. } = item;
        lossy(&mut attrs, errors);
        let usable = not_generic("a configuration", &generics, errors);
        let fields = match fields {
            Fields::Named(named) => named.named.into_iter().collect(),
            Fields::Unit => Vec::new(),
            Fields::Unnamed(fields) => {
                errors.at(
                    fields,
                    "a configuration is a struct with named fields: the names are the keys people write",
                );
                return None;
            }
        };
        let mut read = Vec::new();
        for mut field in fields {
            let Some(ident) = field.ident.clone() else { continue };
            lossy(&mut field.attrs, errors);
            let mut ours = Attributes::new(&mut field.attrs);
            let default = ours.value("default", "…", errors).map(Default::new);
            let aliases = ours.texts("alias", errors).iter().map(syn::LitStr::value).collect();
            let unit = ours.texts("unit", errors).pop();
            read.push(ConfigField { field, ident, default, aliases, unit });
        }
        usable.then_some(Self { root, attrs, vis, ident, shape: Shape::Fields(read) })
    }

    fn of_enum(root: Root, item: ItemEnum, errors: &mut Errors) -> Option<Self> {
        let ItemEnum { mut attrs, vis, ident, generics, variants, .. } = item;
        lossy(&mut attrs, errors);
        let mut usable = not_generic("a configuration", &generics, errors);
        let mut read = Vec::new();
        let mut old_names = false;
        for mut variant in variants {
            if !matches!(variant.fields, Fields::Unit) {
                errors.at(
                    &variant.fields,
                    "variants of a configuration hold no data, so that every problem keeps its line: use a struct with optional fields",
                );
                usable = false;
            }
            let aliases: Vec<_> = Attributes::new(&mut variant.attrs).texts("alias", errors);
            if !aliases.is_empty() {
                variant.attrs.push(syn::parse_quote!(#[serde(#(alias = #aliases),*)]));
                variant.attrs.push(syn::parse_quote!(#[schemars(extend("x-aliases" = [#(#aliases),*]))]));
                old_names = true;
            }
            read.push(variant);
        }
        let derives = derives(&attrs, &["Clone", "Copy", "Debug", "PartialEq", "Eq"]);
        usable.then_some(Self {
            root,
            attrs,
            vis,
            ident,
            shape: Shape::Choice { variants: read, derives, old_names },
        })
    }
}

/// `flatten` and `untagged` make serde forget where things stand. They are taken off, so that nothing else complains.
fn lossy(attrs: &mut Vec<Attribute>, errors: &mut Errors) {
    attrs.retain(|attr| {
        let mut keep = true;
        if attr.path().is_ident("serde") {
            // What cannot be read is serde's to refuse.
            let _ = attr.parse_nested_meta(|meta| {
                let lossy = ["flatten", "untagged"].into_iter().find(|word| meta.path.is_ident(word));
                if let Some(word) = lossy {
                    keep = false;
                    errors.at(
                        &meta.path,
                        format!("`{word}` would lose the positions that error messages need: name the keys in a struct of their own, or write a visitor (`impl Deserialize`)"),
                    );
                }
                if meta.input.peek(syn::Token![=]) {
                    meta.value()?.parse::<syn::Expr>()?;
                }
                Ok(())
            });
        }
        keep
    });
}
