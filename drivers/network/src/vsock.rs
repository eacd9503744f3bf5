//! A virtual machine on the exporter's machine, or the host that it runs on.

use jumpstarter::{Io, Result, config, driver};
use jumpstarter_interfaces::Network;

/// Where to connect to.
#[config]
#[derive(Clone, Debug)]
pub struct VsockNetworkConfig {
    /// Context identifier: 2 is the host, 1 this machine, from 3 on they are virtual machines (vsock(7)).
    #[unit = "context identifier"]
    #[schemars(extend("examples" = [3]))]
    pub cid: u32,
    /// Port.
    #[unit = "vsock port"]
    #[schemars(extend("examples" = [22]))]
    pub port: u32,
}

/// A vsock connection for each caller. Only where the kernel has vsock, which is Linux.
#[driver(
    type = "vsock-network",
    provides(Network),
    config = VsockNetworkConfig,
    open = VsockNetwork::new,
    aliases("jumpstarter_driver_network.driver.VsockNetwork")
)]
#[derive(Debug)]
pub struct VsockNetwork {
    config: VsockNetworkConfig,
}

impl VsockNetwork {
    /// Connects to this place.
    pub fn new(config: VsockNetworkConfig) -> Self {
        Self { config }
    }
}

#[cfg(target_os = "linux")]
impl Network for VsockNetwork {
    async fn connect(&self) -> Result<Io> {
        use tokio_vsock::{VsockAddr, VsockStream};

        use crate::place::{Wire, within};

        let VsockNetworkConfig { cid, port } = self.config;
        let place = format!("vsock {cid}:{port}");
        let connecting = async {
            VsockStream::connect(VsockAddr::new(cid, port)).await.map_err(|error| worded(error, cid))
        };
        Ok(Io::new(Wire::new(within(&place, connecting).await?, &place)))
    }
}

#[cfg(target_os = "linux")]
impl crate::place::Transport for tokio_vsock::VsockStream {}

/// The kernel's words for what is missing are hardly ever understood.
#[cfg(target_os = "linux")]
fn worded(error: std::io::Error, cid: u32) -> std::io::Error {
    use std::io::ErrorKind;

    use jumpstarter::{Error, ErrorKind as Kind};
    use rustix::io::Errno;

    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    if is(Errno::AFNOSUPPORT) {
        let text = "this kernel has no vsock: load the module vhost_vsock (or vsock_loopback for this machine itself)";
        return Error::new(Kind::Unsupported, text).caused_by(error).into();
    }
    // A socket that nobody carries: no virtual machine with that identifier, or no transport at all.
    if is(Errno::NODEV) || is(Errno::NXIO) || error.kind() == ErrorKind::NetworkUnreachable {
        return Error::new(Kind::Absent, format!("there is no virtual machine with the identifier {cid}"))
            .caused_by(error)
            .into();
    }
    error
}

#[cfg(not(target_os = "linux"))]
impl Network for VsockNetwork {
    async fn connect(&self) -> Result<Io> {
        Err(jumpstarter::Error::unsupported_because("only Linux has vsock"))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io;

    use jumpstarter::{Error, ErrorKind};
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_the_kernel_lacks_is_said_in_words() {
        let said = |errno: Errno| {
            let error = Error::from(worded(io::Error::from_raw_os_error(errno.raw_os_error()), 7));
            (error.kind(), error.message().to_owned())
        };
        let (kind, text) = said(Errno::AFNOSUPPORT);
        assert_eq!(kind, ErrorKind::Unsupported);
        assert!(text.starts_with("this kernel has no vsock: load the module"), "{text}");
        let absent = (ErrorKind::Absent, "there is no virtual machine with the identifier 7".to_owned());
        assert_eq!(said(Errno::NODEV), absent);
        assert_eq!(said(Errno::CONNREFUSED).0, ErrorKind::Disconnected);
    }
}
