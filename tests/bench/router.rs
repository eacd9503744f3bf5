//! What it costs to carry bytes between two callers: our router beside a relay made of tonic, and beside a pump that knows no
//! messages.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};

use crate::{
    Effort, Outcome,
    process::{Memory, Server, memory},
    relays::{End, Pipe, Way},
    report::{Goal, Row, in_turns, median},
    storage::Watch,
};

/// Bytes per round, over all streams.
const VOLUME: usize = 128 << 20;

/// Sizes of messages.
const SIZES: [(&str, usize); 3] = [("16 KiB", 16 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];

/// Streams at once.
const STREAMS: u64 = 16;

/// Questions per round: of one stream, and of each of many.
const QUESTIONS: usize = 2_000;
const EACH: usize = 500;

/// Idle tunnels, each end on a connection of its own; twice as many descriptors must be allowed.
const IDLE: usize = 200;

/// Streams that are as busy as they can be.
const BUSY: u64 = 100;

/// Tunnels beside one whose reader has gone to sleep, and the connections that they share.
const CROWD: usize = 500;
const CONNECTIONS: usize = 10;

/// Questions of each of them, per round.
const CROWD_EACH: usize = 20;

/// Time for everything that is closed to be given back.
const SETTLE: Duration = Duration::from_millis(1500);

/// Names of tunnels: no two are the same while a server lives.
struct Names(u64);

impl Names {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Open tunnels, which are used again in every round.
type Tunnels = Vec<(End, End)>;

async fn open(way: &Way, names: &mut Names, count: u64) -> Outcome<Tunnels> {
    let mut tunnels = Vec::new();
    for _ in 0..count {
        tunnels.push(way.tunnel(names.next()).await?);
    }
    Ok(tunnels)
}

/// Megabytes per second through all of them together, from the near to the far ends.
async fn rate(tunnels: &mut Tunnels, payload: &Bytes, volume: usize) -> Outcome<f64> {
    let each = (volume / tunnels.len() / payload.len()).max(1);
    let total = each * payload.len() * tunnels.len();
    let begun = Instant::now();
    let mut all = JoinSet::new();
    for (index, (near, mut far)) in std::mem::take(tunnels).into_iter().enumerate() {
        let payload = payload.clone();
        all.spawn(async move {
            let sending = async {
                for _ in 0..each {
                    near.say(payload.clone()).await?;
                }
                Outcome::Ok(())
            };
            let hearing = async {
                let mut left = each * payload.len();
                while left > 0 {
                    left = left.saturating_sub(far.hear().await?.len());
                }
                Outcome::Ok(())
            };
            tokio::try_join!(sending, hearing)?;
            Outcome::Ok((index, near, far))
        });
    }
    let mut back = Vec::new();
    while let Some(done) = all.join_next().await {
        back.push(done??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    back.sort_by_key(|(index, ..)| *index);
    tunnels.extend(back.into_iter().map(|(_, near, far)| (near, far)));
    Ok(total as f64 / 1e6 / seconds)
}

/// The same through the pump.
async fn pumped(pipes: &mut Vec<(Pipe, Pipe)>, size: usize, volume: usize) -> Outcome<f64> {
    let each = (volume / pipes.len() / size).max(1);
    let total = each * size * pipes.len();
    let begun = Instant::now();
    let mut all = JoinSet::new();
    for (mut near, mut far) in std::mem::take(pipes) {
        all.spawn(async move {
            let sending = async {
                let piece = vec![0x5a; size];
                for _ in 0..each {
                    near.write_all(&piece).await?;
                }
                Outcome::Ok(near.flush().await?)
            };
            let hearing = async {
                let mut buffer = vec![0; size];
                let mut left = each * size;
                while left > 0 {
                    match far.read(&mut buffer).await? {
                        0 => return Err("the pump has ended".into()),
                        count => left = left.saturating_sub(count),
                    }
                }
                Outcome::Ok(())
            };
            tokio::try_join!(sending, hearing)?;
            Outcome::Ok((near, far))
        });
    }
    while let Some(done) = all.join_next().await {
        pipes.push(done??);
    }
    Ok(total as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

/// Microseconds from each question to its answer.
async fn ask(end: &mut End, questions: usize) -> Outcome<Vec<f64>> {
    let mut times = Vec::with_capacity(questions);
    for _ in 0..questions {
        let begun = Instant::now();
        end.say(Bytes::from_static(b"?")).await?;
        end.hear().await?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

/// Near ends of tunnels whose far ends answer.
fn answering(tunnels: Tunnels) -> Vec<End> {
    let answered = tunnels.into_iter().map(|(near, far)| {
        far.echo();
        near
    });
    answered.collect()
}

/// All of them ask at once; the times of all.
async fn ask_all(ends: &mut Vec<End>, questions: usize) -> Outcome<Vec<f64>> {
    let mut all = JoinSet::new();
    for mut end in std::mem::take(ends) {
        all.spawn(async move {
            let times = ask(&mut end, questions).await?;
            Outcome::Ok((end, times))
        });
    }
    let mut times = Vec::new();
    while let Some(done) = all.join_next().await {
        let (end, more) = done??;
        ends.push(end);
        times.extend(more);
    }
    Ok(times)
}

/// Round trips per second of all of them together.
async fn trips(ends: &mut Vec<End>, questions: usize) -> Outcome<f64> {
    let begun = Instant::now();
    let times = ask_all(ends, questions).await?;
    Ok(times.len() as f64 / begun.elapsed().as_secs_f64())
}

/// All figures of the router.
pub(crate) async fn take(effort: Effort) -> Outcome<Vec<Row>> {
    let mut rows = throughput(effort).await?;
    rows.extend(latency(effort).await?);
    rows.extend(idle(effort).await?);
    rows.push(busy(effort).await?);
    rows.extend(crowd(effort).await?);
    Ok(rows)
}

async fn throughput(effort: Effort) -> Outcome<Vec<Row>> {
    let (ours, relay, pump) = (Server::start("router")?, Server::start("relay")?, Server::start("pump")?);
    let (ours, relay, pump) = ((Way::to(&ours)?, ours), (Way::to(&relay)?, relay), (Way::to(&pump)?, pump));
    let mut names = Names(0);
    let volume = effort.of(VOLUME);
    let mut rows = Vec::new();
    for streams in [1, STREAMS] {
        let mut own = open(&ours.0, &mut names, streams).await?;
        let mut theirs = open(&relay.0, &mut names, streams).await?;
        let mut pipes = Vec::new();
        for _ in 0..streams {
            pipes.push(pump.0.pipe(names.next()).await?);
        }
        for (name, size) in SIZES {
            let payload = Bytes::from(vec![0x5a; size]);
            let what = format!("{streams} × messages of {name}");
            let pairs = in_turns(
                effort.rounds,
                async || rate(&mut own, &payload, volume).await,
                async || rate(&mut theirs, &payload, volume).await,
            );
            rows.push(Row::new("router", what.clone(), "MB/s", Goal::AtLeastBare(1.0)).of(&pairs.await?));
            let pairs = in_turns(
                effort.rounds.div_ceil(3),
                async || rate(&mut own, &payload, volume).await,
                async || pumped(&mut pipes, size, volume).await,
            );
            let what = format!("{what}, beside the pump");
            rows.push(Row::new("router", what, "MB/s", Goal::None).of(&pairs.await?));
        }
    }
    Ok(rows)
}

async fn latency(effort: Effort) -> Outcome<Vec<Row>> {
    let (ours, relay) = (Server::start("router")?, Server::start("relay")?);
    let (way, beside) = (Way::to(&ours)?, Way::to(&relay)?);
    let mut names = Names(0);
    let mut one = answering(open(&way, &mut names, 1).await?);
    let mut other = answering(open(&beside, &mut names, 1).await?);
    let questions = effort.of(QUESTIONS);
    let pairs = in_turns(
        effort.rounds,
        async || Ok(median(ask_all(&mut one, questions).await?).unwrap_or_default()),
        async || Ok(median(ask_all(&mut other, questions).await?).unwrap_or_default()),
    );
    let echo = Row::new("router", "an echo, p50", "µs", Goal::AtMostBare(1.1)).of(&pairs.await?);
    let mut own = answering(open(&way, &mut names, STREAMS).await?);
    let mut theirs = answering(open(&beside, &mut names, STREAMS).await?);
    let each = effort.of(EACH);
    let pairs = in_turns(
        effort.rounds,
        async || trips(&mut own, each).await,
        async || trips(&mut theirs, each).await,
    );
    let what = format!("round trips of {STREAMS} streams");
    Ok(vec![echo, Row::new("router", what, "1/s", Goal::AtLeastBare(0.95)).of(&pairs.await?)])
}

/// Memory of a process before, with, and after idle tunnels, in bytes.
async fn held(whose: &str, tunnels: usize) -> Outcome<[u64; 3]> {
    let server = Server::start(whose)?;
    let way = Way::to(&server)?;
    let mut names = Names(0);
    // Whatever grows once has grown then.
    drop(open(&way, &mut names, 4).await?);
    let resident = async || {
        tokio::time::sleep(SETTLE).await;
        memory(server.id(), Memory::Resident)
    };
    let before = resident().await?;
    let opened = open(&way, &mut names, tunnels as u64).await?;
    let with = resident().await?;
    drop(opened);
    Ok([before, with, resident().await?])
}

async fn idle(effort: Effort) -> Outcome<Vec<Row>> {
    let tunnels = effort.of(IDLE).max(20);
    let (ours, bare) = (held("router", tunnels).await?, held("relay", tunnels).await?);
    let kibibytes = |more: u64, less: u64| more.saturating_sub(less) as f64 / 1024.0;
    let each = |held: [u64; 3]| kibibytes(held[1], held[0]) / tunnels as f64;
    let kept = |held: [u64; 3]| kibibytes(held[2], held[0]);
    let what = format!("memory of each of {tunnels} idle tunnels, their connections included");
    Ok(vec![
        Row::new("router", what, "KiB", Goal::AtMostBare(1.0)).of(&[(each(ours), each(bare))]),
        Row::new("router", "memory kept after all of them are closed", "KiB", Goal::None)
            .of(&[(kept(ours), kept(bare))]),
    ])
}

/// The most memory that a server has above what it has idle, while many streams are as fast as they can be.
async fn most(whose: &str, volume: usize) -> Outcome<f64> {
    let server = Server::start(whose)?;
    let way = Way::to(&server)?;
    let mut tunnels = open(&way, &mut Names(0), BUSY).await?;
    tokio::time::sleep(SETTLE).await;
    let before = memory(server.id(), Memory::Own)?;
    let watch = Watch::start(server.id());
    rate(&mut tunnels, &Bytes::from(vec![0x5a; 64 << 10]), volume).await?;
    Ok(watch.most().saturating_sub(before) as f64 / f64::from(1 << 20))
}

async fn busy(effort: Effort) -> Outcome<Row> {
    let volume = effort.of(16 * VOLUME);
    let (ours, bare) = (most("router", volume).await?, most("relay", volume).await?);
    let what = format!("memory for {BUSY} streams at full speed, above idle");
    Ok(Row::new("router", what, "MiB", Goal::AtMost(64.0)).of(&[(ours, bare)]))
}

/// A server with many tunnels on few connections.
struct Crowd {
    asking: Vec<End>,
    /// Its far end is never read.
    asleep: Option<(End, End)>,
    _server: Server,
}

impl Crowd {
    async fn gather(whose: &str, tunnels: usize, with_sleeper: bool) -> Outcome<Self> {
        let server = Server::start(whose)?;
        let way = Way::to(&server)?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push((way.connect().await?, way.connect().await?));
        }
        let mut names = Names(0);
        let mut asking = Vec::new();
        for (_, (near, far)) in (1..tunnels).zip(connections.iter().cycle()) {
            asking.push(way.on(near, far, names.next()).await?);
        }
        let mut asleep = None;
        if let (true, Some((near, far))) = (with_sleeper, connections.first()) {
            let tunnel = way.on(near, far, names.next()).await?;
            let payload = Bytes::from(vec![0x5a; 64 << 10]);
            // As much as there is room for.
            while tokio::time::timeout(Duration::from_millis(500), tunnel.0.say(payload.clone()))
                .await
                .is_ok()
            {}
            asleep = Some(tunnel);
        }
        Ok(Self { asking: answering(asking), asleep, _server: server })
    }

    async fn p99(&mut self, questions: usize) -> Outcome<f64> {
        let mut times = ask_all(&mut self.asking, questions).await?;
        times.sort_by(f64::total_cmp);
        Ok(times.get(times.len() * 99 / 100).copied().unwrap_or_default())
    }
}

async fn crowd(effort: Effort) -> Outcome<Vec<Row>> {
    let (tunnels, each) = (effort.of(CROWD).max(50), effort.of(CROWD_EACH).max(5));
    let mut ours = Crowd::gather("router", tunnels, true).await?;
    let mut bare = Crowd::gather("relay", tunnels, true).await?;
    let pairs = in_turns(effort.rounds, async || ours.p99(each).await, async || bare.p99(each).await);
    let what = format!("an echo beside a reader that is asleep, {tunnels} tunnels, p99");
    let beside = Row::new("router", what, "µs", Goal::AtMostBare(1.2)).of(&pairs.await?);
    drop(bare);
    let mut awake = Crowd::gather("router", tunnels, false).await?;
    let pairs = in_turns(effort.rounds, async || ours.p99(each).await, async || awake.p99(each).await);
    let what = "the same; bare is our router without the one that is asleep";
    let alone = Row::new("router", what, "µs", Goal::AtMostBare(1.2)).of(&pairs.await?);
    drop(ours.asleep.take());
    Ok(vec![beside, alone])
}
