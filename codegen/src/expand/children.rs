//! `#[children]`.

use proc_macro2::TokenStream;
use quote::quote;

use super::{ask, texts};
use crate::model::{Child, Children, Form};

/// The struct again, and what it wants.
pub(crate) fn children(set: &Children) -> TokenStream {
    let rt = set.root.rt();
    let Children { attrs, vis, ident, list: children, .. } = set;
    let fields =
        children.iter().map(|Child { attrs, vis, ident, ty, .. }| quote!(#(#attrs)* #vis #ident: #ty));
    let specs = children.iter().map(|child| spec(child, &rt));
    let taken = children.iter().map(|child| {
        let Child { ident, ty, name, also, form, .. } = child;
        if *form == Form::Rest {
            let others = ask(ty, &quote!(#rt::Others));
            return quote!(#ident: #others::take(children, Self::SPECS));
        }
        let asked = ask(ty, &quote!(#rt::Child));
        quote!(#ident: #asked::take(children, &[#name #(, #also)*])?)
    });
    quote! {
        #(#attrs)*
        #vis struct #ident {
            #(#fields),*
        }

        #[automatically_derived]
        impl #rt::ChildSet for #ident {
            const SPECS: &'static [#rt::ChildSpec] = &[#(#specs),*];

            fn take(children: &#rt::Children) -> #rt::Result<Self> {
                #rt::Ok(Self { #(#taken),* })
            }
        }
    }
}

fn spec(child: &Child, rt: &TokenStream) -> TokenStream {
    let Child { name, also, form, ty, doc, .. } = child;
    let also = texts(also);
    let asked = ask(ty, &quote!(#rt::Child));
    let interface = quote!(#rt::Some(#asked::INTERFACE));
    let (interface, need) = match form {
        Form::Configured => (interface, quote!(#asked::NEED)),
        Form::Made => (interface, quote!(#rt::Need::Made)),
        Form::Rest => (quote!(#rt::None), quote!(#rt::Need::Rest)),
    };
    quote!(#rt::ChildSpec { name: #name, also: #also, interface: #interface, need: #need, doc: #doc })
}
