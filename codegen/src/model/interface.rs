//! `#[interface]`.

use proc_macro2::{Ident, TokenStream};
use syn::{Attribute, ItemTrait, Token, TraitItem, TypeParamBound, Visibility, punctuated::Punctuated};

use super::{
    Broken, Method, Root, kebab,
    method::{self, Owner},
    not_generic, plain,
};
use crate::{
    diagnostics::Errors,
    parse::{Attributes, Keys, doc_of},
};

/// Keys of `#[interface(…)]`.
const KEYS: &[&str] = &["name", "version", "package", "python", "also", "crate"];

/// An interface.
pub(crate) struct Interface {
    /// How the runtime is reached.
    pub(crate) root: Root,
    /// The trait's attributes.
    pub(crate) attrs: Vec<Attribute>,
    /// The trait's visibility, which everything generated shares.
    pub(crate) vis: Visibility,
    /// The trait's name.
    pub(crate) ident: Ident,
    /// What the author's trait asks for.
    pub(crate) supertraits: Punctuated<TypeParamBound, Token![+]>,
    /// Documentation as data.
    pub(crate) doc: String,
    /// Protobuf package, without name and version.
    pub(crate) package: String,
    /// Name in kebab case.
    pub(crate) name: String,
    /// Version.
    pub(crate) version: u32,
    /// Class path of the Python client.
    pub(crate) python: Option<String>,
    /// Further gRPC services with the same meaning.
    pub(crate) also: Vec<String>,
    /// Methods that can be printed.
    pub(crate) methods: Vec<Method>,
    /// Methods that cannot.
    pub(crate) broken: Vec<Broken>,
}

impl Interface {
    /// Reads the attribute and the trait.
    pub(crate) fn read(attribute: TokenStream, item: TokenStream, errors: &mut Errors) -> Option<Self> {
        let Ok(item) = syn::parse2::<ItemTrait>(item.clone()) else {
            errors.at(item, "put `#[interface]` on a trait: its methods are what clients call");
            return None;
        };
        let mut keys = Keys::read(attribute, "`#[interface(…)]`", KEYS, errors);
        let ItemTrait { mut attrs, vis, ident, generics, supertraits, items, unsafety, .. } = item;
        let root = Root::read(&mut keys, errors);
        let (name, version) = identity(&mut keys, &ident, errors);
        if let Some(unsafety) = unsafety {
            errors.at(unsafety, "an interface is not `unsafe`");
        }
        let usable = not_generic("an interface", &generics, errors);

        let mut ours = Attributes::new(&mut attrs);
        let exclusive = method::exclusive(&mut ours, errors);
        let (mut methods, mut broken) = (Vec::new(), Vec::new());
        for item in items {
            let TraitItem::Fn(mut item) = item else {
                errors.at(item, "an interface has only methods; constants and types belong beside the trait");
                continue;
            };
            match Method::read(Owner::Interface(&ident), &mut item.attrs, &mut item.sig, item.default, errors)
            {
                Ok(mut method) => {
                    method.exclusive = method.exclusive.or(exclusive);
                    methods.push(method);
                }
                Err(item) => broken.push(*item),
            }
        }
        unique_names(&methods, errors);
        let interface = Self {
            root,
            doc: doc_of(&attrs),
            attrs,
            vis,
            supertraits,
            package: keys
                .text("package", errors)
                .map_or_else(|| "jumpstarter.driver".to_owned(), |text| text.value()),
            name,
            version,
            python: keys.text("python", errors).map(|text| text.value()),
            also: keys.texts("also", errors).iter().map(syn::LitStr::value).collect(),
            methods,
            broken,
            ident,
        };
        usable.then_some(interface)
    }
}

/// Name and version, or stand-ins for them: the rest is printed all the same.
fn identity(keys: &mut Keys, ident: &Ident, errors: &mut Errors) -> (String, u32) {
    let before = errors.len();
    let (place, complete) = (keys.place(), keys.complete());
    let name = keys.text("name", errors);
    let version = keys.number("version", errors);
    let guess = kebab(&plain(ident));
    // What was misspelt is not missing as well.
    if complete && errors.len() == before && (name.is_none() || version.is_none()) {
        let missing = match (&name, &version) {
            (None, None) => "`name` and `version`",
            (None, _) => "`name`",
            _ => "`version`",
        };
        errors.here(
            place,
            format!("an interface needs {missing}: write `#[interface(name = \"{guess}\", version = 1)]`"),
        );
    }
    if let Some(text) = &name
        && (text.value() != kebab(&text.value())
            || !text.value().starts_with(|c: char| c.is_ascii_lowercase()))
    {
        let better = kebab(&text.value());
        let better =
            if better.starts_with(|c: char| c.is_ascii_lowercase()) { better } else { guess.clone() };
        errors.at(text, format!("an interface's name is in kebab case: write `{better}`"));
    }
    let number = version.and_then(|literal| match literal.base10_parse::<u32>() {
        Ok(0) | Err(_) => {
            errors.at(literal, "versions are whole numbers from 1");
            None
        }
        Ok(number) => Some(number),
    });
    (name.map_or(guess, |text| text.value()), number.unwrap_or(1))
}

/// Names of gRPC methods and of upstream's calls are each used once.
fn unique_names(methods: &[Method], errors: &mut Errors) {
    for (i, method) in methods.iter().enumerate() {
        let all = |method: &Method| {
            let now = (method.rpc.clone(), method.export.clone());
            std::iter::once(now).chain(method.renamed_from.clone()).collect::<Vec<_>>()
        };
        let taken: Vec<_> = methods[..i].iter().flat_map(all).collect();
        for (rpc, export) in all(method) {
            if taken.iter().any(|(used, other)| *used == rpc || *other == export) {
                errors.at(
                    &method.ident,
                    format!("two methods of this interface are called `{export}` on the wire (`{rpc}` in the gRPC service): rename one"),
                );
            }
        }
    }
}
