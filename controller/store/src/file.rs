//! One file that remembers; backups of it.
//!
//! The file is a redb database: a copy-on-write tree whose transactions are whole or have not been, also when the machine
//! stops in the middle. Three tables:
//!
//! | Table | Key | Value |
//! |---|---|---|
//! | `objects` | kind, namespace and name with zero bytes between them | the object, JSON |
//! | `log` | revision | the change, JSON |
//! | `meta` | `schema`, `revision`, `reserved` | numbers |
//!
//! A new file is made under another name and renamed when it is whole, so there is never half of one under its own.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageBackend, TableDefinition,
    TableHandle as _, WriteTransaction, backends::FileBackend,
};

use crate::{
    StoreError,
    disk::{Commit, Disk, Remembered},
    lock::{Lock, beside},
    object::{Event, Key, Object},
};

const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Bytes of the file that are kept in memory. Few: what is read is read once, and lives in memory as objects.
const CACHE: usize = 4 * 1024 * 1024;

type AnyError = Box<dyn std::error::Error>;

/// Makes a database of what it opens.
type Opener = Box<dyn FnMut() -> Result<Database, DatabaseError> + Send>;

/// Remembers in one file.
pub struct File {
    open: Opener,
    /// Absent after an error, until the next commit: an open database takes nothing more then.
    database: Option<Database>,
    what: String,
    // Given back last.
    _lock: Option<Lock>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.what).finish()
    }
}

impl File {
    /// Opens a file, or makes it, readable by its owner only: there is much about people among the objects.
    ///
    /// # Errors
    /// When it is no such file, a newer program has written it, or another process has it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = Lock::take(path)?;
        let what = path.display().to_string();
        let failed = |error: AnyError| StoreError::File(format!("{what}: {error}"));
        if !path.try_exists().map_err(|error| failed(error.into()))? {
            let partial = beside(path, ".partial");
            make(&partial, &[], 0, 0).and_then(|()| Ok(rename(&partial, path)?)).map_err(failed)?;
        }
        let path = path.to_owned();
        let open = move || {
            let file =
                OpenOptions::new().read(true).write(true).open(&path).map_err(redb::StorageError::Io)?;
            Database::builder().set_cache_size(CACHE).create_with_backend(FileBackend::new(file)?)
        };
        Self::with(Box::new(open), what, Some(lock), MIGRATIONS)
    }

    /// The same on storage of another kind. It is asked for again after an error.
    ///
    /// # Errors
    /// As [`File::open`].
    pub fn on<B: StorageBackend>(
        mut backend: impl FnMut() -> B + Send + 'static,
    ) -> Result<Self, StoreError> {
        let open = move || Database::builder().set_cache_size(CACHE).create_with_backend(backend());
        Self::with(Box::new(open), "storage".to_owned(), None, MIGRATIONS)
    }

    fn with(
        mut open: Opener,
        what: String,
        lock: Option<Lock>,
        migrations: &[Migration],
    ) -> Result<Self, StoreError> {
        let database = open()
            .map_err(|error| error.to_string())
            .and_then(|database| migrate(&database, migrations).map(|()| database))
            .map_err(|error| StoreError::File(format!("{what}: {error}")))?;
        Ok(Self { open, database: Some(database), what, _lock: lock })
    }

    fn ready(&mut self) -> Result<&Database, AnyError> {
        match &mut self.database {
            Some(database) => Ok(database),
            closed => Ok(closed.insert((self.open)()?)),
        }
    }
}

impl Disk for File {
    fn load(&mut self) -> Result<Remembered, StoreError> {
        self.ready().and_then(read).map_err(|error| StoreError::File(format!("{}: {error}", self.what)))
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), String> {
        self.ready().and_then(|database| write(database, commit)).map_err(|error| {
            self.database = None;
            format!("{}: {error}", self.what)
        })
    }
}

fn read(database: &Database) -> Result<Remembered, AnyError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let number = |name| Ok::<_, AnyError>(meta.get(name)?.map_or(0, |number| number.value()));
    let revision = number("revision")?;
    let mut objects = Vec::new();
    for entry in transaction.open_table(OBJECTS)?.iter()? {
        objects.push(serde_json::from_slice::<Object>(entry?.1.value())?);
    }
    let mut log = Vec::new();
    for entry in transaction.open_table(LOG)?.iter()? {
        log.push(serde_json::from_slice::<Event>(entry?.1.value())?);
    }
    Ok(Remembered { objects, log, revision, reserved: number("reserved")?.max(revision) })
}

