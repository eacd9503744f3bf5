//! The description: a static for an interface, and the constant for each method.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::{ask, ask_outcome, texts};
use crate::model::{Default, Exclusive, Interface, Method, Param, Place, shouting};

/// `pub static POWER: Interface = …`.
pub(super) fn description(interface: &Interface) -> TokenStream {
    let rt = interface.root.rt();
    let Interface { vis, ident, doc, package, name, version, also, methods, .. } = interface;
    let service = crate::model::plain(ident);
    let python = match &interface.python {
        Some(path) => quote!(#path),
        None => quote!(#rt::COMPOSITE_CLIENT),
    };
    let also = texts(also);
    let constant = shouting(ident);
    let about = format!("The description of [`{service}`]: everything that is known about it without an implementation.");
    let methods = methods.iter().map(|each| {
        let default = |param: &Param| {
            let function = param_default(ident, each, param);
            param.default.as_ref().map(|_| quote!(::core::option::Option::Some(|| #rt::default_value(&#function()))))
        };
        method(each, &rt, default)
    });
    quote! {
        #[doc = #about]
        #vis static #constant: #rt::Interface = #rt::Interface {
            package: #package,
            name: #name,
            version: #version,
            service: #service,
            doc: #doc,
            python: #python,
            also: #also,
            methods: &[#(#methods),*],
        };
    }
}

/// The function that makes a parameter's default.
pub(super) fn param_default(owner: &proc_macro2::Ident, method: &Method, param: &Param) -> proc_macro2::Ident {
    let name = format!(
        "__{}_{}_{}",
        shouting(owner).to_string().to_lowercase(),
        crate::model::plain(&method.ident),
        crate::model::plain(&param.ident)
    );
    proc_macro2::Ident::new(&name, param.ident.span())
}

/// The functions for all defaults of an interface. There is one for each, so that a default of the wrong type is one
/// error.
pub(super) fn defaults(interface: &Interface) -> TokenStream {
    let rt = interface.root.rt();
    let mut functions = TokenStream::new();
    for method in &interface.methods {
        for param in &method.params {
            let Some(default) = &param.default else { continue };
            let name = param_default(&interface.ident, method, param);
            let ty = &param.ty;
            let body = match default {
                Default::Value(value) => quote!(#value),
                Default::Text(text) => {
                    let place = format!("`{}` of {}", param.name, method.export);
                    quote_spanned!(text.span()=> #rt::text(#text, #place))
                }
            };
            functions.extend(quote! {
                #[doc(hidden)]
                fn #name() -> #ty {
                    #body
                }
            });
        }
    }
    functions
}

/// One method.
pub(super) fn method(method: &Method, rt: &TokenStream, default: impl Fn(&Param) -> Option<TokenStream>) -> TokenStream {
    let Method { rpc, export, doc, ret, .. } = method;
    let outcome = ask_outcome(ret, rt);
    let old = method.renamed_from.iter().map(|(rpc, export)| quote!((#rpc, #export)));
    let framing = if method.messages { quote!(Messages) } else { quote!(Bytes) };
    let exclusive = match method.exclusive {
        None => quote!(No),
        Some(Exclusive::Wait) => quote!(Wait),
        Some(Exclusive::Fail) => quote!(Fail),
    };
    let params = method.on_wire().map(|each| param(each, rt, default(each)));
    let described = quote! {
        #rt::Method {
            rpc: #rpc,
            export: #export,
            renamed_from: &[#(#old),*],
            kind: #outcome::KIND,
            framing: #rt::Framing::#framing,
            exclusive: #rt::Exclusive::#exclusive,
            params: &[#(#params),*],
            ret: #outcome::TYPE,
            doc: #doc,
        }
    };
    // The checks that need types complain at the method's name.
    quote_spanned!(method.ident.span()=> #rt::method(#described))
}

fn param(param: &Param, rt: &TokenStream, default: Option<TokenStream>) -> TokenStream {
    let Param { name, doc, ty, .. } = param;
    let argument = ask(ty, &quote!(#rt::Argument));
    let (tag, rest) = match param.place {
        Place::Wire(_, tag) => (tag, quote!(false)),
        Place::Rest(_, tag) => {
            let rest = ask(ty, &quote!(#rt::Rest));
            (tag, quote!(#rest::REST))
        }
        Place::Injected => (0, quote!(false)),
    };
    let default = match default {
        Some(default) => default,
        None if param.follows_default && !matches!(param.place, Place::Rest(..)) => {
            let message = format!(
                "give `{}` a default too, or move it forward: older clients send arguments by position",
                crate::model::plain(&param.ident)
            );
            quote_spanned!(param.ident.span()=> #rt::must_not_follow_default(#argument::TYPE, #message))
        }
        None => quote!(::core::option::Option::None),
    };
    let role = quote_spanned!(param.ident.span()=> #rt::on_wire(#argument::ROLE));
    quote! {
        #rt::Param { name: #name, tag: #tag, ty: #argument::TYPE, role: #role, default: #default, rest: #rest, doc: #doc }
    }
}

/// Checks that what `#[inject]` stands before is something that the runtime has.
pub(super) fn injected(methods: &[Method], rt: &TokenStream) -> TokenStream {
    let injected = methods.iter().flat_map(|method| &method.params).filter(|param| param.place == Place::Injected);
    injected
        .map(|param| {
            let argument = ask(&param.ty, &quote!(#rt::Argument));
            let place = param.ty.span();
            quote_spanned!(place=> const _: () = #rt::injected(#argument::ROLE);)
        })
        .collect()
}
