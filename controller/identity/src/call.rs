//! The metadata of a call, and whether the caller may act as the object that it names.

use std::fmt;

use crate::{
    authenticate::Identity,
    name,
    quote::quoted,
    subject::{Holder, Kind},
    token::{Token, TokenError},
};

/// Keys of the metadata.
pub const KIND: &str = "jumpstarter-kind";
/// See [`KIND`].
pub const NAMESPACE: &str = "jumpstarter-namespace";
/// See [`KIND`].
pub const NAME: &str = "jumpstarter-name";

/// The gRPC code of a refusal. Clients depend on them: of a refusal that is not `Unknown` they show no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// UNAUTHENTICATED
    Unauthenticated,
    /// INVALID_ARGUMENT
    InvalidArgument,
    /// PERMISSION_DENIED
    PermissionDenied,
    /// UNKNOWN
    Unknown,
}

/// Why somebody may not act as an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// His token is for another kind of object.
    #[error("the token is for {} and not for {}", .0.lower(), .1.lower())]
    OtherKind(Kind, Kind),
    /// It is for another namespace.
    #[error("the token is for namespace {}", quoted(.0))]
    OtherNamespace(String),
    /// It is for another name.
    #[error("the token is for {}", quoted(.0))]
    OtherName(String),
    /// It is for another object that had this name.
    #[error("the token is for another object of this name, which has been deleted")]
    Replaced,
    /// An administrator has made it invalid.
    #[error("the token has been replaced by an administrator")]
    Rotated,
    /// Another user may.
    #[error("{} is not the user of this object", quoted(.0))]
    OtherUser(String),
    /// The object is not as it should be.
    #[error("{0}")]
    Object(String),
}

/// Why a call is refused before it has begun. Holds no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no token.
    #[error("missing authorization header")]
    MissingAuthorization,
    /// There are several.
    #[error("multiple authorization headers")]
    MultipleAuthorization,
    /// It is no bearer token.
    #[error("malformed authorization header")]
    MalformedAuthorization,
    /// A key is missing.
    #[error("missing metadata: {0}")]
    MissingMetadata(&'static str),
    /// A key is there twice.
    #[error("multiple metadata: {0}")]
    MultipleMetadata(&'static str),
    /// The call is for another kind of object.
    #[error("object kind mismatch")]
    KindMismatch,
    /// The name is not the one of this user.
    #[error("resource name mismatch: provided {} but expected {} (derived from OIDC username {})", quoted(.provided), quoted(.expected), quoted(.username))]
    NameMismatch {
        /// What the call said.
        provided: String,
        /// What it must be.
        expected: String,
        /// For this user.
        username: String,
    },
    /// The username has no letter that a name can have.
    #[error("no name can be made of the OIDC username {}", quoted(.0))]
    NoName(String),
    /// Nobody here makes such tokens.
    #[error("failed to authenticate token: {0}")]
    Unclaimed(TokenError),
    /// The issuer does not believe it.
    #[error("{}", token(.0))]
    Token(TokenError),
    /// He may not act as this object.
    #[error("permission denied for {} {namespace}/{name}: {why}", .kind.lower())]
    Denied {
        /// As what.
        kind: Kind,
        /// Where.
        namespace: String,
        /// As which.
        name: String,
        /// Why not.
        why: Why,
    },
}

fn token(error: &TokenError) -> String {
    match error {
        TokenError::NotInitialized => error.to_string(),
        other => format!("oidc: verify token: {other}"),
    }
}

impl Refused {
    /// The code that clients expect.
    pub fn code(&self) -> Code {
        match self {
            Self::MissingAuthorization => Code::Unauthenticated,
            Self::MultipleAuthorization
            | Self::MalformedAuthorization
            | Self::MissingMetadata(_)
            | Self::MultipleMetadata(_)
            | Self::KindMismatch
            | Self::NameMismatch { .. }
            | Self::NoName(_) => Code::InvalidArgument,
            Self::Unclaimed(_) | Self::Token(_) => Code::Unknown,
            Self::Denied { .. } => Code::PermissionDenied,
        }
    }
}

/// The token of a call, from all its values of `authorization`.
///
/// # Errors
/// When there is not exactly one bearer token.
pub fn bearer<V: AsRef<[u8]>>(values: &[V]) -> Result<Token, Refused> {
    let value = match values {
        [] => return Err(Refused::MissingAuthorization),
        [value] => value.as_ref(),
        _ => return Err(Refused::MultipleAuthorization),
    };
    let text = str::from_utf8(value).map_err(|_| Refused::MalformedAuthorization)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(Token::new(token.trim()))
        }
        _ => Err(Refused::MalformedAuthorization),
    }
}

