//! `#[driver]`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::{at, texts};
use crate::model::{Driver, Opening};

/// The struct again, and how it is hosted.
pub(crate) fn driver(driver: &Driver) -> TokenStream {
    let rt = driver.root.rt();
    let Driver { item, ident, doc, type_name, provides, place, .. } = driver;
    let aliases = texts(&driver.aliases);
    let labels = driver.labels.iter().map(|(key, value)| quote!((#key, #value)));
    let client =
        driver.client.as_ref().map_or_else(|| quote!(#rt::None), |client| quote!(#rt::Some(#client)));
    let config = driver.config.as_ref().map_or_else(|| quote!(#rt::NoConfig), |ty| quote!(#ty));
    let children = driver.children.as_ref().map_or_else(|| quote!(#rt::NoChildren), |ty| quote!(#ty));
    // A missing implementation is an error at the word in `provides(…)`.
    let asked: Vec<_> = provides
        .iter()
        .map(|path| {
            let span = path.span();
            let driver = Ident::new(&ident.to_string(), span);
            quote_spanned!(span=> <#driver as #path>)
        })
        .collect();
    let opening = opening(driver, &rt, &config, &children);
    let here = at(*place, &rt);
    let shared =
        quote_spanned!(*place=> const _: () = #here::assert_no_shared_names(&[#(#asked::__INTERFACE),*]););
    quote! {
        #item

        #[automatically_derived]
        impl #rt::DriverTypes for #ident {
            type Config = #config;
            type Children = #children;
        }

        #[automatically_derived]
        impl #rt::Hostable for #ident {
            const SPEC: #rt::DriverSpec = #rt::DriverSpec {
                type_name: #type_name,
                aliases: #aliases,
                doc: #doc,
                provides: &[#(#asked::__INTERFACE),*],
                client: #client,
                labels: &[#(#labels),*],
            };

            fn provided(it: &#rt::Arc<Self>) -> #rt::Vec<#rt::Provided> {
                #rt::vec![#(#rt::Provided::new(#asked::__INTERFACE, #rt::Arc::clone(it), #asked::__dispatch)),*]
            }
        }

        impl #ident {
            /// What lists of drivers hold. Made by `#[driver]`.
            pub const DRIVER: &'static dyn #rt::DriverFactory = &#rt::Factory::<#ident>::new();
        }

        #opening
        #shared
    }
}

fn opening(
    driver: &Driver,
    rt: &TokenStream,
    config: &TokenStream,
    children: &TokenStream,
) -> Option<TokenStream> {
    let Driver { ident, type_name, .. } = driver;
    let body = match driver.opening.as_ref()? {
        Opening::Path(path) => {
            let argument = driver.config.as_ref().map(|_| quote!(config));
            let unused = argument.is_none().then(|| quote!(let _ = config;));
            let made = quote_spanned!(path.span()=> #path(#argument));
            quote!(#unused let driver: Self = #made; #rt::Ok(driver))
        }
        Opening::Made(makers) => {
            let makers = texts(makers);
            quote!(let _ = config; #rt::Err(#rt::only_made(#type_name, #makers)))
        }
    };
    Some(quote! {
        #[automatically_derived]
        impl #rt::Driver for #ident {
            async fn open(config: #config, _: &mut #rt::Open<#children>) -> #rt::Result<Self> {
                #body
            }
        }
    })
}
