//! `#[commands]`.

use proc_macro2::TokenStream;
use syn::{ImplItem, ItemImpl, Type, Visibility};

use super::{Method, Root, method::Owner, not_generic};
use crate::{diagnostics::Errors, parse::Keys};

/// Commands of a client.
pub(crate) struct Commands {
    /// How the runtime is reached.
    pub(crate) root: Root,
    /// The block, without our attributes.
    pub(crate) item: ItemImpl,
    /// The client.
    pub(crate) client: Type,
    /// Its public asynchronous methods.
    pub(crate) methods: Vec<Method>,
}

impl Commands {
    /// Reads the block.
    pub(crate) fn read(attribute: TokenStream, item: TokenStream, errors: &mut Errors) -> Option<Self> {
        let Ok(mut item) = syn::parse2::<ItemImpl>(item.clone()) else {
            errors.at(item, "put `#[commands]` on the `impl` block of a client");
            return None;
        };
        let mut keys = Keys::read(attribute, "`#[commands]`", &["crate"], errors);
        let root = Root::read(&mut keys, errors);
        if let Some((path, _)) = &item.trait_ {
            errors.at(path, "commands are the client's own: write `impl PowerClient { … }`, without a trait");
            return None;
        }
        if !not_generic("a client", &item.generics, errors) {
            return None;
        }
        let mut methods = Vec::new();
        for part in &mut item.items {
            let ImplItem::Fn(function) = part else { continue };
            if matches!(function.vis, Visibility::Inherited) {
                continue;
            }
            // A method that is not usable stays where it is; it is only no command.
            if let Ok(method) =
                Method::read(Owner::Commands, &mut function.attrs, &mut function.sig, None, errors)
            {
                methods.push(method);
            }
        }
        let client = (*item.self_ty).clone();
        Some(Self { root, item, client, methods })
    }
}
