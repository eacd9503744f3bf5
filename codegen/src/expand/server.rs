//! The thin server: a driver, ready to be hosted. The gRPC service itself is generic and knows no interface.

use proc_macro2::TokenStream;
use quote::quote;

use crate::model::{Interface, joined, shouting};

/// `PowerServer`.
pub(super) fn server(interface: &Interface) -> TokenStream {
    let rt = interface.root.rt();
    let Interface { vis, ident, .. } = interface;
    let name = joined(ident, "Server");
    let command = joined(ident, "Command");
    let constant = shouting(ident);
    let about =
        format!(" Hosts an implementation of [`{ident}`] without an exporter file. Made by `#[interface]`.");
    let commands = format!(" What a command line needs to know of [`{ident}`]. Made by `#[interface]`.");
    quote! {
        #[doc = #about]
        #vis struct #name<T>(#rt::Arc<T>);

        #[automatically_derived]
        impl<T: #ident> #name<T> {
            /// Hosts this driver.
            pub fn new(driver: T) -> Self {
                Self(#rt::Arc::new(driver))
            }

            /// Hosts a driver that others hold as well.
            pub fn shared(driver: #rt::Arc<T>) -> Self {
                Self(driver)
            }

            /// The driver.
            pub fn driver(&self) -> &#rt::Arc<T> {
                &self.0
            }

            /// The driver's side of the interface, for a session or a gRPC server.
            pub fn into_provided(self) -> #rt::Provided {
                #rt::Provided::new(&#constant, self.0, <T as #ident>::__dispatch)
            }
        }

        #[doc = #commands]
        #vis enum #command {}

        #[automatically_derived]
        impl #command {
            /// The interface's methods; a client's own commands are added with `with_commands`.
            pub const ENTRY: #rt::ClientEntry = #rt::ClientEntry::new(&#constant);
        }
    }
}
