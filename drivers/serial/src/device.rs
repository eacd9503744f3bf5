//! A port that is a device file.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    path::Path,
    sync::Arc,
};

use bytes::{Buf as _, BytesMut};
use futures::future::BoxFuture;
use jumpstarter::{Error, ErrorKind, Result, log::Logger};
use rustix::{
    fs::{FlockOperation, flock, fstat, major},
    io::Errno,
    termios::{self, ControlModes, OptionalActions},
};
use serial2::{CharSize, FlowControl, KeepSettings, StopBits};
use tokio::io::unix::AsyncFd;

use crate::{
    config::{Flow, Parity, Settings},
    holders,
    port::{Input, Line, Lines, Opened, Output},
};

/// Major numbers of the slave sides of pseudo-terminals (Linux, `Documentation/admin-guide/devices.txt`).
const PSEUDO_TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;

/// How much is read at once: what the kernel's buffer of a terminal holds.
const READ: usize = 4096;

/// An open device file; given back to others when it is dropped.
struct Device {
    file: AsyncFd<Reserved>,
    name: String,
}

/// A device file that nobody else may open meanwhile.
///
/// The lock (`flock`) is what terminal programs agree on, and it ends with the process. Programs that ask for no lock are
/// kept out by the terminal itself, which refuses to be opened once more, root excepted. A pseudo-terminal would go on
/// refusing after this process has died, so only the lock is used there.
struct Reserved {
    port: serial2::SerialPort,
    closed_to_others: bool,
}

impl Reserved {
    fn take(port: serial2::SerialPort, path: &Path, logger: &Logger) -> Result<Self> {
        match flock(port.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(busy(path)),
            // File systems without locks have none to respect.
            Err(error) => logger.warn(format!("{} cannot be locked: {error}", path.display())),
        }
        let pseudo = fstat(port.as_fd()).is_ok_and(|stat| PSEUDO_TERMINALS.contains(&major(stat.st_rdev)));
        let closed_to_others = !pseudo && termios::ioctl_tiocexcl(port.as_fd()).is_ok();
        Ok(Self { port, closed_to_others })
    }
}

impl AsRawFd for Reserved {
    fn as_raw_fd(&self) -> RawFd {
        self.port.as_raw_fd()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.closed_to_others {
            // A device that is gone needs no permission for anybody.
            let _ = termios::ioctl_tiocnxcl(self.port.as_fd());
        }
    }
}

fn busy(path: &Path) -> Error {
    let holders = holders::of(path);
    let who = match holders.as_slice() {
        [] => "by another device of this exporter".to_owned(),
        names => format!("by {}", names.join(", ")),
    };
    Error::new(ErrorKind::Busy, format!("{} is in use {who}", path.display()))
}

/// Opens and configures a device file.
pub(crate) async fn open(
    path: &Path,
    settings: &Settings,
    disable_hupcl: bool,
    logger: &Logger,
) -> Result<Opened> {
    let (owned, settings, log) = (path.to_owned(), *settings, logger.clone());
    // A terminal may have to be waited for.
    let opened = tokio::task::spawn_blocking(move || open_now(&owned, settings, disable_hupcl, &log)).await;
    let reserved = opened.map_err(|error| Error::internal(error.to_string()))??;
    let device = Arc::new(Device { file: register(reserved)?, name: path.display().to_string() });
    Ok(Opened { input: Box::new(device.clone()), output: Box::new(device.clone()), lines: device })
}

#[expect(unsafe_code, reason = "the trait that would promise this does not exist in tokio")]
fn register(reserved: Reserved) -> io::Result<AsyncFd<Reserved>> {
    // SAFETY: the descriptor is open and belongs to `reserved`, which neither closes nor replaces it before it is dropped,
    // and always names this one.
    Ok(unsafe { AsyncFd::register(reserved) }?)
}

fn open_now(path: &Path, settings: Settings, disable_hupcl: bool, logger: &Logger) -> Result<Reserved> {
    let shown = path.display();
    // Its settings stay as they are until it is known that nobody else uses it.
    let port = serial2::SerialPort::open(path, KeepSettings).map_err(|error| {
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => {
                Error::new(ErrorKind::Absent, format!("there is no {shown}: is the device plugged in?"))
            }
            Some(Errno::ACCESS) => Error::new(
                ErrorKind::Permission,
                format!("this exporter may not open {shown}: its user has to be in the group of that file"),
            ),
            Some(Errno::BUSY) => busy(path),
            Some(Errno::NOTTY | Errno::INVAL | Errno::ISDIR) => not_a_port(path),
            _ => Error::from(error).context(format_args!("opening {shown}")),
        }
    })?;
    let mut reserved = Reserved::take(port, path, logger)?;
    apply(&mut reserved.port, settings).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOTTY) => not_a_port(path),
        _ => Error::from(error).context(format_args!("{shown} does not take the settings {settings}")),
    })?;
    if disable_hupcl && let Err(error) = keep_dtr(&reserved.port) {
        logger.warn(format!("{shown}: DTR will drop when the port is closed: {error}"));
    }
    Ok(reserved)
}

