//! The client's side of an interface: [`Target`] behind every generated client.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{
    Call, Error, Result,
    describe::Interface,
    dispatch::{Args, Dispatch, Language, Outcome, Provided, Reply, Sending},
    instance::Instance,
};

/// What a generated client talks to: a driver in this process, or one behind a connection.
#[derive(Clone)]
pub enum Target {
    /// A driver in this process.
    Local(Arc<dyn Dispatch>),
    /// A driver behind a connection.
    Remote(Arc<dyn Remote>),
}

/// A driver instance behind a connection. The body is in `jumpstarter-client`, so that crates with interfaces need no
/// sockets.
pub trait Remote: Send + Sync {
    /// Which language the peer understands for this interface. Decided from its report, before any call.
    fn language(&self, interface: &'static Interface) -> Language;

    /// Makes a call.
    fn call(
        &self,
        interface: &'static Interface,
        method: usize,
        sending: Sending,
    ) -> BoxFuture<'static, Result<Reply>>;
}

impl Target {
    /// A target in this process.
    pub fn local(provided: Provided) -> Self {
        Self::Local(provided.dispatch)
    }

    /// Begins to collect the arguments of a call.
    pub fn args(&self, interface: &'static Interface, method: usize) -> Sending {
        let language = match self {
            Self::Local(_) => Language::Native,
            Self::Remote(remote) => remote.language(interface),
        };
        Sending::new(&interface.methods[method], language)
    }

    /// Makes the call.
    pub async fn reply(
        &self,
        interface: &'static Interface,
        method: usize,
        sending: Sending,
    ) -> Result<Reply> {
        match self {
            Self::Local(dispatch) => {
                let (payload, attached) = sending.finish()?;
                dispatch.call(method, Args::new(payload, Call::default()).with_attached(attached)).await
            }
            Self::Remote(remote) => remote.call(interface, method, sending).await,
        }
    }

    /// Makes the call and turns the answer into the method's type.
    pub async fn call<R: Outcome>(
        &self,
        interface: &'static Interface,
        method: usize,
        sending: Sending,
    ) -> Result<R> {
        self.reply(interface, method, sending).await.and_then(R::from_reply)
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Local(_) => "Target(local)",
            Self::Remote(_) => "Target(remote)",
        })
    }
}

/// A generated client.
pub trait Client: Clone + Send + Sync + Sized + 'static {
    /// What it can call.
    const INTERFACE: &'static Interface;

    /// A client of this target.
    fn from_target(target: Target) -> Self;

    /// What it talks to.
    fn target(&self) -> &Target;

    /// A client of a driver instance in this process, if it provides the interface.
    fn from_instance(instance: &Instance) -> Result<Self> {
        match instance.provides.iter().find(|provided| std::ptr::eq(provided.interface, Self::INTERFACE)) {
            Some(provided) => Ok(Self::from_target(Target::local(provided.clone()))),
            None => Err(Error::configuration(format!(
                "driver `{}` does not provide {}; it provides {}",
                instance.type_name,
                Self::INTERFACE.name,
                instance
                    .provides
                    .iter()
                    .map(|provided| provided.interface.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            ))),
        }
    }
}
