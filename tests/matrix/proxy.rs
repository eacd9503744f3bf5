//! What stands between the parties: a TCP proxy that knows whose connections it carries, and can treat them badly.
//!
//! Whose a connection is, the kernel says: the inode of the socket at its far end is a file descriptor of one of the
//! processes. So the files of clients and exporters are those that people have, with one address for everybody.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{expected::Party, process::with_worker};

/// How bad a slow connection is: the time from one end to the other, and how many bytes in a second.
pub(crate) const LATENCY: Duration = Duration::from_millis(150);
/// See [`LATENCY`].
pub(crate) const RATE: u32 = 256 * 1024;

/// How many bytes are carried at once.
const PIECE: usize = 16 * 1024;
/// How much may be on its way in one direction of a slow connection.
const UNDER_WAY: usize = 64;

/// What happens to the bytes of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// They come through.
    #[default]
    Open,
    /// Nothing comes through, and nobody is told: not even that the far end has closed.
    Silent,
    /// They come late, and not many at a time.
    Slow,
}

/// What happens to whose connections, and how often it was lifted that nothing comes through.
#[derive(Clone, Debug, Default)]
struct Rules {
    of: HashMap<Party, Link>,
    all: Link,
    healed: u32,
}

impl Rules {
    fn link(&self, owner: Option<Party>) -> Link {
        match owner.and_then(|owner| self.of.get(&owner)) {
            Some(link) if *link != Link::Open => *link,
            _ => self.all,
        }
    }
}

/// Which processes belong to whom; shared by all proxies of a lab.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners(Arc<Mutex<HashMap<u32, Party>>>);

impl Owners {
    pub(crate) fn add(&self, process: u32, party: Party) {
        lock(&self.0).insert(process, party);
    }

    /// Whose the socket at this address of this machine is.
    fn of(&self, address: SocketAddr) -> Option<Party> {
        let inode = inode(address)?;
        let socket = format!("socket:[{inode}]");
        let processes = lock(&self.0).clone();
        let has = |process: &u32| {
            let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten();
            files.filter_map(Result::ok).any(|file| {
                std::fs::read_link(file.path()).is_ok_and(|path| path.as_os_str() == socket.as_str())
            })
        };
        processes.iter().find(|(process, _)| with_worker(**process).iter().any(has)).map(|(_, party)| *party)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The inode of the socket with this local address, from the kernel's table.
fn inode(address: SocketAddr) -> Option<u64> {
    let SocketAddr::V4(address) = address else { return None };
    let local = format!("{:08X}:{:04X}", u32::from_le_bytes(address.ip().octets()), address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        (words.nth(1) == Some(local.as_str())).then(|| words.nth(7)?.parse().ok()).flatten()
    })
}

/// A proxy; it ends with this.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    target: Arc<Mutex<Option<SocketAddr>>>,
    rules: watch::Sender<Rules>,
    open: Arc<Mutex<HashMap<Option<Party>, usize>>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens, and leads nowhere yet.
    pub(crate) async fn start(owners: Owners) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let target = Arc::new(Mutex::new(None));
        let open = Arc::new(Mutex::new(HashMap::new()));
        let (rules, seen) = watch::channel(Rules::default());
        let (to, counts) = (target.clone(), open.clone());
        let task = tokio::spawn(async move {
            while let Ok((near, address)) = listener.accept().await {
                let owner = owners.of(address);
                let (to, seen) = (*lock(&to), seen.clone());
                let counted = Counted::new(counts.clone(), owner);
                tokio::spawn(async move {
                    let _counted = counted;
                    // Where nobody listens, the connection is closed, as it would be refused.
                    let Some(to) = to else { return };
                    let carried = Carried { owner, rules: seen };
                    let _ = carried.carry(near, to).await;
                });
            }
        });
        Ok(Self { port, target, rules, open, task })
    }

    /// Where it leads from now on.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *lock(&self.target) = Some(target);
    }

    /// Treats the connections of a party like this, those of everybody if none is named.
    pub(crate) fn treat(&self, party: Option<Party>, link: Link) {
        self.rules.send_modify(|rules| {
            let before = match party {
                Some(party) => rules.of.insert(party, link).unwrap_or_default(),
                None => std::mem::replace(&mut rules.all, link),
            };
            // A firewall that lets somebody through again knows nothing of the connections from before.
            if before == Link::Silent && link != Link::Silent {
                rules.healed += 1;
            }
        });
    }

    /// How many connections somebody has.
    pub(crate) fn connections(&self, party: Party) -> usize {
        lock(&self.open).get(&Some(party)).copied().unwrap_or_default()
    }
}

