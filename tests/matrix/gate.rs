//! Points at which what runs stands until it is told to go on, without anybody looking again and again.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe::{OpenOptions, Receiver, Sender},
};

/// A script that stands at a gate, as often as it is run while the gate is closed.
#[derive(Debug)]
pub(crate) struct Gate {
    name: String,
    folder: PathBuf,
    here: Receiver,
    go: Sender,
}

/// A named pipe that is never closed for want of a reader or a writer.
pub(crate) fn pipe(path: &Path) -> io::Result<(Receiver, Sender)> {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
    let mut options = OpenOptions::new();
    options.read_write(true);
    Ok((options.open_receiver(path)?, options.open_sender(path)?))
}

impl Gate {
    /// One that is open.
    pub(crate) fn new(folder: &Path, name: &str) -> io::Result<Self> {
        let file = |what: &str| folder.join(format!("{name}.{what}"));
        let (here, _) = pipe(&file("here"))?;
        let (_, go) = pipe(&file("go"))?;
        std::fs::write(file("open"), "")?;
        Ok(Self { name: name.to_owned(), folder: folder.to_owned(), here, go })
    }

    fn file(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}.{what}", self.name))
    }

    /// What stands there.
    pub(crate) fn script(&self) -> String {
        let (name, folder) = (&self.name, self.folder.display());
        format!(
            "echo run >> {folder}/{name}.runs\n\
             if [ ! -e {folder}/{name}.open ]; then echo here > {folder}/{name}.here; read go < {folder}/{name}.go; fi\n\
             echo {name} is done"
        )
    }

    /// Whoever comes stands.
    pub(crate) fn close(&self) {
        std::fs::remove_file(self.file("open")).expect("it is open");
    }

    /// Waits until somebody stands there.
    pub(crate) async fn reached(&mut self) {
        let mut line = [0; 5];
        self.here.read_exact(&mut line).await.expect("it is never closed");
        assert_eq!(&line, b"here\n");
    }

    /// Lets whoever stands there go on, and whoever comes.
    pub(crate) async fn open(&mut self) {
        std::fs::write(self.file("open"), "").expect("written");
        self.go.write_all(b"go\n").await.expect("it is never closed");
    }

    /// How often somebody has come.
    pub(crate) fn runs(&self) -> usize {
        std::fs::read_to_string(self.file("runs")).unwrap_or_default().lines().count()
    }
}
