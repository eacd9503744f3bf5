//! What holds when somebody fails: for each party, fault and phase. Written down from what the documentation promises, never
//! from what was seen.

use std::{fmt, time::Duration};

/// Who fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    Client,
    Exporter,
    Router,
    Controller,
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// SIGKILL; somebody else starts it again, if it is a service.
    Killed,
    /// SIGSTOP, and later SIGCONT.
    Stopped,
    /// Nothing of it comes through, and nobody is told. When it comes through again, connections from before are lost.
    CutOff,
    /// Everything comes through late, and not much at a time.
    Slow,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Somebody else has the exporter.
    Waiting,
    /// `beforeLease` runs.
    Before,
    /// A shell is open, and nobody asks for anything.
    Idle,
    /// A call to a device is going on.
    Using,
    /// An image is half written.
    Flashing,
    /// `afterLease` runs.
    After,
}

pub(crate) const PARTIES: [Party; 4] = [Party::Client, Party::Exporter, Party::Router, Party::Controller];
pub(crate) const FAULTS: [Fault; 4] = [Fault::Killed, Fault::Stopped, Fault::CutOff, Fault::Slow];
pub(crate) const PHASES: [Phase; 6] =
    [Phase::Waiting, Phase::Before, Phase::Idle, Phase::Using, Phase::Flashing, Phase::After];

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Exporter => "exporter",
            Self::Router => "router",
            Self::Controller => "controller",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed => "killed",
            Self::Stopped => "stopped",
            Self::CutOff => "cut off",
            Self::Slow => "slow",
        })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Before => "before-hook",
            Self::Idle => "idle",
            Self::Using => "in use",
            Self::Flashing => "flashing",
            Self::After => "after-hook",
        })
    }
}

/// One field of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) party: Party,
    pub(crate) fault: Fault,
    pub(crate) phase: Phase,
}

impl fmt::Display for Cell {
    /// As it is called on the command line: `router_cut_off_in_use`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{}_{}_{}", self.party, self.fault, self.phase);
        f.write_str(&name.replace([' ', '-'], "_"))
    }
}

/// All of them.
pub(crate) fn cells() -> Vec<Cell> {
    let phases = |party, fault| PHASES.map(|phase| Cell { party, fault, phase });
    PARTIES.iter().flat_map(|party| FAULTS.map(|fault| phases(*party, fault))).flatten().collect()
}

/// What the user of the client reads while the fault lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// All of these are in it.
    pub(crate) words: &'static [&'static str],
    /// So soon after the fault has begun, but see [`lenient`].
    pub(crate) within: Duration,
}

/// What becomes of what was going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// It comes to its end, as if nothing had happened.
    Done,
    /// It fails, and is for the user to repeat.
    Lost,
    /// Nothing but a connection was there, and it is made again.
    Back,
    /// The exporter does it once more, and that comes to its end.
    Again,
    /// There is nobody left whom it is for.
    Dropped,
}

/// When what was going on can come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// While the fault lasts.
    During,
    /// It is free to while the fault lasts, and does when the fault is over.
    Across,
    /// When the fault is over.
    Afterwards,
}

/// What holds after the fault and the user's own session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Whoever asks has the exporter within [`BACK`].
    Free,
    /// The lease is there until it ends, which is what the next one is told; when it was deleted, within [`BACK`].
    Held,
}

/// How soon an exporter is usable again.
pub(crate) const BACK: Duration = Duration::from_secs(10);

/// How soon it is noticed that a router is gone.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// How much later something may be seen on a machine that has other things to do.
pub(crate) fn lenient(within: Duration) -> Duration {
    within.mul_f32(1.2)
}

/// How long routers wait for a sign of life of an exporter or a client: they ask after 20 s, and want to hear within 10 s.
const HALF_A_MINUTE: Duration = Duration::from_secs(30);

/// How long whoever waits for a lease waits for one answer: 20 s, after a pause of 5 s at most.
const LOOK: Duration = Duration::from_secs(25);

/// What holds in a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// What the user is told, and how soon. Nothing: the user need not notice.
    pub(crate) told: Option<Told>,
    /// Whether the exporter's log says, within [`SOON`], that its router is lost.
    pub(crate) exporter_says: bool,
    pub(crate) work: Work,
    pub(crate) when: When,
    pub(crate) then: Then,
}

/// What the log of an exporter says of a router that is lost.
pub(crate) const EXPORTER_SAYS: &[&str] = &["the connection to the router at", "is lost"];

