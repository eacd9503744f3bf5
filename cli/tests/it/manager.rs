//! A service manager that is told how a service is, as systemd is (sd_notify(3)).

use std::{os::unix::net::UnixDatagram, path::PathBuf, process::Command, time::Duration};

use crate::support::Place;

pub(crate) struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    /// Everything so far.
    heard: Vec<String>,
}

impl Manager {
    pub(crate) fn new(place: &Place) -> Self {
        let path = place.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self { socket, path, heard: Vec::new() }
    }

    /// Has a program tell it how it is, and that it lives five times a second.
    pub(crate) fn looks_after<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", "200000")
    }

    /// Waits until it is told something of which this is true; `what` that is.
    pub(crate) fn hears_that(&mut self, what: &str, is_true: impl Fn(&str) -> bool) {
        let mut buffer = [0; 1024];
        loop {
            let received = self.socket.recv(&mut buffer);
            let count = received.unwrap_or_else(|error| panic!("{what}: {error}, heard {:?}", self.heard));
            let line = String::from_utf8_lossy(&buffer[..count]).into_owned();
            let found = is_true(&line);
            self.heard.push(line);
            if found {
                return;
            }
        }
    }

    /// Waits until it is told this.
    pub(crate) fn hears(&mut self, wanted: &str) {
        self.hears_that(wanted, |line| line == wanted);
    }

    /// Everything that it was told.
    pub(crate) fn heard(&self) -> &[String] {
        &self.heard
    }
}
