//! `#[test]` of `jumpstarter`.

use proc_macro2::TokenStream;
use syn::ItemFn;

use super::Root;
use crate::{diagnostics::Errors, parse::Keys};

/// An asynchronous test.
pub(crate) struct Test {
    /// How the runtime is reached.
    pub(crate) root: Root,
    /// The function.
    pub(crate) item: ItemFn,
}

impl Test {
    /// Reads the function.
    pub(crate) fn read(attribute: TokenStream, item: TokenStream, errors: &mut Errors) -> Option<Self> {
        let Ok(item) = syn::parse2::<ItemFn>(item.clone()) else {
            errors.at(item, "put `#[jumpstarter::test]` on an `async fn`");
            return None;
        };
        let mut keys = Keys::read(attribute, "`#[jumpstarter::test]`", &["crate"], errors);
        let root = Root::read(&mut keys, errors);
        if item.sig.asyncness.is_none() {
            errors.at(&item.sig.ident, "write `async fn`, or use Rust's own `#[test]`");
            return None;
        }
        if !item.sig.inputs.is_empty() {
            errors.at(&item.sig.inputs, "a test takes no arguments");
            return None;
        }
        Some(Self { root, item })
    }
}
