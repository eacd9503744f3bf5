//! The threads that leases live on. A test's own runtime ends with the test, also when it panics; what has to be said to a
//! controller then needs one that does not.

use std::sync::OnceLock;

use jumpstarter_core::{Error, Result};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

/// One for what moves bytes, one for what waits.
const THREADS: usize = 2;

/// The runtime; started when it is first needed, and ended with the process.
pub(crate) fn runtime() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<Result<Runtime>> = OnceLock::new();
    let started = RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name("jumpstarter-lease").enable_all();
        builder.build().map_err(|error| Error::from(error).context("starting threads for leases"))
    });
    started.as_ref().map(Runtime::handle).map_err(Clone::clone)
}

/// Starts a task there.
pub(crate) fn spawn<F>(task: F) -> Result<JoinHandle<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    Ok(runtime()?.spawn(task))
}

/// Carries something out there: what it opens belongs to that runtime and not to the caller's.
pub(crate) async fn run<T, F>(task: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    match spawn(task)?.await {
        Ok(result) => result,
        Err(error) => Err(Error::internal(format!("the work for a lease ended early: {error}"))),
    }
}

/// Whether the caller is one of these threads: they must not wait for each other.
pub(crate) fn is_here() -> bool {
    match (Handle::try_current(), runtime()) {
        (Ok(here), Ok(ours)) => here.id() == ours.id(),
        _ => false,
    }
}