/// The tunnel is lost on the way to the router.
const ROUTER_LOST: &[&str] = &["the connection to the router at", "was lost"];
/// The router has lost the other end.
const EXPORTER_LOST: &[&str] = &["the router at", "has lost the exporter"];
/// Whoever waits for a hook asks for it, and is not answered within 5 s.
const UNANSWERED: &[&str] = &["the exporter at rig does not answer", "connecting again"];
/// Nobody answers about the lease.
const AWAY: &[&str] = &["the controller at", "asking again in"];
/// The same, and the connection is known to be gone.
const GONE: &[&str] = &["the connection to the controller at", "asking again in"];

/// The user is told this, so soon.
fn told(words: &'static [&'static str], within: Duration) -> Expected {
    Expected { told: Some(Told { words, within }), ..UNNOTICED }
}

/// What holds in this cell.
pub(crate) fn expected(cell: Cell) -> Expected {
    match cell.party {
        _ if cell.fault == Fault::Slow => SLOW,
        Party::Client => client(cell.fault, cell.phase),
        Party::Exporter => exporter(cell.fault, cell.phase),
        Party::Router => router(cell.fault, cell.phase),
        Party::Controller => controller(cell.fault, cell.phase),
    }
}

/// Nobody notices.
const UNNOTICED: Expected =
    Expected { told: None, exporter_says: false, work: Work::Done, when: When::Afterwards, then: Then::Free };

/// Whatever is slow is slow, and nothing else.
const SLOW: Expected = Expected { when: When::During, ..UNNOTICED };

/// What was going on over the tunnel when it was lost. Hooks run at the exporter, so nothing is lost with those who watch: the
/// client connects again and sees them end. A call and an image are for the user to repeat.
fn over_the_tunnel(phase: Phase) -> Work {
    match phase {
        Phase::Waiting | Phase::Before | Phase::After => Work::Done,
        Phase::Idle => Work::Back,
        Phase::Using | Phase::Flashing => Work::Lost,
    }
}

fn client(fault: Fault, phase: Phase) -> Expected {
    match (fault, phase) {
        // The end was asked for before, so the exporter gives the lease back by itself. A stop is shorter than anybody's patience.
        (Fault::Killed, Phase::After) | (Fault::Stopped, _) => UNNOTICED,
        // Nobody gives the lease back, or the place in the queue.
        (Fault::Killed, _) => Expected { work: Work::Dropped, then: Then::Held, ..UNNOTICED },
        (_, Phase::Waiting) => told(AWAY, LOOK),
        // Routers are asked for a sign of life.
        _ => Expected { work: over_the_tunnel(phase), ..told(ROUTER_LOST, SOON) },
    }
}

fn exporter(fault: Fault, phase: Phase) -> Expected {
    match (fault, phase) {
        // It is somebody else's exporter, who keeps it.
        (_, Phase::Waiting) => UNNOTICED,
        // The kernel closes its connections. Started again, it goes on with the lease, with devices opened anew.
        (Fault::Killed, Phase::Before | Phase::After) => {
            Expected { work: Work::Again, ..told(EXPORTER_LOST, SOON) }
        }
        (Fault::Killed, _) => Expected { work: over_the_tunnel(phase), ..told(EXPORTER_LOST, SOON) },
        // Who waits for a hook looks whether it is through; a call and an image are waited for, and the router is the first to
        // notice. The exporter itself notices that its router is away.
        _ => Expected {
            exporter_says: fault == Fault::CutOff,
            work: over_the_tunnel(phase),
            ..match phase {
                Phase::Before | Phase::After => told(UNANSWERED, BACK),
                _ => told(EXPORTER_LOST, HALF_A_MINUTE),
            }
        },
    }
}

/// Leases stay, and the next tunnel takes another router: nobody waits for this one.
fn router(_: Fault, phase: Phase) -> Expected {
    match phase {
        Phase::Waiting => Expected { when: When::During, ..UNNOTICED },
        _ => Expected {
            exporter_says: true,
            work: over_the_tunnel(phase),
            when: When::During,
            ..told(ROUTER_LOST, SOON)
        },
    }
}

/// Sessions through a router elsewhere go on, and leases are what they were.
fn controller(fault: Fault, phase: Phase) -> Expected {
    match (phase, fault) {
        (Phase::Waiting, Fault::Killed) => told(GONE, BACK),
        (Phase::Waiting, _) => told(AWAY, LOOK),
        (Phase::Before | Phase::Idle | Phase::Using | Phase::Flashing, _) => {
            Expected { when: When::During, ..UNNOTICED }
        }
        // A lease is given back to a controller that is there.
        (Phase::After, _) => Expected { when: When::Across, ..UNNOTICED },
    }
}
