//! `#[config]`: what serde and schemars need to hear.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};

use crate::model::{Config, ConfigField, Default, Shape, plain};

/// The type again, with its derives.
pub(crate) fn config(config: &Config) -> TokenStream {
    let rt = config.root.rt();
    // The derives take the paths as text.
    let serde = path_text(&quote!(#rt::serde));
    let schemars = path_text(&quote!(#rt::schemars));
    let Config { attrs, vis, ident, shape, .. } = config;
    match shape {
        Shape::Fields(fields) => {
            let aliases = with_aliases(fields.iter().any(|field| !field.aliases.is_empty()), &rt);
            let functions: Vec<_> =
                fields.iter().filter_map(|field| default_function(ident, field, &rt)).collect();
            let functions = (!functions.is_empty())
                .then(|| quote!(#[automatically_derived] impl #ident { #(#functions)* }));
            let printed = fields.iter().map(|each| field(ident, each));
            quote! {
                #[derive(#rt::serde::Deserialize, #rt::schemars::JsonSchema)]
                #[serde(crate = #serde, deny_unknown_fields)]
                #[schemars(crate = #schemars)]
                #aliases
                #(#attrs)*
                #vis struct #ident {
                    #(#printed),*
                }

                #functions

                #[automatically_derived]
                impl #rt::Config for #ident {}
            }
        }
        Shape::Choice { variants, derives, old_names } => {
            let aliases = with_aliases(*old_names, &rt);
            let derives = derives.iter().map(|name| Ident::new(name, proc_macro2::Span::call_site()));
            quote! {
                #[derive(#(#derives,)* #rt::serde::Serialize, #rt::serde::Deserialize, #rt::schemars::JsonSchema)]
                #[serde(crate = #serde, rename_all = "snake_case")]
                #[schemars(crate = #schemars)]
                #aliases
                #(#attrs)*
                #vis enum #ident {
                    #(#variants),*
                }
            }
        }
    }
}

/// The schema accepts old names as well.
fn with_aliases(needed: bool, rt: &TokenStream) -> Option<TokenStream> {
    needed.then(|| quote!(#[schemars(transform = #rt::with_aliases)]))
}

fn field(owner: &Ident, field: &ConfigField) -> TokenStream {
    let ConfigField { field, ident, default, aliases, unit } = field;
    let default = default.as_ref().map(|_| {
        let function = format!("{owner}::{}", default_name(ident));
        quote!(#[serde(default = #function)])
    });
    let note = (!aliases.is_empty()).then(|| {
        quote! {
            #[serde(#(alias = #aliases),*)]
            #[schemars(extend("x-aliases" = [#(#aliases),*]))]
        }
    });
    let unit = unit.as_ref().map(|unit| quote!(#[schemars(extend("x-unit" = #unit))]));
    quote!(#default #note #unit #field)
}

fn default_name(field: &Ident) -> Ident {
    Ident::new(&format!("__default_{}", plain(field)), field.span())
}

/// The default as a function: serde asks it for an absent key, and the schema shows what it answers.
fn default_function(owner: &Ident, field: &ConfigField, rt: &TokenStream) -> Option<TokenStream> {
    let name = default_name(&field.ident);
    let ty = &field.field.ty;
    let body = match field.default.as_ref()? {
        Default::Value(value) => quote!(#value),
        Default::Text(text) => {
            let place = format!("`{}` of {owner}", plain(&field.ident));
            quote_spanned!(text.span()=> #rt::config_text(#text, #place))
        }
    };
    Some(quote! {
        #[doc(hidden)]
        fn #name() -> #ty {
            #body
        }
    })
}

fn path_text(path: &TokenStream) -> String {
    path.to_string().replace(' ', "")
}
