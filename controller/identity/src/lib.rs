//! Who somebody is, and what that is worth.
//!
//! ```text
//!  token ──► Authenticator ──► Identity ──► Claimed::wanted ──► authorize ──► allowed, or why not
//!             │                             (metadata of         (the object
//!             ├─ other issuers, in order     the call)            of that name)
//!             └─ the lab's own, last
//! ```
//!
//! Nothing here knows a clock, a store or a gRPC status: time is an argument, an object is a [`Holder`], and a refusal has a
//! [`Code`]. The one thing that waits is the key set of another issuer, behind [`Fetch`].
//!
//! A token is never part of a text: [`Token`] does not show itself, and no refusal holds one.
//!
//! How a token ends:
//!
//! | By | How |
//! |---|---|
//! | time | `exp` |
//! | deleting the object | its uid is in the subject; another object of the same name has another one |
//! | an administrator who rotates it | the generation in the token is older than the one on the object ([`Holder::rotated`]) |
//! | changing the lab's key | no signature fits |
//!
//! A client that rotates its own token gets another one of the same generation: the old one stays valid to its end, as the
//! existing service has it, so that whoever still uses it is not cut off.
//!
//! | Module | Responsibility |
//! |---|---|
//! | [`token`] | what a token is made of, before anything is believed |
//! | [`key`], [`legacy`] | the key that the lab signs with: a random one, one that was given, or upstream's derivation |
//! | [`subject`] | whom a token of the lab is about, and the object that it is compared with |
//! | [`issuer`] | the lab's own tokens; what OpenID Connect wants to read about them |
//! | [`external`] | tokens of others: settings, key sets, claims |
//! | [`authenticate`] | who of them decides |
//! | [`call`] | the metadata of a call; whether the caller may act as this object |
//! | [`name`] | the object that belongs to a user of another issuer |

#![forbid(unsafe_code)]

pub mod authenticate;
pub mod call;
pub mod external;
pub mod issuer;
pub mod key;
pub mod legacy;
pub mod name;
pub mod quote;
pub mod subject;
pub mod token;

pub use authenticate::{Authenticator, Identity};
pub use call::{Claimed, Code, Refused, Wanted, authorize, bearer, may_provision};
pub use external::{External, Fetch, Https, JwtAuthenticator};
pub use issuer::{Issued, Issuer};
pub use key::SigningKey;
pub use subject::{Holder, Kind, Subject};
pub use token::{Token, TokenError};
