//! The description: a static for an interface, and the constant for each method.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::{ask, ask_outcome, at, number, texts};
use crate::model::{Default, Exclusive, Interface, Method, Param, Place, plain, shouting};

/// `pub static POWER: Interface = …`.
pub(super) fn description(interface: &Interface) -> TokenStream {
    let rt = interface.root.rt();
    let Interface { vis, ident, doc, package, name, also, methods, .. } = interface;
    let service = plain(ident);
    let version = number(interface.version);
    let python =
        interface.python.as_ref().map_or_else(|| quote!(#rt::COMPOSITE_CLIENT), |path| quote!(#path));
    let also = texts(also);
    let constant = shouting(ident);
    let about = format!(
        " The description of [`{service}`]: everything that is known about it without an implementation."
    );
    let methods = methods.iter().map(|each| {
        let default = |param: &Param| {
            let function = param_default(ident, each, param);
            param.default.as_ref().map(|_| quote!(.or(|| #rt::default_value(&#function()))))
        };
        let described = method(each, &rt, default);
        // A body in the trait is what drivers may leave out.
        if each.body.is_some() { quote!(#described.optional()) } else { described }
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
pub(super) fn param_default(owner: &Ident, method: &Method, param: &Param) -> Ident {
    let owner = shouting(owner).to_string().to_lowercase();
    let name = format!("__{owner}_{}_{}", plain(&method.ident), plain(&param.ident));
    Ident::new(&name, param.ident.span())
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

/// One method. `default` prints what a parameter's default adds to its description.
pub(super) fn method(
    method: &Method,
    rt: &TokenStream,
    default: impl Fn(&Param) -> Option<TokenStream>,
) -> TokenStream {
    let Method { rpc, export, doc, ret, .. } = method;
    let outcome = ask_outcome(ret, rt);
    let params = method.on_wire().map(|each| param(each, rt, default(each).as_ref()));
    let renamed = (!method.renamed_from.is_empty()).then(|| {
        let old = method.renamed_from.iter().map(|(rpc, export)| quote!((#rpc, #export)));
        quote!(.renamed_from(&[#(#old),*]))
    });
    let messages = method.messages.then(|| quote!(.messages()));
    let exclusive = method.exclusive.map(|exclusive| match exclusive {
        Exclusive::Wait => quote!(.exclusive(#rt::Exclusive::Wait)),
        Exclusive::Fail => quote!(.exclusive(#rt::Exclusive::Fail)),
    });
    // The checks that need types complain at the method's name.
    let place = method.ident.span();
    let here = at(place, rt);
    quote_spanned! {place=>
        #here::method((#rpc, #export), #outcome::SHAPE, &[#(#params),*], #doc) #renamed #messages #exclusive
    }
}

fn param(param: &Param, rt: &TokenStream, default: Option<&TokenStream>) -> TokenStream {
    let Param { name, doc, ty, .. } = param;
    let place = param.ident.span();
    let argument = ask(ty, &quote!(#rt::Argument));
    let (tag, rest) = match param.place {
        Place::Wire(_, tag) => (tag, None),
        Place::Rest(_, tag) => {
            let rest = ask(ty, &quote!(#rt::Rest));
            (tag, Some(quote!(.rest(#rest::REST))))
        }
        Place::Injected => (0, None),
    };
    let tag = number(tag);
    let behind = (param.follows_default && rest.is_none()).then(|| {
        let message = format!(
            "give `{}` a default too, or move it forward: older clients send arguments by position",
            plain(&param.ident)
        );
        quote_spanned!(place=> .behind_default(#message))
    });
    let here = at(place, rt);
    quote_spanned!(place=> #here::param(#name, #tag, #argument::SHAPE, #doc) #default #behind #rest)
}

/// Checks that what `#[inject]` stands before is something that the runtime has.
pub(super) fn injected(methods: &[Method], rt: &TokenStream) -> TokenStream {
    let injected =
        methods.iter().flat_map(|method| &method.params).filter(|param| param.place == Place::Injected);
    injected
        .map(|param| {
            let argument = ask(&param.ty, &quote!(#rt::Argument));
            let place = param.ty.span();
            let here = at(place, rt);
            quote_spanned!(place=> const _: () = #here::injected(#argument::SHAPE);)
        })
        .collect()
}
