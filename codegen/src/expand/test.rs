//! `#[test]` of `jumpstarter`: asynchronous tests without a dependency on the run time.

use proc_macro2::TokenStream;
use quote::quote;

use crate::model::Test;

/// The function, run to its end.
pub(crate) fn test(test: &Test) -> TokenStream {
    let rt = test.root.rt();
    let syn::ItemFn { attrs, vis, sig, block, .. } = &test.item;
    let mut sig = sig.clone();
    sig.asyncness = None;
    quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis #sig {
            #rt::run_test(async #block)
        }
    }
}
