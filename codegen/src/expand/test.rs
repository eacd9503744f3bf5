//! `#[test]` of `jumpstarter`: asynchronous tests without a dependency on the run time.

use proc_macro2::TokenStream;
use quote::quote;

use crate::model::Test;

/// The function, run to its end. What it returned is an exit code by then: that is all that a harness wants to know.
pub(crate) fn test(test: &Test) -> TokenStream {
    let rt = test.root.rt();
    let syn::ItemFn { attrs, vis, sig, block, .. } = &test.item;
    let mut sig = sig.clone();
    sig.asyncness = None;
    let returns = match std::mem::replace(&mut sig.output, syn::ReturnType::Default) {
        syn::ReturnType::Default => quote!(()),
        syn::ReturnType::Type(_, ty) => quote!(#ty),
    };
    let name = sig.ident.to_string();
    let name = name.strip_prefix("r#").unwrap_or(&name);
    let expected = test.should_panic.as_ref();
    let should_panic = expected.map_or_else(|| quote!(#rt::None), |expected| quote!(#rt::Some(#expected)));
    let identity = quote! {
        #rt::Test {
            name: #name,
            module: ::core::module_path!(),
            package: ::core::option_env!("CARGO_PKG_NAME"),
            should_panic: #should_panic,
        }
    };
    let run = if let Some(lease) = &test.lease {
        sig.inputs.clear();
        let argument = &lease.argument;
        let wants = lease.wants.iter().map(|(key, text)| quote!((#key, #text)));
        quote!(#rt::leasing::run_test(#identity, &[#(#wants),*], async |#argument| -> #returns #block))
    } else {
        quote!(#rt::run_test::<#returns>(#identity, async #block))
    };
    // A test that is expected to panic may return nothing.
    let (output, body) = if expected.is_some() {
        (quote!(), quote!({ #run; }))
    } else {
        (quote!(-> #rt::ExitCode), quote!({ #run }))
    };
    quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis #sig #output #body
    }
}
