//! A lease that is there already: the one that was named, or the only one that the user has.

use std::{fmt::Write as _, io::IsTerminal as _};

use jumpstarter_lease::{
    Access, Controller, Held,
    controller::Leases,
    lease::{Lease, Standing},
    leased::fits,
};

use super::{Asked, SOURCE, notice};
use crate::{
    client,
    report::Stop,
    style::{self, printable},
    table,
    words::Place,
};

/// Connects to the controller, and finds the lease that is to be used, if there is one already.
pub(super) async fn connect(access: Access, asked: &Asked) -> Result<(Controller, Option<Held>), Stop> {
    let controller = client::connect(access).await?;
    let nothing = asked.wanted.selector.is_empty() && asked.wanted.exporter.is_none();
    let name = match &asked.existing {
        Some(name) => name.clone(),
        None if nothing => own(&controller, &asked.place).await?,
        None => return Ok((controller, None)),
    };
    let held = Held::existing(&controller, &name).await?;
    if fits(&held.lease(), &asked.wanted) {
        tracing::info!(source = SOURCE, "Using existing lease {name}");
        return Ok((controller, Some(held)));
    }
    let other = held.lease().asks_for();
    notice(&format!(
        "{} lease {name} is for {}, not for {}: another lease is asked for, and given back in the end",
        style::warning(),
        printable(&other),
        asked.wanted.what()
    ));
    Ok((controller, None))
}

/// The lease that the user has anyway.
async fn own(controller: &Controller, place: &Place) -> Result<String, Stop> {
    let all = controller.leases(&Leases::default()).await?;
    let me = &controller.access().name;
    let mine: Vec<_> =
        all.into_iter().filter(|lease| lease.client == *me && lease.over().is_none()).collect();
    match mine.as_slice() {
        [] => Err(place.wrong(
            "no active leases found. Use --selector/-l or --name/-n to create one, or create a lease with 'jmp create \
             lease'.",
        )),
        [lease] => Ok(lease.name.clone()),
        several => {
            let mut list = String::from("Multiple active leases found:\n\n");
            for (at, lease) in several.iter().enumerate() {
                let _ = writeln!(list, "  {}) {}\n     {}", at + 1, lease.name, described(lease));
            }
            if !std::io::stdin().is_terminal() {
                return Err(place.wrong(format!("{list}\nName one with --lease.")));
            }
            notice(&list);
            pick(several)
        }
    }
}

fn described(lease: &Lease) -> String {
    let mut parts = Vec::new();
    if !lease.exporter.is_empty() {
        parts.push(format!("exporter={}", lease.exporter));
    }
    if lease.selector != "<none>" && !lease.selector.is_empty() {
        parts.push(format!("selector={}", lease.selector));
    }
    if let Some(ends) = lease.ends().filter(|_| lease.standing() == Standing::Ready) {
        parts.push(format!("expires {}", table::local(ends)));
    }
    printable(&parts.join(", "))
}

fn pick(several: &[Lease]) -> Result<String, Stop> {
    loop {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr().lock(),
            format!("Select a lease [1-{}]: ", several.len()).as_bytes(),
        );
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line).unwrap_or(0) == 0 {
            return Err(Stop::usage("Aborted!"));
        }
        let chosen = line.trim().parse::<usize>().ok().and_then(|number| several.get(number.checked_sub(1)?));
        if let Some(lease) = chosen {
            return Ok(lease.name.clone());
        }
        notice(&format!("Error: '{}' is none of them.", printable(line.trim())));
    }
}
