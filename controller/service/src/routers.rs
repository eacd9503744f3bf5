//! Which router a tunnel goes through: the nearest, of these the one that was handed out to the fewest tunnels, of these one
//! by chance.
//!
//! A controller hears of the tunnels that it hands out and never of their ends, and routers do not tell how much they carry.
//! What it does know is that a tunnel does not outlive its lease. So each tunnel counts for as long as its lease goes on: for
//! all routers alike, wherever they are.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jumpstarter_core::selector::Labels;
use jumpstarter_protocol::v1::ListenResponse;
use jumpstarter_router::{Tokens, token::now};
use tonic::Status;
use uuid::Uuid;

/// A router.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where clients and exporters reach it, `HOST:PORT`.
    pub endpoint: String,
    /// What it is near to. An exporter with the same labels prefers it.
    pub labels: Labels,
    /// How much it carries, and whether it takes more; nothing if that is not known.
    pub load: Load,
}

/// What is known of how busy a router is.
#[derive(Clone, Default)]
pub struct Load(Option<Arc<dyn Fn() -> Option<usize> + Send + Sync>>);

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Load(..)")
    }
}

impl Load {
    /// Of a router that can be asked: how many calls it carries, or nothing while it takes no new ones.
    pub fn asked(ask: impl Fn() -> Option<usize> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(ask)))
    }

    /// How many calls it carries; nothing if it must not be used.
    fn now(&self) -> Option<usize> {
        self.0.as_ref().map_or(Some(0), |ask| ask())
    }
}

/// How many tunnels were handed out to leases that go on, by router. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Handed(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    by_lease: HashMap<String, HashMap<String, usize>>,
    /// The sums of these.
    by_router: HashMap<String, usize>,
}

impl Counts {
    fn of(&self, router: &str) -> usize {
        self.by_router.get(router).copied().unwrap_or_default()
    }

    fn add(&mut self, lease: &str, router: &str) {
        *self.by_lease.entry(lease.to_owned()).or_default().entry(router.to_owned()).or_default() += 1;
        *self.by_router.entry(router.to_owned()).or_default() += 1;
    }

    fn take(&mut self, router: &str, tunnels: usize) {
        if let Some(count) = self.by_router.get_mut(router) {
            *count = count.saturating_sub(tunnels);
        }
    }

    /// One fewer, unless the lease is over and forgotten.
    fn take_back(&mut self, lease: &str, router: &str) {
        let Some(routers) = self.by_lease.get_mut(lease) else { return };
        let Some(count) = routers.get_mut(router).filter(|count| **count > 0) else { return };
        *count -= 1;
        if routers.values().all(|count| *count == 0) {
            self.by_lease.remove(lease);
        }
        self.take(router, 1);
    }

    fn forget(&mut self, lease: &str) {
        for (router, tunnels) in self.by_lease.remove(lease).unwrap_or_default() {
            self.take(&router, tunnels);
        }
    }
}

impl Handed {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This lease is over, and with it all of its tunnels.
    pub(crate) fn forget(&self, lease: &str) {
        self.counts().forget(lease);
    }

    /// All leases but these are over.
    pub(crate) fn keep<'a>(&self, going_on: impl Iterator<Item = &'a str>) {
        let going_on: HashSet<_> = going_on.collect();
        let mut counts = self.counts();
        let over = counts.by_lease.keys().filter(|lease| !going_on.contains(lease.as_str()));
        for lease in over.cloned().collect::<Vec<_>>() {
            counts.forget(&lease);
        }
    }
}

/// A tunnel that is handed out. It counts from the beginning, so that of many at once not all take the same router; one that
/// reaches nobody is taken back.
#[derive(Debug)]
pub struct Tunnel {
    /// Both ends of it.
    pub ends: ListenResponse,
    lease: String,
    handed: Handed,
    delivered: bool,
}

impl Tunnel {
    /// Both ends have it.
    pub fn delivered(mut self) -> ListenResponse {
        self.delivered = true;
        std::mem::take(&mut self.ends)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if !self.delivered {
            self.handed.counts().take_back(&self.lease, &self.ends.router_endpoint);
        }
    }
}

