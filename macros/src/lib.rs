//! The attributes of `jumpstarter`: a shell around `jumpstarter-codegen`.
//!
//! Nobody depends on this crate directly. The attributes are documented where they are re-exported, in `jumpstarter`,
//! so that the examples there run against the real library.

#![forbid(unsafe_code)]
#![allow(missing_docs)]

use proc_macro::TokenStream;

macro_rules! attributes {
    ($($name:ident)*) => {
        $(
            #[proc_macro_attribute]
            pub fn $name(attribute: TokenStream, item: TokenStream) -> TokenStream {
                jumpstarter_codegen::$name(attribute.into(), item.into()).into()
            }
        )*
    };
}

attributes! { interface message commands config children driver test }
