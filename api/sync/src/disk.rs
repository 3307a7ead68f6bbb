//! The person's own files. Unlike a node's drives they have times, Unix bits and links, and other
//! programs change them while we look. Every use of the machine's file calls is in this module.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use api_sync_core::Stamp;
use node_base::Timestamp;
use node_os::uncached::{self, Stretch};

/// What something is, links not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder {
        inode: u64,
    },
    File {
        stamp: Stamp,
        executable: bool,
    },
    /// A link, device, socket or pipe: never read, never replaced.
    Other,
}

/// One entry of a folder.
pub(crate) struct Entry {
    /// Absent for a name that is not UTF-8; then `shown` says what it looks like.
    pub(crate) name: Option<String>,
    pub(crate) shown: String,
    pub(crate) kind: Kind,
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_metadata: &fs::Metadata) -> u64 {
    0
}

#[cfg(unix)]
fn executable(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0
}

#[cfg(not(unix))]
fn executable(_metadata: &fs::Metadata) -> bool {
    false
}

fn modified(metadata: &fs::Metadata) -> i64 {
    let Ok(time) = metadata.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}

fn kind_of(metadata: &fs::Metadata) -> Kind {
    if metadata.is_dir() {
        Kind::Folder { inode: inode(metadata) }
    } else if metadata.is_file() {
        let (size, modified) = (metadata.len(), modified(metadata));
        let stamp = Stamp { size, modified, inode: inode(metadata) };
        Kind::File { stamp, executable: executable(metadata) }
    } else {
        Kind::Other
    }
}

/// What is at `path`; nothing when nothing is.
pub(crate) fn look(path: &Path) -> io::Result<Option<Kind>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(kind_of(&metadata))),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What is in a folder. Entries that vanish meanwhile are left out.
#[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
pub(crate) fn list(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_absence(&error) => continue,
            Err(error) => return Err(error),
        };
        let name = entry.file_name();
        let shown = name.to_string_lossy().into_owned();
        entries.push(Entry { name: name.into_string().ok(), shown, kind: kind_of(&metadata) });
    }
    Ok(entries)
}

/// The path with links resolved.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

/// What tells a folder from another one that comes to be at the same path: its file system and its
/// inode. Nothing where the machine has no such numbers.
#[cfg(unix)]
pub(crate) fn identity(folder: &Path) -> io::Result<Option<String>> {
    let Some(Kind::Folder { inode }) = look(folder)? else { return Ok(None) };
    let file_system = rustix::fs::statvfs(folder)?.f_fsid;
    Ok(Some(format!("{file_system:x}.{inode}")))
}

#[cfg(not(unix))]
pub(crate) fn identity(_folder: &Path) -> io::Result<Option<String>> {
    Ok(None)
}

/// A file that is read here and there.
pub(crate) struct Reader(File);

impl Reader {
    #[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Fills as much of `buffer` as there is from `offset`; how much that was.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match read_some(&self.0, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// `len` bytes from `offset`; nothing when the file ends before.
    pub(crate) fn part(&self, offset: u64, len: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; len];
        Ok((self.read_at(&mut bytes, offset)? == len).then_some(bytes))
    }
}

#[cfg(unix)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// All of a file that has at most `max` bytes; nothing when it has more.
pub(crate) fn read_small(path: &Path, max: usize) -> io::Result<Option<Vec<u8>>> {
    let reader = Reader::open(path)?;
    let mut bytes = vec![0; max + 1];
    let len = reader.read_at(&mut bytes, 0)?;
    bytes.truncate(len);
    Ok((len <= max).then_some(bytes))
}

