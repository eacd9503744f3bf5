//! The runtimes that commands start when they need one.

use tokio::runtime::{Builder, Runtime};

use crate::report::Stop;

/// For exporters: drivers must not hold each other up. More threads than this wait for work that is not there.
const THREADS: usize = 4;

/// With several threads.
pub(crate) fn threads() -> Result<Runtime, Stop> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(2, THREADS);
    started(Builder::new_multi_thread().worker_threads(threads))
}

/// With the thread that is there: what one client command needs.
pub(crate) fn single() -> Result<Runtime, Stop> {
    started(&mut Builder::new_current_thread())
}

fn started(builder: &mut Builder) -> Result<Runtime, Stop> {
    builder.enable_all().build().map_err(|error| Stop::failed(format!("cannot start: {error}")))
}
