//! Why a certificate is not trusted.

use std::borrow::Cow;

use rustls::CertificateError;

/// What is wrong with a certificate, in words for whoever has to replace it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// What is wrong: `it has expired`.
    pub reason: Cow<'static, str>,
    /// What helps. Nothing: to trust whom it is by, and how that is done depends on who asks.
    pub remedy: Option<&'static str>,
}

impl Distrust {
    /// In these words.
    pub fn of(why: &CertificateError) -> Self {
        use CertificateError as E;
        let text = format!("{why:?}");
        if text.contains("CaUsedAsEndEntity") {
            return Self {
                reason: "it is the certificate of a CA, which cannot stand for a server".into(),
                remedy: Some("make one with `basicConstraints=CA:FALSE`, or connect without verification"),
            };
        }
        let (reason, remedy) = match why {
            E::UnknownIssuer => ("nobody who is trusted here issued it", None),
            E::Expired | E::ExpiredContext { .. } => ("it has expired", Some("renew it there")),
            E::NotValidYet | E::NotValidYetContext { .. } => {
                ("it is not valid yet", Some("compare the clocks of both machines"))
            }
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                ("it is for another name", Some("use the name that the certificate was issued for"))
            }
            _ => return Self { reason: text.into(), remedy: None },
        };
        Self { reason: reason.into(), remedy }
    }
}
