//! How a party fails, and how that ends.

use rustix::process::Signal;
use tokio::time::Instant;

use crate::{
    expected::{Cell, Fault, Party},
    lab::Bench,
    phases::User,
    process::Program,
    proxy::Link,
};

fn program<'a>(bench: &'a mut Bench, user: &'a mut User, party: Party) -> &'a mut Program {
    match party {
        Party::Client => &mut user.shell,
        Party::Exporter => &mut bench.exporter,
        Party::Router => &mut bench.router,
        Party::Controller => &mut bench.controller,
    }
}

/// Treats every connection that a party has like this.
fn treat(bench: &Bench, party: Party, link: Link) {
    match party {
        // The party is one end of them, whichever the other is.
        Party::Client | Party::Exporter => {
            bench.to_controller.treat(Some(party), link);
            bench.to_router.treat(Some(party), link);
        }
        Party::Router => bench.to_router.treat(None, link),
        Party::Controller => {
            bench.to_controller.treat(None, link);
            // It looks whether the router is there.
            bench.to_router.treat(Some(party), link);
        }
    }
}

/// From now on.
pub(crate) async fn begin(bench: &mut Bench, user: &mut User, cell: Cell) -> Result<(), String> {
    let party = program(bench, user, cell.party);
    match cell.fault {
        Fault::Killed => {
            party.signal(Signal::KILL);
            party.ended(Instant::now() + crate::lab::PATIENCE).await?;
        }
        Fault::Stopped => party.stop().await,
        Fault::CutOff => treat(bench, cell.party, Link::Silent),
        Fault::Slow => treat(bench, cell.party, Link::Slow),
    }
    Ok(())
}

/// It is over: a service that was killed is started again, as by whatever looks after it.
pub(crate) async fn end(bench: &mut Bench, user: &mut User, cell: Cell) -> Result<(), String> {
    match (cell.fault, cell.party) {
        (Fault::Killed, Party::Client) => Ok(()),
        (Fault::Killed, Party::Exporter) => bench.start_exporter().await,
        (Fault::Killed, Party::Router) => bench.start_router().await,
        (Fault::Killed, Party::Controller) => bench.start_controller().await,
        (Fault::Stopped, party) => {
            program(bench, user, party).go_on();
            Ok(())
        }
        (Fault::CutOff | Fault::Slow, party) => {
            treat(bench, party, Link::Open);
            Ok(())
        }
    }
}
