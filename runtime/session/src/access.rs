//! Who may call, and when: the passphrase of a listener and the gate before driver calls.
//!
//! Both belong to a *way in*, not to the session: the same tree is served to clients over TCP with a passphrase, to hook
//! scripts on a unix socket without one, and neither a report nor a status is ever behind the gate.

use std::{fmt, sync::Arc};

use http::{Extensions, HeaderMap};
use jumpstarter_core::{Error, ErrorKind};
use jumpstarter_protocol::v1::ExporterStatus;
use jumpstarter_transport::server::Peer;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::status::{StatusBoard, status_name};

/// Metadata key with the passphrase.
const HEADER: &str = "x-jumpstarter-passphrase";

type Gate = Arc<dyn Fn(ExporterStatus) -> bool + Send + Sync>;

/// The conditions under which one service of a session answers.
#[derive(Clone, Default)]
pub struct Access {
    /// Only a digest is kept: comparing digests takes the same time whatever the difference is.
    passphrase: Option<[u8; 32]>,
    gate: Option<Gate>,
}

impl Access {
    /// Everybody, always: local sessions, and listeners without a passphrase.
    pub fn open() -> Self {
        Self::default()
    }

    /// Only callers who know the passphrase. Callers on a unix socket are exempt: they are on this machine and were
    /// let into the socket's directory.
    #[must_use]
    pub fn with_passphrase(mut self, passphrase: &str) -> Self {
        self.passphrase = Some(Sha256::digest(passphrase.as_bytes()).into());
        self
    }

    /// Driver calls only while the session has a status that `gate` accepts. Reports, status, logs, the end of the
    /// session and streams are never refused.
    #[must_use]
    pub fn with_gate(mut self, gate: impl Fn(ExporterStatus) -> bool + Send + Sync + 'static) -> Self {
        self.gate = Some(Arc::new(gate));
        self
    }

    pub(crate) fn check_caller(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<(), Status> {
        let Some(expected) = &self.passphrase else { return Ok(()) };
        if matches!(extensions.get::<Peer>(), Some(Peer::Unix { .. })) {
            return Ok(());
        }
        let given = headers.get(HEADER).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let digest: [u8; 32] = Sha256::digest(given).into();
        let difference = digest.iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
        if headers.contains_key(HEADER) && std::hint::black_box(difference) == 0 {
            Ok(())
        } else {
            Err(Status::unauthenticated("invalid or missing passphrase"))
        }
    }

    pub(crate) fn check_gate(&self, board: &StatusBoard) -> Result<(), Error> {
        let Some(gate) = &self.gate else { return Ok(()) };
        let status = board.status();
        if gate(status) {
            return Ok(());
        }
        let text = format!("Exporter not ready for driver calls (status: {})", status_name(status));
        Err(Error::new(ErrorKind::NotReady, text))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("passphrase", &self.passphrase.is_some())
            .field("gate", &self.gate.is_some())
            .finish()
    }
}
