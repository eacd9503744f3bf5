//! What happens to an exporter, and what is to be done about it.

use jumpstarter_protocol::v1::ExporterStatus;

/// A lease, as the controller speaks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub name: String,
    /// Who has it; empty while that is unknown.
    pub client: String,
}

/// Which of the two hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the lease.
    Before,
    /// After the lease.
    After,
}

impl Moment {
    /// The key in the exporter file, which is also the name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "beforeLease",
            Self::After => "afterLease",
        }
    }
}

/// What a hook's end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on: LEASE_READY before, AVAILABLE after.
    Proceed,
    /// The hook's status is "failed"; the lease ends.
    Failed,
    /// The hook's status is "failed"; the exporter stops with exit code 1.
    FailedAndExit,
}

/// A status with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The status.
    pub status: ExporterStatus,
    /// Text for people.
    pub message: String,
    /// Whether the lease is to be released with it: the way of controllers that do not let exporters ask for that.
    pub release: bool,
}

impl Report {
    pub(crate) fn new(status: ExporterStatus, message: &str) -> Self {
        Self { status, message: message.to_owned(), release: false }
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// When nobody has the exporter.
    AfterLease,
    /// At once; `afterLease` runs all the same.
    Now,
}

/// What became of the request to release a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It is released, or was before, or is none of ours.
    Done,
    /// The controller does not take such requests from exporters.
    Unknown,
    /// The controller is away.
    Failed,
}

/// How an exporter ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Stopped,
    /// It was to serve one lease only, and has.
    LeaseOver,
    /// A hook failed that says `onFailure: exit`.
    Hook,
    /// The controller does not let it in.
    Refused,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It begins.
    Begin,
    /// The controller has registered the exporter.
    Registered,
    /// The controller says who has the exporter: at once on each connection, then with every change.
    Said(Option<Lease>),
    /// The controller could not be reached, or the connection was lost.
    Lost {
        /// The controller answered, and does not let this exporter in.
        refused: bool,
    },
    /// The controller has taken the report with this number.
    Reported(u64),
    /// It has not.
    ReportFailed {
        /// The report's number.
        number: u64,
        /// It never takes any.
        never: bool,
    },
    /// The devices of the lease are open, and the session is served.
    Opened,
    /// They cannot be opened.
    OpenFailed(String),
    /// A hook has ended.
    HookEnded {
        /// Which one.
        moment: Moment,
        /// What follows.
        verdict: Verdict,
        /// Words for the status.
        message: String,
    },
    /// A client has looked at the status, and was answered that `beforeLease` failed.
    Seen,
    /// The client has asked for the end of the session.
    EndSession,
    /// The request to release the lease of this name was answered.
    Released(String, Release),
    /// The session has ended, and the devices are closed.
    Closed,
    /// Somebody wants the exporter to stop.
    Stop(Stop),
    /// The controller knows that the exporter goes, or could not be told in time.
    Left,
    /// Time has passed.
    Tick,
}

/// What is to be done. What takes time is answered by an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Register. Answered by `Registered` or `Lost`.
    Register,
    /// Ask who has the exporter, and stay connected. Answered by any number of `Said`, then `Lost`.
    Watch,
    /// Tell the controller. Answered by `Reported` or `ReportFailed`.
    Report {
        /// The report's number.
        number: u64,
        /// What to tell.
        report: Report,
    },
    /// Listen for tunnels of this lease and open its devices. Answered by `Opened` or `OpenFailed`.
    Open(Lease),
    /// Tell those who are connected with the session. That `beforeLease` failed is answered by `Seen` when one has looked.
    Show(Report),
    /// Whether clients may use the devices.
    Admit(bool),
    /// The lease's client is now this one.
    Client(String),
    /// Run a hook. Answered by `HookEnded`.
    RunHook(Moment),
    /// End the hook that runs, which is then answered.
    CancelHook,
    /// No new tunnels.
    StopListening,
    /// Ask the controller to release the lease of this name. Answered by `Released`.
    Release(String),
    /// End the session and close the devices. Answered by `Closed`.
    Close,
    /// Tell the controller this, and that the exporter goes. Answered by `Left`, within ten seconds.
    Leave(Report),
    /// It is over.
    Exit(End),
}
