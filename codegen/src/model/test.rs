//! `#[test]` of `jumpstarter`.

use proc_macro2::TokenStream;
use syn::{Expr, ExprLit, FnArg, ItemFn, Lit, LitStr, Meta, PatType, Type};

use super::Root;
use crate::{diagnostics::Errors, parse::Keys};

/// What says which exporter a test leases.
const LEASE: [&str; 5] = ["selector", "exporter", "client", "duration", "timeout"];

/// A lease that a test wants.
pub(crate) struct Lease {
    /// What is said about it: the method of the request, and its text.
    pub(crate) wants: Vec<(&'static str, LitStr)>,
    /// What takes it.
    pub(crate) argument: PatType,
}

/// An asynchronous test.
pub(crate) struct Test {
    /// How the runtime is reached.
    pub(crate) root: Root,
    /// The function.
    pub(crate) item: ItemFn,
    /// What it leases, if it does.
    pub(crate) lease: Option<Lease>,
    /// What it is expected to say when it panics, if it is expected to.
    pub(crate) should_panic: Option<String>,
}

/// What `#[should_panic]` expects; the attribute itself is for the harness.
fn should_panic(item: &ItemFn) -> Option<String> {
    let attribute = item.attrs.iter().find(|attribute| attribute.path().is_ident("should_panic"))?;
    let text = |value: &Expr| match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    };
    let expected = match &attribute.meta {
        Meta::Path(_) => None,
        Meta::NameValue(pair) => text(&pair.value),
        Meta::List(list) => list.parse_args::<syn::MetaNameValue>().ok().and_then(|pair| text(&pair.value)),
    };
    Some(expected.unwrap_or_default())
}

impl Test {
    /// Reads the function.
    pub(crate) fn read(attribute: TokenStream, item: TokenStream, errors: &mut Errors) -> Option<Self> {
        let Ok(item) = syn::parse2::<ItemFn>(item.clone()) else {
            errors.at(item, "put `#[jumpstarter::test]` on an `async fn`");
            return None;
        };
        let mut keys = Keys::read(
            attribute,
            "`#[jumpstarter::test]`",
            &["crate", "selector", "exporter", "client", "duration", "timeout"],
            errors,
        );
        let root = Root::read(&mut keys, errors);
        if item.sig.asyncness.is_none() {
            errors.at(&item.sig.ident, "write `async fn`, or use Rust's own `#[test]`");
            return None;
        }
        let wants: Vec<_> =
            LEASE.into_iter().filter_map(|key| Some((key, keys.text(key, errors)?))).collect();
        if wants.is_empty() {
            if !item.sig.inputs.is_empty() {
                errors.at(
                    &item.sig.inputs,
                    "a test takes no arguments, unless it leases an exporter: `#[jumpstarter::test(selector = \"board=x\")]`",
                );
                return None;
            }
            return Some(Self { root, should_panic: should_panic(&item), item, lease: None });
        }
        let lease = Self::leases(&item, wants, errors)?;
        Some(Self { root, should_panic: should_panic(&item), item, lease: Some(lease) })
    }

    fn leases(item: &ItemFn, wants: Vec<(&'static str, LitStr)>, errors: &mut Errors) -> Option<Lease> {
        if !wants.iter().any(|(key, _)| matches!(*key, "selector" | "exporter")) {
            errors.at(
                &item.sig.ident,
                "say which exporter the test leases: `selector = \"board=x\"` or `exporter = \"rig\"`",
            );
            return None;
        }
        let mut arguments = item.sig.inputs.iter();
        match (arguments.next(), arguments.next()) {
            (Some(FnArg::Typed(argument)), None) if matches!(*argument.ty, Type::Reference(_)) => {
                Some(Lease { wants, argument: argument.clone() })
            }
            (Some(argument), None) => {
                errors.at(argument, "a test that leases borrows it: `rig: &jumpstarter::leases::Leased`");
                None
            }
            _ => {
                errors.at(
                    &item.sig.ident,
                    "a test that leases takes one argument: `rig: &jumpstarter::leases::Leased`",
                );
                None
            }
        }
    }
}