/// The routers of a lab, and what their tokens are signed with.
#[derive(Clone, Debug)]
pub struct Routers {
    tokens: Arc<Tokens>,
    routes: Arc<Vec<Route>>,
}

impl Routers {
    /// These routers, which know this key.
    pub fn new(tokens: Tokens, routes: Vec<Route>) -> Self {
        Self { tokens: Arc::new(tokens), routes: Arc::new(routes) }
    }

    /// A new tunnel of a lease to an exporter with these labels.
    ///
    /// # Errors
    /// When no router takes it, or no token can be made.
    pub fn tunnel(
        &self,
        exporter: &BTreeMap<String, String>,
        lease: &str,
        handed: &Handed,
    ) -> Result<Tunnel, Status> {
        let router_token = self.tokens.issue(&Uuid::new_v4().to_string(), now()).map_err(|error| {
            tracing::error!(error, "no token for a tunnel");
            Status::internal("unable to sign token")
        })?;
        let usable: Vec<_> =
            self.routes.iter().filter_map(|route| Some((route, route.load.now()?))).collect();
        let router_endpoint = {
            let mut counts = handed.counts();
            let best = usable.into_iter().max_by_key(|(route, load)| {
                let chance = Uuid::new_v4();
                let near = Nearness::of(exporter, &route.labels);
                (near, Reverse(counts.of(&route.endpoint)), Reverse(*load), chance)
            });
            let (route, _) = best.ok_or_else(|| Status::unknown("no router available"))?;
            counts.add(lease, &route.endpoint);
            route.endpoint.clone()
        };
        let ends = ListenResponse { router_endpoint, router_token };
        Ok(Tunnel { ends, lease: lease.to_owned(), handed: handed.clone(), delivered: false })
    }
}

/// How near a router is to an exporter. The greater, the nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Nearness {
    /// No label of the router has another value at the exporter: what is near to another site is the last choice.
    agrees: bool,
    /// How many of the router's labels the exporter has. Exporters have labels that say nothing about a place, so those that
    /// the router lacks do not count.
    shared: usize,
}

impl Nearness {
    fn of(exporter: &BTreeMap<String, String>, router: &Labels) -> Self {
        let known = router.iter().filter_map(|(key, value)| Some((exporter.get(key)?, value)));
        let (shared, others) = known.partition::<Vec<_>, _>(|(one, other)| one == other);
        Self { agrees: others.is_empty(), shared: shared.len() }
    }
}

#[cfg(test)]
mod tests {
    use jumpstarter_router::Key;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn routers(routes: Vec<Route>) -> Routers {
        Routers::new(Tokens::new(Key::Fixed(b"key".to_vec())), routes)
    }

    fn chosen(routes: Vec<Route>, exporter: &Labels) -> Result<String, Status> {
        let tunnel = routers(routes).tunnel(exporter, "lease", &Handed::default())?;
        Ok(tunnel.delivered().router_endpoint)
    }

    fn route(endpoint: &str, of: &[(&str, &str)], load: Option<usize>) -> Route {
        Route { endpoint: endpoint.to_owned(), labels: labels(of), load: Load::asked(move || load) }
    }

