//! The client: it has the interface's methods, and is itself an implementation of the trait.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::{ask, ask_outcome, index};
use crate::model::{Interface, Method, Place, joined, local, shouting};

/// `PowerClient` and what it implements.
pub(super) fn client(interface: &Interface) -> TokenStream {
    let rt = interface.root.rt();
    let Interface { vis, ident, methods, .. } = interface;
    let name = joined(ident, "Client");
    let constant = shouting(ident);
    let about = format!(
        " A client of [`{ident}`]: for a driver in this process, or one behind a connection. Made by `#[interface]`."
    );
    let calls = methods.iter().enumerate().map(|(i, method)| call(i, method, interface));
    let implementation = implementation(interface);
    let driver = local("driver");
    quote! {
        #[doc = #about]
        #[derive(#rt::Clone, #rt::Debug)]
        #vis struct #name(#rt::Target);

        #[automatically_derived]
        impl #name {
            #(#calls)*

            /// A client of a driver in this process.
            pub fn local(#driver: impl #ident) -> Self {
                fn provide<T: #ident>(driver: T) -> #rt::Provided {
                    #rt::Provided::new(&#constant, #rt::Arc::new(driver), <T as #ident>::__dispatch)
                }
                Self(#rt::Target::local(provide(#driver)))
            }

            /// The description of the interface.
            pub fn describe() -> &'static #rt::Interface {
                &#constant
            }
        }

        #[automatically_derived]
        impl #rt::Client for #name {
            const INTERFACE: &'static #rt::Interface = &#constant;

            fn from_target(target: #rt::Target) -> Self {
                Self(target)
            }

            fn target(&self) -> &#rt::Target {
                &self.0
            }
        }

        #implementation
    }
}

fn call(i: usize, method: &Method, interface: &Interface) -> TokenStream {
    let rt = interface.root.rt();
    let (constant, vis) = (shouting(&interface.ident), &interface.vis);
    let Method { ident, attrs, ret, .. } = method;
    let sending = local("sending");
    let params = method.on_wire().map(|param| {
        let (ident, ty) = (&param.ident, &param.ty);
        quote!(#ident: #ty)
    });
    let mutable = method.on_wire().next().map(|_| quote!(mut));
    let puts = method.on_wire().map(|param| {
        let ident = &param.ident;
        let (question, i) = match param.place {
            Place::Wire(i, _) => (quote!(#rt::Argument), i),
            Place::Rest(i, _) => (quote!(#rt::Rest), i),
            Place::Injected => return TokenStream::new(),
        };
        let i = index(i);
        let argument = ask(&param.ty, &question);
        quote!(#argument::put(#ident, &mut #sending, #i);)
    });
    let returned = ask(ret, &quote!(#rt::Returned));
    let outcome = ask_outcome(ret, &rt);
    let i = index(i);
    // One reminder is enough: it points at the trait.
    let undocumented = method.doc.is_empty().then(|| quote!(#[allow(missing_docs)]));
    // At the type, so that a type which is no result is reported there and nowhere else.
    let answer = quote_spanned! {ret.span()=>
        #returned::from_result(#outcome::restore(self.0.reply(&#constant, #i, #sending).await))
    };
    quote_spanned! {ident.span()=>
        #undocumented
        #(#attrs)*
        #vis async fn #ident(&self #(, #params)*) -> #ret {
            let #mutable #sending = self.0.args(&#constant, #i);
            #(#puts)*
            #answer
        }
    }
}

/// So everything generic over the trait takes a driver or a client, and a remote device can be hosted again.
fn implementation(interface: &Interface) -> TokenStream {
    let rt = interface.root.rt();
    let Interface { ident, methods, broken, .. } = interface;
    let name = joined(ident, "Client");
    let methods = methods.iter().map(|method| {
        let Method { ident, ret, .. } = method;
        let params = method.params.iter().map(|param| {
            let ty = &param.ty;
            if param.place == Place::Injected {
                // A caller in this process may cancel the future instead.
                return quote!(_: #ty);
            }
            let ident = &param.ident;
            quote!(#ident: #ty)
        });
        let params = quote!(#(, #params)*);
        let arguments = method.on_wire().map(|param| &param.ident);
        let call = quote!(Self::#ident(self #(, #arguments)*));
        if method.blocking {
            let returned = ask(ret, &quote!(#rt::Returned));
            quote! {
                fn #ident(&self #params) -> #ret {
                    #returned::wait(#call)
                }
            }
        } else {
            quote! {
                async fn #ident(&self #params) -> #ret {
                    #call.await
                }
            }
        }
    });
    // The trait keeps these, so they need a body; the errors are elsewhere.
    let broken = broken.iter().filter(|method| method.body.is_none()).map(|method| {
        let sig = &method.sig;
        quote! {
            #[allow(unused_variables)]
            #sig {
                #rt::unreachable!()
            }
        }
    });
    quote! {
        #[automatically_derived]
        impl #ident for #name {
            #(#methods)*
            #(#broken)*
        }
    }
}
