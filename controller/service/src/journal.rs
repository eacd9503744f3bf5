//! What the log says of leases and exporters: with the ids of lease, client and exporter, and never with a secret.

use jumpstarter_api::Lease;
use jumpstarter_leasing::Note;

/// What leasing has decided.
pub(crate) fn note(note: &Note) {
    match note {
        Note::Acquired { lease, client, exporter, epoch, waited } => {
            tracing::info!(
                lease = &**lease,
                client = &**client,
                exporter = &**exporter,
                epoch,
                ?waited,
                "a lease has its exporter"
            );
        }
        Note::Ended { lease, client, exporter, reason, refused } => {
            tracing::info!(
                lease = &**lease,
                client = &**client,
                exporter = exporter.as_deref(),
                reason,
                refused,
                "a lease is over"
            );
        }
        Note::Online { exporter, online: true } => {
            tracing::info!(exporter = &**exporter, "an exporter is online");
        }
        Note::Online { exporter, online: false } => {
            tracing::warn!(exporter = &**exporter, "an exporter is offline");
        }
    }
}

/// Somebody wants an exporter.
pub fn requested(lease: &Lease) {
    tracing::info!(
        lease = lease.metadata.name,
        client = lease.spec.client_ref.name,
        exporter = lease.wanted_exporter(),
        selector =
            lease.spec.selector.to_selector().ok().filter(|all| !all.is_empty()).map(tracing::field::display),
        "a lease is requested"
    );
}

/// Somebody gives a lease back: its client, or its exporter.
pub(crate) fn released(lease: &Lease, by: &str) {
    tracing::debug!(
        lease = lease.metadata.name,
        client = lease.spec.client_ref.name,
        exporter = lease.exporter(),
        by,
        "a lease is given back"
    );
}

/// A lease is another client's now.
pub(crate) fn transferred(lease: &Lease, from: &str) {
    tracing::info!(
        lease = lease.metadata.name,
        client = lease.spec.client_ref.name,
        from,
        exporter = lease.exporter(),
        "a lease is transferred to another client"
    );
}