fn not_a_port(path: &Path) -> Error {
    Error::configuration(format!("{} is no serial port", path.display()))
}

fn apply(port: &mut serial2::SerialPort, wanted: Settings) -> io::Result<()> {
    let mut settings = port.get_configuration()?;
    settings.set_raw();
    settings.set_baud_rate(wanted.baudrate)?;
    settings.set_char_size(match wanted.bytesize {
        5 => CharSize::Bits5,
        6 => CharSize::Bits6,
        7 => CharSize::Bits7,
        _ => CharSize::Bits8,
    });
    settings.set_parity(match wanted.parity {
        Parity::None => serial2::Parity::None,
        Parity::Even => serial2::Parity::Even,
        Parity::Odd => serial2::Parity::Odd,
    });
    settings.set_stop_bits(if wanted.stopbits == 2 { StopBits::Two } else { StopBits::One });
    settings.set_flow_control(match wanted.flow {
        Flow::None => FlowControl::None,
        Flow::Characters => FlowControl::XonXoff,
        Flow::Lines => FlowControl::RtsCts,
    });
    port.set_configuration(&settings)?;
    // A line without a modem has no carrier to wait for, and loses none.
    let mut modes = termios::tcgetattr(port.as_fd())?;
    modes.control_modes.insert(ControlModes::CLOCAL | ControlModes::CREAD);
    Ok(termios::tcsetattr(port.as_fd(), OptionalActions::Now, &modes)?)
}

/// Closing the port will not drop DTR.
fn keep_dtr(port: &serial2::SerialPort) -> io::Result<()> {
    let mut settings = termios::tcgetattr(port.as_fd())?;
    settings.control_modes.remove(ControlModes::HUPCL);
    Ok(termios::tcsetattr(port.as_fd(), OptionalActions::Now, &settings)?)
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
        };
        write!(f, "{} {}{parity}{}", self.baudrate, self.bytesize, self.stopbits)?;
        match self.flow {
            Flow::None => Ok(()),
            Flow::Characters => f.write_str(" XON/XOFF"),
            Flow::Lines => f.write_str(" RTS/CTS"),
        }
    }
}

impl Device {
    /// A terminal whose other side is gone can be read, and gives nothing, or says that input and output fail.
    fn gone(&self) -> io::Error {
        let text = format!("{} is gone: unplugged, or its other end was closed", self.name);
        io::Error::new(io::ErrorKind::ConnectionReset, text)
    }

    fn explain(&self, error: Errno) -> io::Error {
        match error {
            Errno::IO | Errno::NODEV | Errno::NXIO => self.gone(),
            other => io::Error::new(io::Error::from(other).kind(), format!("{}: {other}", self.name)),
        }
    }
}

impl Input for Arc<Device> {
    fn read<'a>(&'a mut self, buffer: &'a mut BytesMut) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async move {
            let before = buffer.len();
            let result = loop {
                // Cut back first, so that a future that is dropped here leaves no more than was read.
                buffer.truncate(before);
                let mut ready = match self.file.readable().await {
                    Ok(ready) => ready,
                    Err(error) => break Err(error),
                };
                buffer.resize(before + READ, 0);
                match rustix::io::read(ready.get_inner().port.as_fd(), &mut buffer[before..]) {
                    Ok(0) => break Err(self.gone()),
                    Ok(count) => break Ok(count),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(error) => break Err(self.explain(error)),
                }
            };
            buffer.truncate(before + result.as_ref().map_or(0, |count| *count));
            result
        })
    }
}

impl Output for Arc<Device> {
    fn write<'a>(&'a mut self, mut data: &'a [u8]) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            while !data.is_empty() {
                let mut ready = self.file.writable().await?;
                match rustix::io::write(ready.get_inner().port.as_fd(), data) {
                    Ok(count) => data.advance(count),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(error) => return Err(self.explain(error)),
                }
            }
            Ok(())
        })
    }
}

impl Lines for Device {
    fn set(&self, line: Line, on: bool) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let port = &self.file.get_ref().port;
            let result = match line {
                Line::Dtr => port.set_dtr(on),
                Line::Rts => port.set_rts(on),
            };
            result.map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::NOTTY | Errno::INVAL | Errno::OPNOTSUPP) => {
                    let text = format!("{} has no line {} to set", self.name, line.name());
                    Error::unsupported_because(text)
                }
                Some(error) => Error::from(self.explain(error)),
                None => Error::from(error),
            })
        })
    }
}
