//! What a token says about itself.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// What is in a token. Nothing of it is checked: only its issuer and whom it is for can do that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads a token that is a JWT (RFC 7519). Others tell nothing.
    pub fn of(token: &str) -> Option<Self> {
        let mut parts = token.trim().split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&payload).ok().map(Self)
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// A moment, in seconds since 1970 (`NumericDate`); fractions are left out.
    #[expect(clippy::cast_possible_truncation, reason = "a float is cut to the range of the integer")]
    pub fn moment(&self, name: &str) -> Option<i64> {
        let value = self.0.get(name)?;
        value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_and_whatever_is_none_is_not() {
        // {"sub":"me","exp":12.5,"iss":""}, by hand.
        let token = "e30.eyJzdWIiOiJtZSIsImV4cCI6MTIuNSwiaXNzIjoiIn0.c2ln";
        let claims = Claims::of(token).expect("three parts");
        assert_eq!(
            (claims.text("sub"), claims.moment("exp"), claims.text("iss")),
            (Some("me"), Some(12), None)
        );
        for other in ["", "opaque", "a.b", "a.b.c", "e30.e30.e30.e30", "x.W10.y"] {
            assert_eq!(Claims::of(other), None, "{other}");
        }
    }
}
