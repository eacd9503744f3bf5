//! A serial port: what is sent to a device that echoes comes back, at the speed of a fast line and as fast as it goes.
//!
//! The device is the other side of a pseudo-terminal, a thread of this program. Both exporters are used by our client.

use std::{
    io::{Read as _, Write as _},
    os::{fd::AsFd as _, unix::ffi::OsStrExt as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use jumpstarter::Io;
use jumpstarter_client::{Device, Endpoint, Options};
use jumpstarter_interfaces::SerialClient;
use jumpstarter_tests::exporter::{Exporter, Program};

use crate::{
    Effort, Outcome,
    programs::Programs,
    report::{Goal, Row, median},
};

/// Bytes per second of a line with 3 Mbit/s and ten bits per byte.
const LINE: usize = 300_000;

/// How many pieces are sent in a second at that speed.
const PIECES: usize = 100;

/// Seconds at that speed.
const SECONDS: usize = 10;

/// Bytes without a limit of speed.
const VOLUME: usize = 8 << 20;

/// Round trips of one byte.
const TRIPS: usize = 500;

/// How long nothing may come before what is missing counts as lost.
const SILENCE: Duration = Duration::from_secs(5);

/// A device that echoes, for as long as the line is open.
struct Line {
    path: PathBuf,
    _kept: pty_process::blocking::Pts,
}

impl Line {
    fn new() -> Outcome<Self> {
        let (mut device, kept) = pty_process::blocking::open()?;
        let name = rustix::pty::ptsname(device.as_fd(), Vec::new())?;
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(name.as_bytes()));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = device.read(&mut buffer) {
                if device.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
        });
        Ok(Self { path, _kept: kept })
    }
}

/// What one exporter does.
#[derive(Default)]
struct Seen {
    rate: f64,
    lost: f64,
    unpaced: Vec<f64>,
    trips: Vec<f64>,
}

pub(crate) async fn take(effort: Effort, programs: &Programs) -> Outcome<Vec<Row>> {
    let mut at_speed = Row::new("serial", "echo offered at 3 Mbit/s (300 kB/s)", "kB/s", Goal::None);
    let lost = format!("of {} kB at that speed, lost or damaged", effort.of(SECONDS) * LINE / 1000);
    let mut lost = Row::new("serial", lost, "bytes", Goal::AtMost(0.0));
    let mut unpaced = Row::new("serial", "echo as fast as it goes", "kB/s", Goal::None);
    let mut trip = Row::new("serial", "one byte there and back, p50", "µs", Goal::None);
    for (program, _) in programs.both(effort).into_iter().flatten() {
        let seen = measure(&program, effort).await?;
        for (row, value) in [
            (&mut at_speed, Some(seen.rate)),
            (&mut lost, Some(seen.lost)),
            (&mut unpaced, median(seen.unpaced)),
            (&mut trip, median(seen.trips)),
        ] {
            match program {
                Program::Ours(_) => row.ours = value,
                Program::Upstream(_) => row.upstream = value,
            }
        }
    }
    Ok(vec![at_speed, lost, unpaced, trip])
}

async fn measure(program: &Program, effort: Effort) -> Outcome<Seen> {
    let line = Line::new()?;
    let config = format!(
        "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nmetadata: {{namespace: default, name: figures}}\n\
         export:\n  port:\n    type: jumpstarter_driver_pyserial.driver.PySerial\n    config: {{url: {}, baudrate: 3000000}}\n",
        line.path.display()
    );
    let exporter = Exporter::local(program, &config).await?;
    let device = Device::connect(&Endpoint::parse(&exporter.host())?, &Options::default()).await?;
    let port: SerialClient = device.client("port")?;
    let mut io = port.connect().await?;
    let mut seen = Seen::default();
    for _ in 0..effort.of(TRIPS) {
        let begun = Instant::now();
        io.send("x").await?;
        io.recv().await?;
        seen.trips.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    let bytes = effort.of(SECONDS) * LINE;
    let (io, took, damaged) = echo(io, bytes, Some(LINE)).await?;
    (seen.rate, seen.lost) = ((bytes as f64 - damaged) / 1e3 / took.as_secs_f64(), damaged);
    let bytes = effort.of(VOLUME);
    let mut io = io;
    for _ in 0..effort.rounds.min(3) {
        let (same, took, damaged) = echo(io, bytes, None).await?;
        io = same;
        if damaged > 0.0 {
            return Err(
                format!("{damaged} of {bytes} bytes are lost or damaged without a limit of speed").into()
            );
        }
        seen.unpaced.push(bytes as f64 / 1e3 / took.as_secs_f64());
    }
    drop((io, port, device));
    exporter.stop().await?;
    Ok(seen)
}

/// Bytes that differ from their neighbours, so that a missing one shows.
fn pattern(at: usize) -> u8 {
    ((at * 31) ^ (at >> 8)).to_le_bytes()[0]
}

/// Sends so many bytes and reads them back. Answers how long it took and how many did not come as they were sent.
async fn echo(io: Io, bytes: usize, speed: Option<usize>) -> Outcome<(Io, Duration, f64)> {
    let begun = Instant::now();
    let (mut reader, mut writer) = tokio::io::split(io);
    let send = async {
        let piece = speed.map_or(64 << 10, |speed| speed / PIECES);
        let mut clock = tokio::time::interval(Duration::from_millis(1000 / PIECES as u64));
        for start in (0..bytes).step_by(piece) {
            if speed.is_some() {
                clock.tick().await;
            }
            let data: Vec<u8> = (start..bytes.min(start + piece)).map(pattern).collect();
            tokio::io::AsyncWriteExt::write_all(&mut writer, &data).await?;
            tokio::io::AsyncWriteExt::flush(&mut writer).await?;
        }
        Outcome::Ok(())
    };
    let receive = async {
        let (mut count, mut wrong) = (0, 0);
        let mut buffer = vec![0; 64 << 10];
        while count < bytes {
            let read = tokio::io::AsyncReadExt::read(&mut reader, &mut buffer);
            let Ok(read) = tokio::time::timeout(SILENCE, read).await else { break };
            let read = read?;
            if read == 0 {
                break;
            }
            wrong +=
                buffer[..read].iter().enumerate().filter(|(at, byte)| pattern(count + at) != **byte).count();
            count += read;
        }
        Outcome::Ok((wrong + bytes.saturating_sub(count)) as f64)
    };
    let (sent, damaged) = tokio::join!(send, receive);
    sent?;
    let took = begun.elapsed();
    Ok((reader.unsplit(writer), took, damaged?))
}