    /// How often each of these was taken for tunnels of a lease that reach their ends.
    fn taken(
        routers: &Routers,
        exporter: &Labels,
        lease: &str,
        handed: &Handed,
        tunnels: usize,
    ) -> Vec<usize> {
        let mut counts = vec![0; routers.routes.len()];
        for _ in 0..tunnels {
            let taken = routers.tunnel(exporter, lease, handed).unwrap().delivered().router_endpoint;
            counts[routers.routes.iter().position(|route| route.endpoint == taken).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn the_nearest_router_is_taken_then_the_one_with_least_to_do() {
        let near = [("room", "2")];
        let routes = || {
            vec![
                route("far:1", &[], Some(0)),
                route("near:1", &near, Some(9)),
                route("near:2", &near, Some(3)),
            ]
        };
        assert_eq!(chosen(routes(), &labels(&near)).unwrap(), "near:2");
        assert_eq!(chosen(routes(), &labels(&[("room", "3")])).unwrap(), "far:1");
    }

    #[test]
    fn a_router_is_near_by_its_own_labels_whatever_else_the_exporter_has() {
        let exporter = labels(&[("board", "six"), ("site", "north"), ("room", "2")]);
        let north = || route("north:1", &[("site", "north")], Some(50));
        for others in [
            // Near to another place.
            vec![route("south:1", &[("site", "south")], Some(0))],
            // Near to nothing.
            vec![route("any:1", &[], Some(0))],
            // Here and somewhere else at once.
            vec![route("other:1", &[("site", "north"), ("room", "3"), ("board", "six")], Some(0))],
            // Of something that nothing is known about.
            vec![route("other:1", &[("rack", "4")], Some(0))],
        ] {
            let before = others.iter().cloned().chain([north()]).collect();
            assert_eq!(chosen(before, &exporter).unwrap(), "north:1", "{others:?}");
            let after = [north()].into_iter().chain(others.clone()).collect();
            assert_eq!(chosen(after, &exporter).unwrap(), "north:1", "{others:?}");
        }
        let nearer = route("room:1", &[("site", "north"), ("room", "2")], Some(99));
        assert_eq!(chosen(vec![north(), nearer], &exporter).unwrap(), "room:1");
        // What contradicts is better than nothing.
        let south = || route("south:1", &[("site", "south")], Some(0));
        assert_eq!(chosen(vec![south()], &exporter).unwrap(), "south:1");
        assert_eq!(chosen(vec![south(), route("any:1", &[], Some(9))], &exporter).unwrap(), "any:1");
    }

    #[test]
    fn tunnels_spread_over_routers_of_which_nothing_is_known_but_that_they_are_there() {
        let there =
            || vec![route("a:1", &[], Some(0)), route("b:1", &[], Some(0)), route("c:1", &[], Some(0))];
        let routers = routers(there());
        assert_eq!(taken(&routers, &Labels::new(), "one", &Handed::default(), 60), [20, 20, 20]);
    }

    #[test]
    fn a_tunnel_counts_until_its_lease_is_over_or_if_it_reaches_nobody() {
        let site = [("site", "north")];
        let routers = routers(vec![route("north:1", &site, Some(0)), route("any:1", &[], Some(0))]);
        let (north, anywhere, handed) = (labels(&site), Labels::new(), Handed::default());
        assert_eq!(taken(&routers, &north, "one", &handed, 6), [6, 0]);
        assert_eq!(taken(&routers, &anywhere, "two", &handed, 4), [0, 4]);
        handed.forget("one");
        assert_eq!(taken(&routers, &anywhere, "two", &handed, 4), [4, 0]);
        assert_eq!(taken(&routers, &north, "three", &handed, 2), [2, 0]);
        handed.keep(["three"].into_iter());
        assert_eq!(taken(&routers, &anywhere, "four", &handed, 2), [0, 2]);
        // As many again that nobody hears of.
        for _ in 0..9 {
            drop(routers.tunnel(&north, "three", &handed).unwrap());
        }
        assert_eq!(taken(&routers, &anywhere, "four", &handed, 4), [2, 2]);
        // One that was on its way when its lease ended.
        let late = routers.tunnel(&north, "three", &handed).unwrap();
        handed.keep([].into_iter());
        drop(late);
        let counts = handed.counts();
        assert!(
            counts.by_lease.is_empty() && counts.by_router.values().all(|count| *count == 0),
            "{counts:?}"
        );
    }

    #[test]
    fn of_routers_that_are_alike_none_is_the_first_by_its_name() {
        let first = || {
            let routers = routers(vec![route("a:1", &[], Some(0)), route("b:1", &[], Some(0))]);
            taken(&routers, &Labels::new(), "one", &Handed::default(), 1)[0]
        };
        let of_a: usize = (0..100).map(|_| first()).sum();
        // By chance it goes wrong once in 2^99 times.
        assert!((1..100).contains(&of_a), "{of_a}");
    }

    #[test]
    fn a_router_that_drains_is_never_handed_out() {
        let routes = vec![route("down:1", &[("room", "2")], None), route("up:1", &[], Some(100))];
        assert_eq!(chosen(routes, &labels(&[("room", "2")])).unwrap(), "up:1");
        let none = chosen(vec![route("down:1", &[], None)], &Labels::new()).unwrap_err();
        assert_eq!((none.code(), none.message()), (tonic::Code::Unknown, "no router available"));
    }
}