fn write(database: &Database, commit: &Commit) -> Result<(), AnyError> {
    let transaction = database.begin_write()?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        for (key, object) in &commit.objects {
            let name = name_of(key);
            if let Some(object) = object {
                objects.insert(name.as_str(), serde_json::to_vec(&**object)?.as_slice())?;
            } else {
                objects.remove(name.as_str())?;
            }
        }
        let mut log = transaction.open_table(LOG)?;
        log.retain_in(commit.since.saturating_add(1).., |_, _| false)?;
        log.retain_in(..=commit.compacted, |_, _| false)?;
        for event in &commit.log {
            let revision = event.revision().number().unwrap_or(0);
            log.insert(revision, serde_json::to_vec(event)?.as_slice())?;
        }
        let mut meta = transaction.open_table(META)?;
        meta.insert("revision", commit.revision)?;
        meta.insert("reserved", commit.reserved)?;
    }
    Ok(transaction.commit()?)
}

fn name_of(key: &Key) -> String {
    format!("{}\0{}\0{}", key.kind, key.namespace, key.name)
}

/// Makes a whole new file. Without a log: a watch cannot begin in its past.
fn make(path: &Path, objects: &[Arc<Object>], revision: u64, reserved: u64) -> Result<(), AnyError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        // What somebody was making when it was stopped.
        _ => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let made = || -> Result<(), AnyError> {
        let backend = FileBackend::new(file)?;
        let database = Database::builder().set_cache_size(CACHE).create_with_backend(backend)?;
        migrate(&database, MIGRATIONS)?;
        let objects = objects.iter().map(|object| (object.key.clone(), Some(Arc::clone(object)))).collect();
        write(&database, &Commit { objects, revision, reserved, ..Commit::default() })
    };
    made().inspect_err(|_| {
        // Half a file is worse than none.
        let _ = fs::remove_file(path);
    })
}

/// Gives a whole file its name, durably.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

/// Writes objects of one moment into a new file.
pub(crate) fn backup(path: &Path, objects: &[Arc<Object>], revision: u64) -> Result<(), StoreError> {
    let what = path.display();
    // Two backups under one name at a time would be half of each.
    let partial = beside(path, &format!(".partial-{}", uuid::Uuid::new_v4().simple()));
    let failed = |error: AnyError| StoreError::File(format!("{what}: {error}"));
    let taken = || StoreError::File(format!("{what} exists already: name a new file"));
    if path.try_exists().map_err(|error| failed(error.into()))? {
        return Err(taken());
    }
    make(&partial, objects, revision, revision).map_err(failed)?;
    let named = match fs::hard_link(&partial, path) {
        Ok(()) => fs::remove_file(&partial).and_then(|()| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => fs::File::open(folder)?.sync_all(),
            _ => Ok(()),
        }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let _ = fs::remove_file(&partial);
            return Err(taken());
        }
        // A disk without links, such as a stick.
        Err(_) => rename(&partial, path),
    };
    named.map_err(|error| {
        let _ = fs::remove_file(&partial);
        failed(error.into())
    })
}

/// Puts what is in a backup in the place of a store that nobody has open. Answers where the store that was there has gone.
///
/// Revisions go on behind those of both, so that nobody takes an object for the one he read before.
///
/// # Errors
/// When the backup is none, or the store is in use. Nothing has changed then.
pub fn restore(backup: &Path, path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let _lock = Lock::take(path)?;
    let failed =
        |path: &Path, error: &dyn fmt::Display| StoreError::File(format!("{}: {error}", path.display()));
    // Opening may repair and migrate, and a backup is not to be touched.
    let copy = beside(path, ".restoring");
    copied(backup, &copy).map_err(|error| failed(backup, &error))?;
    let remembered = load(copy.clone()).map_err(|error| failed(backup, &error));
    let _ = fs::remove_file(&copy);
    let Remembered { objects, revision, reserved, .. } = remembered?;
    let exists = path.try_exists().map_err(|error| failed(path, &error))?;
    // A store that cannot be read any more is what backups are for.
    let last = if exists { load(path.to_owned()).map_or(0, |old| old.reserved) } else { 0 };
    let objects: Vec<_> = objects.into_iter().map(Arc::new).collect();
    make(&copy, &objects, revision, reserved.max(last) + 1).map_err(|error| failed(path, &error))?;
    let old = if exists {
        let free = (1u32..).map(|count| beside(path, &format!(".replaced-{count}")));
        let old = free.into_iter().find(|old| !old.exists());
        if let Some(old) = &old {
            // A second name, so that at every moment there is a store.
            fs::hard_link(path, old).map_err(|error| failed(old, &error))?;
        }
        old
    } else {
        None
    };
    rename(&copy, path).map_err(|error| failed(path, &error))?;
    Ok(old)
}

/// Not `fs::copy`, which makes a file that only its owner may read into one that he may not write.
fn copied(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = fs::File::open(from)?;
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut copy).map(drop)
}

fn load(path: PathBuf) -> Result<Remembered, AnyError> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() == 0 {
        return Err("it is empty".into());
    }
    let database = Database::builder().set_cache_size(CACHE).create_with_backend(FileBackend::new(file)?)?;
    migrate(&database, MIGRATIONS)?;
    read(&database)
}

