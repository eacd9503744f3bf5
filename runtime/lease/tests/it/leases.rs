//! Asking, waiting, holding, giving back.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use jumpstarter_core::{ErrorClass, ErrorKind};
use jumpstarter_driver_power::DRIVERS;
use jumpstarter_interfaces::PowerClient;
use jumpstarter_lease::{
    Access, Acquiring, Choice, Controller, Held, Leased, Observer, Over, Progress, Term, Waits, Wanted,
    choose,
    controller::{Changes, Exporters},
    leased::lease,
};
use jumpstarter_testing::{Bench, serve_text};
use tokio::sync::mpsc::{Sender, channel};

use crate::{
    lab::{Lab, Passage, soon, wanted},
    rig::Rig,
};

const POWER: &str = "export: {power: {type: mock-power}}\n";

async fn bench() -> Bench {
    serve_text("power.yaml", POWER, &[DRIVERS]).await.unwrap()
}

/// A lab with one exporter, which has a supply.
async fn lab() -> (Lab, Bench, Rig) {
    let mut lab = Lab::start().await;
    let bench = bench().await;
    let rig = lab.rig("rig", &bench.socket()).await;
    (lab, bench, rig)
}

async fn leased(file: &Path) -> Leased {
    soon(lease().client_config(file).selector("board=demo")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_leads_to_the_devices_and_is_given_back() {
    let (mut lab, bench, _rig) = lab().await;
    let me = lab.client("me").await;
    for _ in 0..2 {
        let rig = leased(&me).await;
        assert_eq!(rig.lease().exporter(), "rig");
        let power: PowerClient = rig.client("power").unwrap();
        power.on().await.unwrap();
        assert!(power.read().await.unwrap().collect().await.unwrap()[1].voltage > 4.0);
        let name = rig.lease().name().to_owned();
        assert!(!lab.has_ended(&name).await);
        soon(rig.release()).await.unwrap();
        assert!(lab.has_ended(&name).await);
    }
    assert!(bench.stop().await.is_empty());
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_test_gives_the_lease_back_before_the_test_has_ended() {
    let (mut lab, _bench, _rig) = lab().await;
    let me = lab.client("me").await;
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    // As a test harness does it: a thread for the test, with a runtime of its own that ends with it.
    let test = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rig = leased(&me).await;
            tell.send(rig.lease().name().to_owned()).unwrap();
            assert_eq!(rig.device().devices().count(), 0, "this fails");
        });
    });
    let ended = tokio::task::spawn_blocking(|| test.join()).await.unwrap();
    assert!(ended.unwrap_err().downcast_ref::<String>().unwrap().contains("this fails"));
    let name = told.recv().unwrap();
    assert!(lab.has_ended(&name).await);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_k8_a_lease_that_was_there_is_not_given_back() {
    let (mut lab, _bench, _rig) = lab().await;
    let (me, other) = (lab.client("me").await, lab.client("other").await);
    let owner = lab.held(&me).await;
    let name = owner.name().to_owned();
    let guest = soon(lease().client_config(&me).existing(&name)).await.unwrap();
    guest.client::<PowerClient>("power").unwrap().on().await.unwrap();
    guest.release().await.unwrap();
    drop(soon(lease().client_config(&me).existing(&name)).await.unwrap());
    assert!(!lab.has_ended(&name).await);

    let refused = soon(lease().client_config(&other).existing(&name)).await.unwrap_err();
    assert_eq!(
        refused.message(),
        format!("lease {name} belongs to client 'me', not the current client 'other'")
    );
    owner.release().await.unwrap();
    let refused = soon(lease().client_config(&me).existing(&name)).await.unwrap_err();
    assert_eq!(refused.message(), format!("lease {name} has already ended"));
    let refused = soon(lease().client_config(&me).existing("none")).await.unwrap_err();
    assert_eq!((refused.kind(), refused.message()), (ErrorKind::Usage, "there is no lease \"none\""));
    lab.stop().await;
}

/// What an observer was told while it waited.
fn heard() -> (Observer, Arc<Mutex<Vec<String>>>) {
    let all: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = all.clone();
    let observer = Observer::new(move |progress| {
        into.lock().unwrap().push(match progress {
            Progress::Asking { what, .. } => format!("asking: {what}"),
            Progress::Waiting { why, .. } => format!("waiting: {why}"),
            Progress::Away { why, .. } => format!("away: {why}"),
            Progress::Got { exporter, .. } => format!("got: {exporter}"),
        });
    });
    (observer, all)
}

