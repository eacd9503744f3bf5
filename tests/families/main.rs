//! Families of drivers beside their real counterparts: servers and buses started by the test, the unmodified Python
//! implementation as client of our exporter, and ours as client of its.
//!
//! One module per family. Each calls every method of its drivers both ways and keeps the table of results in
//! `docs/compatibility.md` true ([`jumpstarter_tests::methods`]); interrupts the counterpart in the middle of a call and
//! shows what the user reads; and opens and closes often enough to see what is left behind.

mod composite;
mod network;
mod power;
mod serial;
mod shell;
mod steady;
mod storage;

/// Waits until something holds that nobody announces. A test that waits in vain fails and says for what.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_mins(1), waiting).await;
    assert!(waited.is_ok(), "waited in vain: {what}");
}

/// What people read, without what differs from run to run: how the system words a lost connection.
fn settled(text: &str) -> String {
    let lost = regex::Regex::new(r"(the connection to the exporter was lost): [^\n]+").expect("a pattern");
    lost.replace_all(text, "$1: (what the system says)").into_owned()
}
