//! The runtimes that commands start when they need one, and what has to be chosen before they start.

use tokio::runtime::{Builder, Runtime};

use crate::{orphans, report::Stop};

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

/// Where the choice of a TLS implementation is made: in the program, not in its libraries. It is a few pointers; keys and
/// roots are read when the first connection needs them.
pub(crate) fn choose_tls() {
    // Somebody who calls this program as a library may have chosen another one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn started(builder: &mut Builder) -> Result<Runtime, Stop> {
    choose_tls();
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| Stop::infrastructure(format!("cannot start: {error}")))?;
    if orphans::is_first() {
        runtime.spawn(orphans::collect());
    }
    Ok(runtime)
}
