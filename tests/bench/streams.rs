//! Byte streams: how fast they are, and what they hold while nothing happens on them.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    Effort, Outcome, bare, ours,
    process::{Memory, Server, memory as used},
    report::{Goal, Row, in_turns},
};

/// Bytes per round.
const VOLUME: usize = 128 << 20;

/// Open streams.
const STREAMS: usize = 1_000;

/// Megabytes per second in both directions, in small and large pieces.
pub(crate) async fn throughput(effort: Effort) -> Outcome<Vec<Row>> {
    let (ours, bare) = Server::both()?;
    let probe = ours::probe(&ours.socket).await?;
    let mut client = bare::Client::connect(&bare.socket).await?;
    let mut rows = Vec::new();
    for (name, size) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20)] {
        let volume = effort.of(VOLUME).max(size);
        let count = volume / size;
        let piece = Bytes::from(vec![0x5a; size]);
        let rate = |begun: Instant, seen: u64| {
            if seen == (count * size) as u64 {
                Ok(seen as f64 / 1e6 / begun.elapsed().as_secs_f64())
            } else {
                Err(format!("{seen} of {} bytes came", count * size))
            }
        };
        let down = in_turns(
            effort.rounds,
            async || {
                let begun = Instant::now();
                let seen = ours::receive(&probe, size, count).await?;
                Ok(rate(begun, seen)?)
            },
            async || {
                let begun = Instant::now();
                let seen = client.receive(size, count).await?;
                Ok(rate(begun, seen)?)
            },
        );
        let what = format!("from the device, pieces of {name}");
        rows.push(Row::new("bytes", what, "MB/s", Goal::AtLeastBare(1.0)).of(&down.await?));
        let up = in_turns(
            effort.rounds,
            async || {
                let begun = Instant::now();
                let seen = ours::send(&probe, &piece, count).await?;
                Ok(rate(begun, seen)?)
            },
            async || {
                let begun = Instant::now();
                let seen = client.send(&piece, count).await?;
                Ok(rate(begun, seen)?)
            },
        );
        let what = format!("to the device, pieces of {name}");
        rows.push(Row::new("bytes", what, "MB/s", Goal::AtLeastBare(1.0)).of(&up.await?));
    }
    Ok(rows)
}

/// Time for everything that is closed to be given back.
const SETTLE: Duration = Duration::from_millis(1500);

/// Memory of one process before, with, and after many idle streams.
struct Held {
    before: u64,
    open: u64,
    closed: u64,
}

impl Held {
    fn each(&self, streams: usize) -> f64 {
        self.open.saturating_sub(self.before) as f64 / 1024.0 / streams as f64
    }

    fn kept(&self) -> f64 {
        self.closed.saturating_sub(self.before) as f64 / 1024.0
    }
}

/// Kibibytes per idle stream in the server's process.
pub(crate) async fn memory(effort: Effort) -> Outcome<Vec<Row>> {
    let streams = effort.of(STREAMS);
    let (ours, bare) = Server::both()?;
    let probe = ours::probe(&ours.socket).await?;
    let mut client = bare::Client::connect(&bare.socket).await?;

    // Whatever grows once, has grown then: the same number of streams, opened and closed before.
    let open_ours = async || {
        let mut open = Vec::with_capacity(streams);
        for _ in 0..streams {
            open.push(probe.source().await?);
        }
        Outcome::Ok(open)
    };
    let mut open_bare = async || {
        let mut open = Vec::with_capacity(streams);
        for _ in 0..streams {
            open.push(client.source().await?);
        }
        Outcome::Ok(open)
    };
    ours::receive(&probe, 1, 1).await?;
    tokio::time::sleep(SETTLE).await;
    let before = used(ours.id(), Memory::Resident)?;
    let opened = open_ours().await?;
    tokio::time::sleep(SETTLE).await;
    let open = used(ours.id(), Memory::Resident)?;
    drop(opened);
    tokio::time::sleep(SETTLE).await;
    let mine = Held { before, open, closed: used(ours.id(), Memory::Resident)? };
    // If nothing leaks, the second time takes up what the first one left.
    drop(open_ours().await?);
    tokio::time::sleep(SETTLE).await;
    let again = used(ours.id(), Memory::Resident)?.saturating_sub(mine.closed);

    let before = used(bare.id(), Memory::Resident)?;
    let opened = open_bare().await?;
    tokio::time::sleep(SETTLE).await;
    let open = used(bare.id(), Memory::Resident)?;
    drop(opened);
    tokio::time::sleep(SETTLE).await;
    let theirs = Held { before, open, closed: used(bare.id(), Memory::Resident)? };

    let row = |what: String, unit, goal, ours: f64, bare: f64| {
        let mut row = Row::new("memory", what, unit, goal).of(&[(ours, bare)]);
        row.to_bare = row.to_bare.filter(|_| bare > 0.0);
        row
    };
    let mut kept_again = Row::new("memory", "more after doing so once more", "KiB", Goal::None);
    kept_again.ours = Some(again as f64 / 1024.0);
    Ok(vec![
        row(
            format!("each of {streams} idle byte streams"),
            "KiB",
            Goal::AtMost(16.0),
            mine.each(streams),
            theirs.each(streams),
        ),
        row(
            "kept by the process after all of them are closed".to_owned(),
            "KiB",
            Goal::None,
            mine.kept(),
            theirs.kept(),
        ),
        kept_again,
    ])
}