/// Changes the tables from one form to the next.
type Migration = fn(&WriteTransaction) -> Result<(), AnyError>;

/// From form 1 to 2, from 2 to 3, … This program writes the form after the last one.
const MIGRATIONS: &[Migration] = &[];

/// Brings the tables into today's form, in one transaction.
fn migrate(database: &Database, migrations: &[Migration]) -> Result<(), String> {
    let step = || -> Result<(), AnyError> {
        let newest = migrations.len() as u64 + 1;
        let transaction = database.begin_write()?;
        let fresh = transaction.list_tables()?.next().is_none();
        if !fresh && !transaction.list_tables()?.any(|table| table.name() == META.name()) {
            return Err("it is a database of another program".into());
        }
        let schema = transaction.open_table(META)?.get("schema")?.map(|schema| schema.value());
        match schema {
            Some(schema) if schema == newest => return Ok(transaction.abort()?),
            Some(schema) if schema > newest => {
                let text = "a newer program has written it";
                return Err(format!("{text} (form {schema}; this one knows forms up to {newest})").into());
            }
            // A new file has the newest form from the beginning.
            None if fresh => {}
            None => return Err("it is a database of another program".into()),
            Some(schema) => {
                let done = usize::try_from(schema.saturating_sub(1)).unwrap_or(usize::MAX);
                for migration in migrations.iter().skip(done) {
                    migration(&transaction)?;
                }
            }
        }
        transaction.open_table(META)?.insert("schema", newest)?;
        // Readers expect the others.
        transaction.open_table(OBJECTS)?;
        transaction.open_table(LOG)?;
        Ok(transaction.commit()?)
    };
    step().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use serde_json::json;

    use super::*;

    fn memory() -> Database {
        Database::builder().create_with_backend(InMemoryBackend::new()).unwrap()
    }

    #[test]
    fn an_older_file_is_brought_into_todays_form_and_a_newer_one_is_left_alone() {
        let database = memory();
        migrate(&database, MIGRATIONS).unwrap();
        let add: Migration = |transaction| {
            transaction.open_table(META)?.insert("added", 7)?;
            Ok(())
        };
        let double: Migration = |transaction| {
            let mut meta = transaction.open_table(META)?;
            let added = meta.get("added")?.map_or(0, |added| added.value());
            meta.insert("added", added * 2)?;
            Ok(())
        };
        let look = |name: &str| {
            let transaction = database.begin_read().unwrap();
            transaction.open_table(META).unwrap().get(name).unwrap().map(|number| number.value())
        };
        // One that fails leaves no trace, not even of the one before.
        let error = migrate(&database, &[add, |_| Err("no room".into())]).unwrap_err();
        assert_eq!((error.as_str(), look("added"), look("schema")), ("no room", None, Some(1)));
        migrate(&database, &[add, double]).unwrap();
        assert_eq!((look("added"), look("schema")), (Some(14), Some(3)));
        migrate(&database, &[add, double]).unwrap();
        assert_eq!(look("added"), Some(14), "each is done once");
        let text = "a newer program has written it (form 3; this one knows forms up to 1)";
        assert_eq!(migrate(&database, MIGRATIONS).unwrap_err(), text);
        assert_eq!(look("added"), Some(14));
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        const THEIRS: TableDefinition<'_, u64, u64> = TableDefinition::new("theirs");
        let database = memory();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(THEIRS).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
        assert_eq!(migrate(&database, MIGRATIONS).unwrap_err(), "it is a database of another program");
        assert!(database.begin_read().unwrap().open_table(META).is_err());
    }

    #[test]
    fn what_is_in_a_file_is_json_that_people_can_read() {
        let object = Object {
            key: Key::new("Lease", "lab", "one"),
            uid: uuid::Uuid::nil(),
            revision: crate::Revision::from_number(3),
            generation: 1,
            created: jiff::Timestamp::UNIX_EPOCH,
            deleted: None,
            labels: [("board".to_owned(), "rpi4".to_owned())].into(),
            annotations: std::collections::BTreeMap::new(),
            spec: json!({ "duration": "30m0s" }),
            status: serde_json::Value::Null,
        };
        let written = serde_json::to_value(&object).unwrap();
        let wanted = json!({
            "key": { "kind": "Lease", "namespace": "lab", "name": "one" },
            "uid": "00000000-0000-0000-0000-000000000000",
            "revision": "3", "generation": 1, "created": "1970-01-01T00:00:00Z",
            "labels": { "board": "rpi4" }, "spec": { "duration": "30m0s" },
        });
        assert_eq!(written, wanted);
        assert_eq!(serde_json::from_value::<Object>(wanted).unwrap(), object);
    }
}