/// One that is counted as long as it is there.
struct Counted {
    counts: Arc<Mutex<HashMap<Option<Party>, usize>>>,
    owner: Option<Party>,
}

impl Counted {
    fn new(counts: Arc<Mutex<HashMap<Option<Party>, usize>>>, owner: Option<Party>) -> Self {
        *lock(&counts).entry(owner).or_default() += 1;
        Self { counts, owner }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.counts).get_mut(&self.owner) {
            *count -= 1;
        }
    }
}

/// A connection.
#[derive(Clone)]
struct Carried {
    owner: Option<Party>,
    rules: watch::Receiver<Rules>,
}

impl Carried {
    async fn carry(mut self, near: TcpStream, to: SocketAddr) -> io::Result<()> {
        let healed = self.rules.borrow_and_update().healed;
        // One that comes while nothing comes through hears nothing until that is over, and then that it is lost.
        let was_silent = self.link() == Link::Silent;
        self.passable().await;
        if was_silent {
            return reset(&near);
        }
        let far = TcpStream::connect(to).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let ends = (near.into_split(), far.into_split());
        let (((near_in, near_out), (far_in, far_out)), mut rules) = (ends, self.rules.clone());
        let owner = self.owner;
        let (mut up, mut down) =
            (tokio::spawn(self.clone().pump(near_in, far_out)), tokio::spawn(self.pump(far_in, near_out)));
        let mut silent = false;
        let (mut up_ended, mut down_ended) = (None, None);
        loop {
            tokio::select! {
                half = &mut up, if up_ended.is_none() => up_ended = Some(half),
                half = &mut down, if down_ended.is_none() => down_ended = Some(half),
                changed = rules.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let now = rules.borrow_and_update().clone();
                    if silent && now.healed != healed && now.link(owner) != Link::Silent {
                        break;
                    }
                    silent |= now.link(owner) == Link::Silent;
                }
            }
            let broken = |end: &Option<Result<io::Result<()>, _>>| !matches!(end, None | Some(Ok(Ok(()))));
            if broken(&up_ended) || broken(&down_ended) || (up_ended.is_some() && down_ended.is_some()) {
                break;
            }
        }
        // Whatever still runs is dropped with its halves, which closes both ends at once.
        up.abort();
        down.abort();
        Ok(())
    }

    fn link(&mut self) -> Link {
        self.rules.borrow_and_update().link(self.owner)
    }

    /// Waits until bytes come through.
    async fn passable(&mut self) {
        while self.link() == Link::Silent {
            if self.rules.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn pump(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        // What is on its way, and when it arrives; nothing for the end.
        let mut under_way: VecDeque<(Instant, Option<Vec<u8>>)> = VecDeque::new();
        let mut buffer = vec![0; PIECE];
        let mut ended = false;
        let mut free = Instant::now();
        loop {
            self.passable().await;
            let due = under_way.front().map(|(due, _)| *due);
            let mut watched = self.rules.clone();
            tokio::select! {
                biased;
                _ = watched.changed() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let Some((_, piece)) = under_way.pop_front() else { continue };
                    let Some(piece) = piece else { return to.shutdown().await };
                    to.write_all(&piece).await?;
                }
                read = from.read(&mut buffer), if !ended && under_way.len() < UNDER_WAY => {
                    let count = read?;
                    let now = Instant::now();
                    let due = match self.link() {
                        Link::Slow => {
                            let takes = Duration::from_secs(1) * u32::try_from(count).unwrap_or(u32::MAX) / RATE;
                            free = free.max(now) + takes;
                            free + LATENCY
                        }
                        Link::Open | Link::Silent => now,
                    };
                    // Nothing overtakes what was sent before.
                    let due = due.max(under_way.back().map_or(due, |(last, _)| *last));
                    ended = count == 0;
                    under_way.push_back((due, (count > 0).then(|| buffer[..count].to_vec())));
                }
            }
        }
    }
}

/// Ends a connection as one that nobody knows.
fn reset(stream: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).map_err(io::Error::from)
}

/// Waits until nobody of a party is connected, so long.
pub(crate) async fn gone(proxies: &[&Proxy], party: Party, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while proxies.iter().any(|proxy| proxy.connections(party) > 0) {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
    true
}
