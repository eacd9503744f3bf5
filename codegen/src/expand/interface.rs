//! `#[interface]`: the trait again, and everything beside it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::{client, describe, dispatch, server};
use crate::model::{Broken, Interface, Method, shouting};

/// Everything that an interface consists of.
pub(crate) fn interface(interface: &Interface) -> TokenStream {
    let printed = [
        definition(interface),
        describe::description(interface),
        describe::defaults(interface),
        describe::injected(&interface.methods, &interface.root.rt()),
        server::server(interface),
        client::client(interface),
    ];
    printed.into_iter().collect()
}

fn definition(interface: &Interface) -> TokenStream {
    let rt = interface.root.rt();
    let Interface { attrs, vis, ident, supertraits, methods, broken, .. } = interface;
    let constant = shouting(ident);
    let supertraits = supertraits.iter();
    let methods = methods.iter().map(|each| method(each, &rt));
    let broken = broken.iter().map(|Broken { attrs, sig, body }| {
        let body = body.as_ref().map_or_else(|| quote!(;), |body| quote!(#body));
        // The compiler advises against `async fn` in public traits; this one is wrong anyway, and said so.
        quote!(#(#attrs)* #[allow(async_fn_in_trait)] #sig #body)
    });
    let dispatch = dispatch::dispatch(interface);
    quote! {
        #(#attrs)*
        #vis trait #ident: #(#supertraits +)* #rt::Send + #rt::Sync + 'static {
            #(#methods)*
            #(#broken)*

            #[doc(hidden)]
            const __INTERFACE: &'static #rt::Interface = &#constant;

            #dispatch
        }
    }
}

/// An `async fn` becomes a function that returns a future which may move between threads: implementations still write
/// `async fn`, and one that cannot move is reported at the implementation.
fn method(method: &Method, rt: &TokenStream) -> TokenStream {
    let Method { ident, attrs, ret, params, body, .. } = method;
    let params = params.iter().map(|param| {
        let (ident, ty) = (&param.written, &param.ty);
        quote!(#ident: #ty)
    });
    let params = quote!(#(, #params)*);
    if method.blocking {
        let body = body.as_ref().map_or_else(|| quote!(;), |body| quote!(#body));
        return quote!(#(#attrs)* fn #ident(&self #params) -> #ret #body);
    }
    let future = quote!(impl #rt::Future<Output = #ret> + #rt::Send);
    match body {
        None => quote_spanned!(ident.span()=> #(#attrs)* fn #ident(&self #params) -> #future;),
        Some(body) => quote! {
            #(#attrs)*
            #[allow(clippy::manual_async_fn, unused_variables)]
            fn #ident(&self #params) -> #future {
                async move #body
            }
        },
    }
}
