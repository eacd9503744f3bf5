//! Calls over a unix socket, one connection each.

use std::time::Instant;

use tokio::task::JoinSet;

use crate::{
    Effort, Outcome, bare, ours,
    process::Server,
    report::{Goal, Row, in_turns, median},
};

/// Calls in a row, per round.
const IN_A_ROW: usize = 2_000;

/// Callers at once, and how many calls each of them makes per round.
const CALLERS: usize = 16;
const EACH: usize = 1_000;

/// Messages per round of a streaming call.
const MESSAGES: usize = 100_000;

/// The median time of one call.
pub(crate) async fn unary(effort: Effort) -> Outcome<Vec<Row>> {
    let (ours, bare) = Server::both()?;
    let probe = ours::probe(&ours.socket).await?;
    let mut client = bare::Client::connect(&bare.socket).await?;
    let calls = effort.of(IN_A_ROW);
    let pairs = in_turns(
        effort.rounds,
        async || {
            let mut times = Vec::with_capacity(calls);
            for _ in 0..calls {
                let begun = Instant::now();
                probe.sample(7).await?;
                times.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            Ok(median(times).unwrap_or_default())
        },
        async || {
            let mut times = Vec::with_capacity(calls);
            for _ in 0..calls {
                let begun = Instant::now();
                client.sample(7).await?;
                times.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            Ok(median(times).unwrap_or_default())
        },
    );
    Ok(vec![Row::new("unary", "one call, p50", "µs", Goal::AtMostBare(1.15)).of(&pairs.await?)])
}

/// How many calls all callers together make in a second.
pub(crate) async fn callers(effort: Effort) -> Outcome<Vec<Row>> {
    let (ours, bare) = Server::both()?;
    let probe = ours::probe(&ours.socket).await?;
    let client = bare::Client::connect(&bare.socket).await?;
    let each = effort.of(EACH);
    let pairs = in_turns(
        effort.rounds,
        async || {
            let begun = Instant::now();
            let mut callers = JoinSet::new();
            for _ in 0..CALLERS {
                let probe = probe.clone();
                callers.spawn(async move {
                    for _ in 0..each {
                        probe.sample(7).await?;
                    }
                    Outcome::Ok(())
                });
            }
            callers.join_all().await.into_iter().collect::<Outcome<()>>()?;
            Ok((CALLERS * each) as f64 / begun.elapsed().as_secs_f64())
        },
        async || {
            let begun = Instant::now();
            let mut callers = JoinSet::new();
            for _ in 0..CALLERS {
                let mut client = client.clone();
                callers.spawn(async move {
                    for _ in 0..each {
                        client.sample(7).await?;
                    }
                    Outcome::Ok(())
                });
            }
            callers.join_all().await.into_iter().collect::<Outcome<()>>()?;
            Ok((CALLERS * each) as f64 / begun.elapsed().as_secs_f64())
        },
    );
    Ok(vec![Row::new("callers", "16 at once", "calls/s", Goal::AtLeastBare(0.9)).of(&pairs.await?)])
}

/// How many answers of one streaming call arrive in a second.
pub(crate) async fn stream(effort: Effort) -> Outcome<Vec<Row>> {
    let (ours, bare) = Server::both()?;
    let probe = ours::probe(&ours.socket).await?;
    let mut client = bare::Client::connect(&bare.socket).await?;
    let count = effort.of(MESSAGES);
    let wanted = u32::try_from(count)?;
    let pairs = in_turns(
        effort.rounds,
        async || {
            let begun = Instant::now();
            let mut readings = probe.samples(wanted).await?;
            let mut seen = 0;
            while let Some(reading) = readings.next().await {
                reading?;
                seen += 1;
            }
            all(seen, count)?;
            Ok(count as f64 / begun.elapsed().as_secs_f64())
        },
        async || {
            let begun = Instant::now();
            let mut readings = client.samples(wanted).await?;
            let mut seen = 0;
            while readings.message().await?.is_some() {
                seen += 1;
            }
            all(seen, count)?;
            Ok(count as f64 / begun.elapsed().as_secs_f64())
        },
    );
    Ok(vec![
        Row::new("stream", "answers of a streaming call", "messages/s", Goal::AtLeastBare(0.8))
            .of(&pairs.await?),
    ])
}

fn all(seen: usize, wanted: usize) -> Outcome<()> {
    if seen == wanted { Ok(()) } else { Err(format!("{seen} of {wanted} messages came").into()) }
}
