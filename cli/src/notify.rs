//! What a service manager is told: that the program is ready, what it does, that it is alive. It listens to the process that it
//! has started, so what another one has to say goes through that.
//!
//! The protocol is that of sd_notify(3): datagrams of `KEY=value` to the socket in `NOTIFY_SOCKET`.

use std::time::Duration;

use crate::line;

/// Tells the service manager, where there is one.
pub(crate) fn tell(state: &str) {
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    if line::tell(state) {
        return;
    }
    let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return };
    #[cfg(target_os = "linux")]
    let address = {
        use std::os::{linux::net::SocketAddrExt as _, unix::ffi::OsStrExt as _};
        match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&path),
        }
    };
    #[cfg(not(target_os = "linux"))]
    let address = SocketAddr::from_pathname(&path);
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!("cannot tell the service manager: {error}");
    }
}

/// How often the service manager wants to hear that the program is alive, if it does: `WATCHDOG_USEC`, of the process
/// `WATCHDOG_PID` if that is set.
pub(crate) fn watchdog() -> Option<Duration> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if variable("WATCHDOG_PID").is_some_and(|pid| pid.parse() != Ok(std::process::id())) {
        return None;
    }
    let limit = Duration::from_micros(variable("WATCHDOG_USEC")?.parse().ok()?);
    (!limit.is_zero()).then_some(limit)
}