/// As what somebody wants to act, by the metadata of his call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    kind: String,
    namespace: String,
    name: Option<String>,
}

/// The object that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.lower(), self.namespace, self.name)
    }
}

impl Claimed {
    /// From all values of each key.
    ///
    /// # Errors
    /// When kind or namespace is missing, or a key is there twice.
    pub fn read<V: AsRef<[u8]>>(values: impl Fn(&'static str) -> Vec<V>) -> Result<Self, Refused> {
        let one = |key: &'static str| -> Result<Option<String>, Refused> {
            match &values(key)[..] {
                [] => Ok(None),
                [value] => {
                    let text = str::from_utf8(value.as_ref()).map_err(|_| Refused::MissingMetadata(key))?;
                    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
                }
                _ => Err(Refused::MultipleMetadata(key)),
            }
        };
        let kind = one(KIND)?.ok_or(Refused::MissingMetadata(KIND))?;
        let namespace = one(NAMESPACE)?.ok_or(Refused::MissingMetadata(NAMESPACE))?;
        Ok(Self { kind, namespace, name: one(NAME)? })
    }

    /// The object that decides about this caller, for a call that is for this kind of object.
    ///
    /// # Errors
    /// When the call is not, or the name is missing or not the one of this user.
    pub fn wanted(self, identity: &Identity, kind: Kind) -> Result<Wanted, Refused> {
        let Self { kind: claimed, namespace, name } = self;
        let name = match identity {
            Identity::External { username, .. } if name::service_account(username).is_none() => {
                let expected = name::derived(username);
                if expected.is_empty() {
                    return Err(Refused::NoName(username.clone()));
                }
                if let Some(provided) = name.filter(|provided| *provided != expected) {
                    return Err(Refused::NameMismatch { provided, expected, username: username.clone() });
                }
                expected
            }
            _ => name.ok_or(Refused::MissingMetadata(NAME))?,
        };
        if claimed != kind.as_str() {
            return Err(Refused::KindMismatch);
        }
        Ok(Wanted { kind, namespace, name })
    }
}

/// Whether somebody may act as this object.
///
/// # Errors
/// Why not.
pub fn authorize(identity: &Identity, holder: &Holder<'_>) -> Result<(), Refused> {
    why_not(identity, holder).map_err(|why| Refused::Denied {
        kind: holder.kind,
        namespace: holder.namespace.to_owned(),
        name: holder.name.to_owned(),
        why,
    })
}

fn why_not(identity: &Identity, holder: &Holder<'_>) -> Result<(), Why> {
    let Identity::Internal { subject: has, generation, .. } = identity else {
        let username = identity.username();
        // Nobody is the user of an object that names none.
        return match holder.username {
            Some(user) if !user.is_empty() && user == username => Ok(()),
            _ => Err(Why::OtherUser(username)),
        };
    };
    let needs = holder.subject();
    if has.kind != needs.kind {
        return Err(Why::OtherKind(has.kind, needs.kind));
    }
    if has.namespace != needs.namespace {
        return Err(Why::OtherNamespace(has.namespace.clone()));
    }
    if has.name != needs.name {
        return Err(Why::OtherName(has.name.clone()));
    }
    if has.uid != needs.uid {
        return Err(Why::Replaced);
    }
    // A token that is newer was made by this lab as well, before a backup was put in its place.
    if *generation < holder.generation().map_err(Why::Object)? {
        return Err(Why::Rotated);
    }
    Ok(())
}

/// Whether an object that is missing may be made for this caller.
///
/// Only a client, and only for a user of another issuer. Upstream does it for its own tokens too, so that a token outlives the
/// client that was deleted, and an exporter's makes a client.
pub fn may_provision(identity: &Identity, wanted: &Wanted) -> bool {
    match identity {
        Identity::Internal { .. } => false,
        Identity::External { username, .. } => {
            wanted.kind == Kind::Client && name::service_account(username).is_none()
        }
    }
}
