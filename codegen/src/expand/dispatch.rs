//! The one dispatch function of an interface, for native and upstream's calls.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::{ask, ask_outcome, describe::param_default, index};
use crate::model::{Interface, Method, Param, Place, local, shouting};

/// `fn __dispatch(…)`, a provided function of the trait: whoever can name the trait can host an implementation.
pub(super) fn dispatch(interface: &Interface) -> TokenStream {
    let rt = interface.root.rt();
    let Interface { ident, methods, .. } = interface;
    let constant = shouting(ident);
    let (it, method, args) = (local("it"), local("method"), local("args"));
    let arms = methods.iter().enumerate().map(|(i, method)| {
        let i = index(i);
        let name = &method.ident;
        let described = quote!(&#constant.methods[#i]);
        let default = |param: &Param| param.default.as_ref().map(|_| param_default(ident, method, param));
        let taken = arguments(method, &rt, &described, default);
        let params = method.params.iter().map(|param| &param.ident);
        let call = quote_spanned!(name.span()=> <Self as #ident>::#name(&#it #(, #params)*));
        let erase = if method.blocking {
            let answer = answer(method, &rt, &call);
            quote!(#rt::blocking(move || { #taken #answer }))
        } else {
            let answer = answer(method, &rt, &quote!(#call.await));
            quote!(#rt::calling(async move { #taken #answer }))
        };
        quote!(#i => #erase,)
    });
    let unused = methods.is_empty().then(|| quote!(let _ = (#it, #args);));
    quote! {
        #[doc(hidden)]
        fn __dispatch(#it: #rt::Arc<Self>, #method: usize, #args: #rt::Args) -> #rt::Calling
        where
            Self: #rt::Sized,
        {
            #unused
            match #method {
                #(#arms)*
                _ => #rt::unknown(),
            }
        }
    }
}

/// Statements that take the arguments out of `args`.
pub(super) fn arguments(
    method: &Method,
    rt: &TokenStream,
    described: &TokenStream,
    default: impl Fn(&Param) -> Option<Ident>,
) -> TokenStream {
    let (args, reader) = (local("args"), local("reader"));
    if method.params.is_empty() {
        return quote!(#args.none(#described)?;);
    }
    let taken = method.params.iter().map(|param| {
        let (name, ty) = (&param.ident, &param.ty);
        let argument = ask(ty, &quote!(#rt::Argument));
        let place = ty.span();
        match param.place {
            Place::Wire(i, _) => {
                let i = index(i);
                let taken = default(param).map_or_else(
                    || quote_spanned!(place=> take(&mut #reader, #i)),
                    |default| quote_spanned!(place=> take_or(&mut #reader, #i, #rt::Some(#default))),
                );
                quote_spanned!(place=> let #name = #argument::#taken?;)
            }
            Place::Rest(i, _) => {
                let i = index(i);
                let rest = ask(ty, &quote!(#rt::Rest));
                quote_spanned!(place=> let #name = #rest::take(&mut #reader, #i)?;)
            }
            Place::Injected => quote_spanned!(place=> let #name = #argument::injected(&mut #reader)?;),
        }
    });
    quote! {
        let mut #reader = #args.reader(#described)?;
        #(#taken)*
    }
}

/// The method's answer as a `Result<Reply>`.
pub(super) fn answer(method: &Method, rt: &TokenStream, call: &TokenStream) -> TokenStream {
    let returned = ask(&method.ret, &quote!(#rt::Returned));
    let outcome = ask_outcome(&method.ret, rt);
    // All of it at the type, so that a type which is no result is reported there and nowhere else.
    quote_spanned!(method.ret.span()=> #outcome::erase(#returned::into_result(#call)))
}