/// Content on its way to a name: a file beside its target.
pub(crate) struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    /// Opens or makes it. What an earlier run left in it is kept.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::open_as(path, false)
    }

    fn open_as(path: &Path, private: bool) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        if private {
            owner_only(&mut options);
        }
        Ok(Self { file: options.open(path)?, path: path.to_owned() })
    }

    /// Opens or makes it, for as long as it is held: no other run may write it, give it its name or
    /// clear it away meanwhile. A private one is for its owner alone until it is whole, and has the
    /// permissions of what it replaces then.
    pub(crate) fn claim(path: &Path, private: bool) -> io::Result<Self> {
        let part = match Self::open_as(path, private) {
            // A run that ended may have given it the rights of a target that nobody may write.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                remove_part(path)?;
                Self::open_as(path, private)?
            }
            other => other?,
        };
        if !part.lock()? || !part.is_in_place()? {
            let text = "another scaidrive is writing it";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
        }
        Ok(part)
    }

    /// Whether it was not locked by anybody else. Where there are no locks, nobody has one.
    fn lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(true)
            }
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether its name still leads to it.
    fn is_in_place(&self) -> io::Result<bool> {
        let named = match fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if is_absence(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(named.is_file() && inode(&named) == inode(&self.file.metadata()?))
    }

    /// What is in it, to be verified.
    pub(crate) fn reader(&self) -> io::Result<Reader> {
        self.file.try_clone().map(Reader)
    }

    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        uncached::write_at(&self.file, bytes, offset)
    }

    /// What was read of it need not stay in memory.
    pub(crate) fn forget(&self) {
        uncached::forget(&self.file);
    }

    pub(crate) fn write(&self, stretch: &Stretch, len: usize) -> io::Result<()> {
        stretch.write_to(&self.file, len)
    }

    /// Makes it `size` long, gives it its time and Unix bit and the permissions of what it
    /// replaces, and makes all that durable.
    pub(crate) fn finish(
        &self,
        size: u64,
        modified: Option<Timestamp>,
        executable: bool,
        like: &Path,
    ) -> io::Result<Stamp> {
        self.file.set_len(size)?;
        // Who could not read the old content cannot read the new one.
        if let Ok(metadata) = fs::symlink_metadata(like).map(|metadata| metadata.permissions()) {
            self.file.set_permissions(metadata)?;
        }
        if let Some(modified) = modified {
            self.file.set_modified(moment(modified))?;
        }
        mark(&self.path, executable)?;
        self.file.sync_all()?;
        match kind_of(&self.file.metadata()?) {
            Kind::File { stamp, .. } => Ok(stamp),
            Kind::Folder { .. } | Kind::Other => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Gives it its name; what has that name is replaced if it still is `over`.
    #[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
    pub(crate) fn take_place(&self, target: &Path, over: Option<Stamp>) -> io::Result<bool> {
        let now = match look(target)? {
            None => None,
            Some(Kind::File { stamp, .. }) => Some(stamp),
            Some(Kind::Folder { .. } | Kind::Other) => return Ok(false),
        };
        if now != over {
            return Ok(false);
        }
        if !self.is_in_place()? {
            return Err(io::Error::other("it was taken away while it was written"));
        }
        fs::rename(&self.path, target)?;
        Ok(true)
    }
}

fn moment(time: Timestamp) -> std::time::SystemTime {
    let millis = Duration::from_millis(time.millis().unsigned_abs());
    if time.millis() < 0 { UNIX_EPOCH - millis } else { UNIX_EPOCH + millis }
}

/// The moment of a stamp, in the milliseconds that travel.
pub(crate) fn moment_of(stamp: &Stamp) -> Timestamp {
    Timestamp::from_millis(stamp.modified.div_euclid(1_000_000))
}

#[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
#[cfg(unix)]
pub(crate) fn mark(path: &Path, executable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = fs::metadata(path)?.permissions();
    let mode = permissions.mode();
    // Whoever may read it may run it.
    let mode = if executable { mode | (mode & 0o444) >> 2 } else { mode & !0o111 };
    permissions.set_mode(mode);
    fs::set_permissions(path, permissions)
}

#[cfg(not(unix))]
pub(crate) fn mark(_path: &Path, _executable: bool) -> io::Result<()> {
    Ok(())
}

/// Makes a folder; that it is there already is as good.
#[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match look(path)? {
            Some(Kind::Folder { .. }) => Ok(()),
            Some(Kind::File { .. } | Kind::Other) | None => Err(error),
        },
        other => other,
    }
}

/// Makes a folder and those above it.
#[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
pub(crate) fn make_folders(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Gives something another name, if nothing has that name.
#[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
pub(crate) fn shift(from: &Path, to: &Path) -> io::Result<()> {
    if look(to)?.is_some() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

/// Makes the names in a folder durable, as far as its file system can.
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(path).and_then(|folder| folder.sync_all()) {
        // It went since, with all names in it; or there is no such thing as a folder's sync.
        Err(error) if is_absence(&error) => Ok(()),
        Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => {
            Ok(())
        }
        other => other,
    }
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes a file that still is what was seen. Whether it was.
#[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
pub(crate) fn remove_seen(path: &Path, seen: Stamp) -> io::Result<bool> {
    match look(path)? {
        None => Ok(true),
        Some(Kind::File { stamp, .. }) if stamp == seen => fs::remove_file(path).map(|()| true),
        Some(_) => Ok(false),
    }
}

/// Removes a folder with nothing in it. Whether there was nothing.
pub(crate) fn remove_empty(path: &Path) -> io::Result<bool> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if is_absence(&error) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a part, unless another run is writing it.
pub(crate) fn clear_part(path: &Path) -> io::Result<()> {
    let part = Part { file: File::options().read(true).open(path)?, path: path.to_owned() };
    if part.lock()? && part.is_in_place()? { remove_part(path) } else { Ok(()) }
}

#[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
fn remove_part(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Lets a new file be for its owner alone.
#[cfg(unix)]
#[expect(clippy::disallowed_types, reason = "a person's files are no node's drive")]
fn owner_only(options: &mut fs::OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
#[expect(clippy::disallowed_types, reason = "a person's files are no node's drive")]
fn owner_only(_options: &mut fs::OpenOptions) {}

/// Waits until no other process has this lock; it is let go with the answer.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    owner_only(&mut options);
    let file = options.open(path)?;
    file.lock()?;
    Ok(file)
}

/// Writes a file that holds secrets: whole or not at all, and for its owner alone.
#[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    owner_only(&mut options);
    let file = options.open(&part)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    io::Write::write_all(&mut &file, bytes)?;
    file.sync_all()?;
    fs::rename(part, path)
}

/// Removes it; that it is not there is as good.
#[expect(clippy::disallowed_methods, reason = "a person's files are no node's drive")]
pub(crate) fn remove_private(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
