//! Which router a tunnel goes through.

use std::{collections::BTreeMap, sync::Arc};

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

    /// Both ends of a new tunnel to an exporter with these labels.
    ///
    /// # Errors
    /// When no router takes it, or no token can be made.
    pub fn tunnel(&self, exporter: &BTreeMap<String, String>) -> Result<ListenResponse, Status> {
        let usable = self.routes.iter().filter_map(|route| Some((route, route.load.now()?)));
        let (route, _) = usable
            .max_by_key(|(route, load)| (score(exporter, &route.labels), std::cmp::Reverse(*load)))
            .ok_or_else(|| Status::unknown("no router available"))?;
        let token = self.tokens.issue(&Uuid::new_v4().to_string(), now()).map_err(|error| {
            tracing::error!(error, "no token for a tunnel");
            Status::internal("unable to sign token")
        })?;
        Ok(ListenResponse { router_endpoint: route.endpoint.clone(), router_token: token })
    }
}

/// How near a router is: the labels of an exporter that it shares, or less than none if it lacks one.
fn score(exporter: &BTreeMap<String, String>, router: &Labels) -> i64 {
    if exporter.iter().any(|(key, value)| router.get(key) != Some(value)) {
        return -1;
    }
    i64::try_from(exporter.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use jumpstarter_router::Key;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn chosen(routes: Vec<Route>, exporter: &Labels) -> Result<String, Status> {
        let routers = Routers::new(Tokens::new(Key::Fixed(b"key".to_vec())), routes);
        routers.tunnel(exporter).map(|tunnel| tunnel.router_endpoint)
    }

    fn route(endpoint: &str, of: &[(&str, &str)], load: Option<usize>) -> Route {
        Route { endpoint: endpoint.to_owned(), labels: labels(of), load: Load::asked(move || load) }
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
    fn a_router_that_drains_is_never_handed_out() {
        let routes = vec![route("down:1", &[("room", "2")], None), route("up:1", &[], Some(100))];
        assert_eq!(chosen(routes, &labels(&[("room", "2")])).unwrap(), "up:1");
        let none = chosen(vec![route("down:1", &[], None)], &Labels::new()).unwrap_err();
        assert_eq!((none.code(), none.message()), (tonic::Code::Unknown, "no router available"));
    }
}
