//! One typed dispatch for both wire languages, and the object-safe edge where the runtime holds a driver.
//!
//! Generated code on the driver's side is one `match`: [`Args`] become typed arguments, the method is called, and
//! [`reply`] erases what it returned. On the client's side it is one line: [`Sending`] collects the arguments and
//! [`Target::call`](crate::client::Target::call) turns the answer back into the method's type.
//!
//! | Module | Responsibility |
//! |---|---|
//! | `arguments` | from what arrived to the types that the method takes |
//! | `outcome` | from what the method returned to what is sent, and back |
//! | `sending` | arguments on their way out |

mod arguments;
mod outcome;
mod sending;

use std::{pin::Pin, sync::Arc};

use futures::FutureExt as _;

use crate::{
    Error, ErrorKind, Result,
    describe::{Exclusive, Interface},
    log::Doing,
};

pub use arguments::{Args, Argument, Attached, Payload, Reader, Rest};
pub use outcome::{Answer, Encode, Outcome, Reply, Returned};
pub use sending::{Language, Sending};

/// A call in progress.
pub type Calling = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

/// Erases a method call.
pub fn calling(call: impl Future<Output = Result<Reply>> + Send + 'static) -> Calling {
    Box::pin(call)
}

/// Erases a method call whose result is not a [`Reply`] yet.
pub fn reply<R: Outcome>(call: impl Future<Output = Result<R>> + Send + 'static) -> Calling {
    Box::pin(call.map(|result| result.map(Outcome::into_reply)))
}

/// Erases a call of a method that blocks: it runs on the blocking pool.
pub fn blocking(call: impl FnOnce() -> Result<Reply> + Send + 'static) -> Calling {
    Box::pin(async move {
        let doing = Doing::current();
        let call = move || {
            let _doing = Doing::resume(doing);
            call()
        };
        match tokio::task::spawn_blocking(call).await {
            Ok(result) => result,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::cancelled("the exporter is shutting down")),
            },
        }
    })
}

/// Waits for a client's answer from a method that blocks. Works from any thread that belongs to a runtime.
pub fn wait<T: Send>(call: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return Err(Error::internal("a blocking client call outside of a tokio runtime"));
    };
    // A thread of its own: blocking the current one is forbidden when it drives the runtime.
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(call)).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// For indices that no method has.
pub fn unknown() -> Calling {
    Box::pin(std::future::ready(Err(Error::new(ErrorKind::MethodNotFound, "no such method"))))
}

/// The object-safe side of a driver: what the runtime holds.
pub trait Dispatch: Send + Sync {
    /// Starts the method with this index of the interface.
    fn call(&self, method: usize, args: Args) -> Calling;
}

/// A driver behind [`Dispatch`], with the lock for its exclusive methods.
pub struct Hosted<T> {
    interface: &'static Interface,
    driver: Arc<T>,
    dispatch: fn(Arc<T>, usize, Args) -> Calling,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl<T: Send + Sync + 'static> Hosted<T> {
    /// Hosts a driver's side of one interface. `dispatch` is the generated function.
    pub fn new(
        interface: &'static Interface,
        driver: Arc<T>,
        dispatch: fn(Arc<T>, usize, Args) -> Calling,
    ) -> Self {
        Self { interface, driver, dispatch, lock: Arc::default() }
    }
}

impl<T: Send + Sync + 'static> Dispatch for Hosted<T> {
    fn call(&self, method: usize, args: Args) -> Calling {
        let exclusive = self.interface.methods.get(method).map_or(Exclusive::No, |method| method.exclusive);
        if exclusive == Exclusive::No {
            return (self.dispatch)(self.driver.clone(), method, args);
        }
        let (lock, driver, dispatch) = (self.lock.clone(), self.driver.clone(), self.dispatch);
        Box::pin(async move {
            let guard = match exclusive {
                Exclusive::Fail => {
                    lock.try_lock_owned().map_err(|_| Error::busy("another call is in progress"))?
                }
                _ => lock.lock_owned().await,
            };
            let reply = dispatch(driver, method, args).await?;
            Ok(match reply {
                // The call lasts until its last item.
                Reply::Stream(stream) => Reply::Stream(stream.map(move |item| {
                    let _held = &guard;
                    Ok(item)
                })),
                other => other,
            })
        })
    }
}

/// One interface of a driver instance.
#[derive(Clone)]
pub struct Provided {
    /// Which.
    pub interface: &'static Interface,
    /// How to call it.
    pub dispatch: Arc<dyn Dispatch>,
}

impl Provided {
    /// Hosts a driver's side of one interface.
    pub fn new<T: Send + Sync + 'static>(
        interface: &'static Interface,
        driver: Arc<T>,
        dispatch: fn(Arc<T>, usize, Args) -> Calling,
    ) -> Self {
        Self { interface, dispatch: Arc::new(Hosted::new(interface, driver, dispatch)) }
    }
}

impl std::fmt::Debug for Provided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Provided({})", self.interface.name)
    }
}