async fn says(all: &Arc<Mutex<Vec<String>>>, words: &str) {
    soon(async {
        while !all.lock().unwrap().iter().any(|line| line.contains(words)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Says that it is gone.
struct Gone(Sender<String>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.try_send("gone".to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_the_first_answer_is_shown_until_it_is_over_and_no_later_one_is() {
    let mut lab = Lab::start().await;
    let me = lab.client("me").await;
    let (told, mut shown) = channel(16);
    let waits = Waits::new(Duration::from_millis(1), move |whom| {
        told.try_send(whom.to_owned()).unwrap();
        Box::new(Gone(told.clone()))
    });
    let access = Access::new(&choose(&Choice::File(me), &|_| None).unwrap(), &|_| None).unwrap();
    let whom = format!("the controller at {}", access.endpoint);
    // The connection does not come about, then it does.
    lab.way.set(Passage::Frozen);
    let connecting = tokio::spawn(Controller::connect_showing(access, waits));
    assert_eq!(soon(shown.recv()).await, Some(whom.clone()));
    lab.way.set(Passage::Open);
    let controller = soon(connecting).await.unwrap().unwrap();
    assert_eq!(soon(shown.recv()).await.as_deref(), Some("gone"));
    let ask = || {
        let controller = controller.clone();
        tokio::spawn(async move { controller.exporters(&Exporters::default()).await })
    };
    // Nobody waits any more.
    lab.way.set(Passage::Frozen);
    let call = ask();
    assert_eq!(soon(shown.recv()).await.as_ref(), Some(&whom));
    call.abort();
    assert_eq!(soon(shown.recv()).await.as_deref(), Some("gone"));
    // The answer is there.
    let call = ask();
    assert_eq!(soon(shown.recv()).await, Some(whom));
    lab.way.set(Passage::Open);
    soon(call).await.unwrap().unwrap();
    assert_eq!(soon(shown.recv()).await.as_deref(), Some("gone"));
    // Whoever waits later knows what for.
    lab.way.set(Passage::Frozen);
    let mut call = ask();
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut call).await.is_err());
    lab.way.set(Passage::Open);
    soon(call).await.unwrap().unwrap();
    assert!(shown.try_recv().is_err());
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_told_why_and_at_which_place_and_gets_it_in_the_end() {
    let (mut lab, _bench, _rig) = lab().await;
    let (me, other) = (lab.client("me").await, lab.client("other").await);
    let first = lab.held(&me).await;
    let (observer, all) = heard();
    let controller = lab.controller(&other).await;
    let mut second = Acquiring::start(controller, wanted(), Duration::from_mins(1), observer).unwrap();
    says(&all, "place 1 of 1").await;
    assert!(all.lock().unwrap()[1].starts_with("waiting: 1 exporter matches, leased to another"));
    first.release().await.unwrap();
    let second = soon(second.wait()).await.unwrap();
    assert_eq!(second.exporter(), "rig");
    let all = all.lock().unwrap().clone();
    assert_eq!((all[0].as_str(), all.last().unwrap().as_str()), ("asking: selector board=demo", "got: rig"));
    drop(second);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_k1_giving_up_while_waiting_leaves_no_lease() {
    let (mut lab, _bench, _rig) = lab().await;
    let (me, other) = (lab.client("me").await, lab.client("other").await);
    let first = lab.held(&me).await;
    let controller = lab.controller(&other).await;
    for drops in [false, true] {
        let (observer, all) = heard();
        let wanted = Wanted { name: Some(format!("given-up-{drops}")), ..wanted() };
        let waiting = Acquiring::start(controller.clone(), wanted, Duration::from_mins(1), observer).unwrap();
        says(&all, "waiting").await;
        if drops {
            drop(waiting);
        } else {
            soon(waiting.cancel()).await;
        }
        assert!(lab.has_ended(&format!("given-up-{drops}")).await);
    }
    first.release().await.unwrap();
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_refused_with_the_reason() {
    let (mut lab, _bench, _rig) = lab().await;
    let me = lab.client("me").await;
    for (request, says) in [
        (lease().selector("board=none"), "the lease cannot be satisfied: "),
        (lease().exporter("none"), "the lease cannot be satisfied: exporter `none` does not exist"),
        (lease(), "a lease needs to know which exporter"),
        (lease().selector("board in"), "invalid selector"),
    ] {
        let refused = soon(request.client_config(&me)).await.unwrap_err();
        assert!(refused.message().contains(says), "{refused}");
        assert_eq!(refused.kind(), ErrorKind::Usage, "{refused}");
    }
    let first = lab.held(&me).await;
    let late = soon(lease().client_config(&me).selector("board=demo").timeout(Duration::from_millis(500)));
    let late = late.await.unwrap_err();
    assert_eq!(late.kind().class(), ErrorClass::Infrastructure, "{late}");
    assert!(late.message().contains("acquisition timed out after"), "{late}");
    first.release().await.unwrap();
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_k4_a_controller_that_is_away_for_a_moment_does_not_end_the_wait() {
    let (mut lab, _bench, mut rig) = lab().await;
    let (me, other) = (lab.client("me").await, lab.client("other").await);
    let first = lab.held(&me).await;
    // An exporter that is cut before it has said so would be taken for a free one afterwards.
    soon(rig.ready()).await;
    let (observer, all) = heard();
    let controller = lab.controller(&other).await;
    let mut second = Acquiring::start(controller, wanted(), Duration::from_mins(1), observer).unwrap();
    says(&all, "waiting").await;
    lab.way.set(Passage::Cut);
    says(&all, "away").await;
    lab.way.set(Passage::Open);
    // Giving it back goes through the same cut, and is tried until it has come through.
    soon(first.release()).await.unwrap();
    // The exporter of this test does not come back after a cut; that the lease is waited for all the same is what counts.
    let (before, more) = (all.lock().unwrap().len(), async {
        while all.lock().unwrap().last().is_none_or(|last| !last.starts_with("waiting")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    soon(more).await;
    assert!(all.lock().unwrap().len() >= before);
    tokio::select! {
        ended = second.wait() => panic!("it did not wait: {ended:?}"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    soon(second.cancel()).await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_when_its_time_is_over_unless_it_gets_more() {
    let (mut lab, _bench, _rig) = lab().await;
    let me = lab.client("me").await;
    let controller = lab.controller(&me).await;
    let short = Wanted { duration: Some(Duration::from_secs(3)), ..wanted() };
    let mut acquiring =
        Acquiring::start(controller, short, Duration::from_secs(30), Observer::default()).unwrap();
    let held = soon(acquiring.wait()).await.unwrap();
    let ends = |held: &Held| match &*held.term().borrow() {
        Term::Held { ends, soon } => {
            assert!(soon, "three seconds are soon");
            ends.unwrap()
        }
        other @ Term::Over(_) => panic!("{other:?}"),
    };
    let before = ends(&held);
    held.extend(Duration::from_secs(2)).await.unwrap();
    assert!(ends(&held) > before + Duration::from_secs(1));
    assert_eq!(soon(held.ended()).await, Over::Expired);
    assert!(held.is_over());
    held.release().await.unwrap();
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_somebody_ends_is_over_here_as_well() {
    let (mut lab, _bench, _rig) = lab().await;
    let me = lab.client("me").await;
    let rig = leased(&me).await;
    let controller = lab.controller(&me).await;
    controller.delete_lease(rig.lease().name()).await.unwrap();
    // The exporter hangs up, which is what makes somebody look.
    let power: PowerClient = rig.client("power").unwrap();
    soon(async { while power.on().await.is_ok() {} }).await;
    assert!(matches!(soon(rig.lease().ended()).await, Over::Ended(_)));
    soon(rig.release()).await.unwrap();
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_k2_a_lease_that_was_handed_on_is_told_as_such() {
    let (mut lab, _bench, _rig) = lab().await;
    let (me, _) = (lab.client("me").await, lab.client("other").await);
    let rig = leased(&me).await;
    let controller = lab.controller(&me).await;
    let changes = Changes { to: Some("other".to_owned()), ..Changes::default() };
    let changed = controller.update_lease(rig.lease().name(), changes).await.unwrap();
    assert_eq!(changed.client, "other");
    let tunnels = jumpstarter_lease::Tunnels::new(rig.lease(), Duration::from_secs(5));
    let refused = soon(tunnels.open()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Permission);
    assert!(refused.message().contains("was handed to another client"), "{refused}");
    assert!(matches!(soon(rig.lease().ended()).await, Over::Transferred(_)));
    let name = rig.lease().name().to_owned();
    // It is not ours to end any more, and that is no failure.
    soon(rig.release()).await.unwrap();
    assert!(!lab.has_ended(&name).await);
    lab.stop().await;
}
