//! `#[commands]`: the block again, and its description.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::{at, describe, dispatch, index};
use crate::model::{Commands, Default, Method, Param, local};

/// The client's block and `COMMANDS`.
pub(crate) fn commands(commands: &Commands) -> TokenStream {
    let rt = commands.root.rt();
    let Commands { item, client, methods, .. } = commands;
    let entries = methods.iter().enumerate().map(|(i, method)| command(i, method, client, &rt));
    let injected = describe::injected(methods, &rt);
    let place = client.span();
    // At the client's name: the message names the command.
    let rt_here = at(place, &rt);
    let unique = quote_spanned!(place=> const _: () = #rt_here::new_commands(<#client as #rt_here::Client>::INTERFACE, #client::COMMANDS););
    quote! {
        #item

        #[automatically_derived]
        impl #client {
            /// Commands that this client adds to those of its interface. Made by `#[commands]`.
            pub const COMMANDS: &'static [#rt::Command] = &[#(#entries),*];
        }

        #unique
        #injected
    }
}

fn command(i: usize, method: &Method, client: &syn::Type, rt: &TokenStream) -> TokenStream {
    let i = index(i);
    let (target, args, it) = (local("target"), local("args"), local("it"));
    let default = |param: &Param| default(param, method, rt);
    let described = describe::method(method, rt, default);
    let options = method.on_wire().map(|param| {
        let options = &param.options;
        let long = optional(options.long.as_ref().map(|text| quote!(#text)), rt);
        let short = optional(options.short.map(|letter| quote!(#letter)), rt);
        let value_name = optional(options.value_name.as_ref().map(|text| quote!(#text)), rt);
        let default = match &param.default {
            Some(Default::Text(text)) => Some(quote!(#text)),
            _ => None,
        };
        let default = optional(default, rt);
        quote!(#rt::CommandOption { long: #long, short: #short, default: #default, value_name: #value_name })
    });
    let taken = dispatch::arguments(method, rt, &quote!(&#client::COMMANDS[#i].method), |_| None);
    let name = &method.ident;
    let replaces = method.replaces;
    let params = method.params.iter().map(|param| &param.ident);
    let answer = dispatch::answer(method, rt, &quote!(#it.#name(#(#params),*).await));
    quote! {
        #rt::Command {
            method: #described,
            options: &[#(#options),*],
            replaces: #replaces,
            run: |#target, #args| {
                #rt::calling(async move {
                    #taken
                    let #it = <#client as #rt::Client>::from_target(#target);
                    #answer
                })
            },
        }
    }
}

fn default(param: &Param, method: &Method, rt: &TokenStream) -> Option<TokenStream> {
    let ty = &param.ty;
    Some(match &param.default {
        Some(Default::Text(text)) => {
            let place = format!("`{}` of {}", param.name, method.export);
            let ask = quote_spanned!(text.span()=> #rt::value_of_text::<#ty>(#text, #place));
            quote!(.or(|| #ask))
        }
        Some(Default::Value(value)) => quote! {
            .or(|| {
                let value: #ty = #value;
                #rt::default_value(&value)
            })
        },
        None if param.options.long.is_some() || param.options.short.is_some() => {
            quote!(.or_flag())
        }
        None => return None,
    })
}

fn optional(value: Option<TokenStream>, rt: &TokenStream) -> TokenStream {
    value.map_or_else(|| quote!(#rt::None), |value| quote!(#rt::Some(#value)))
}
