//! What is in the folder that is kept in step.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use api_sync_core::{Local, LocalFile, rename};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use node_base::{Name, NamePolicy};

use crate::disk::{self, Entry, Kind};
use crate::failure::Failure;

/// What content on its way is called; such files are never kept in step.
const PART_PREFIX: &str = ".scaidrive-";
const PART_SUFFIX: &str = ".part";

/// The name of content on its way to `path` in this version, beside its target.
pub(crate) fn part_name(path: &str, version_id: &str) -> String {
    let hash = node_base::sha256(format!("{path}\0{version_id}").as_bytes()).to_string();
    format!("{PART_PREFIX}{}{PART_SUFFIX}", &hash[..16])
}

fn is_part(name: &str) -> bool {
    name.starts_with(PART_PREFIX) && name.ends_with(PART_SUFFIX)
}

/// Which paths are kept in step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    excluded: GlobSet,
    /// Folders, without slashes at the ends; all if there are none.
    selected: Vec<String>,
    /// Folders of this program's own, wherever they are.
    own: Vec<PathBuf>,
}

impl Selection {
    /// # Errors
    /// A pattern that is none.
    pub(crate) fn new(exclude: &[String], select: &[String]) -> Result<Self, globset::Error> {
        let mut globs = GlobSetBuilder::new();
        for pattern in exclude {
            let pattern = pattern.trim_end_matches('/');
            globs.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
            // A pattern without a slash is meant at any depth.
            if !pattern.contains('/') {
                let deep = format!("**/{pattern}");
                globs.add(GlobBuilder::new(&deep).literal_separator(true).build()?);
            }
        }
        let selected = select.iter().map(|folder| folder.trim_matches('/').to_owned()).collect();
        Ok(Self { excluded: globs.build()?, selected, own: Vec::new() })
    }

    /// Leaves these folders alone, too.
    #[must_use]
    pub(crate) fn without(mut self, own: Vec<PathBuf>) -> Self {
        self.own = own;
        self
    }

    /// Whether `path` itself is kept in step, its ancestors being so.
    fn takes(&self, path: &str) -> bool {
        let within = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let selected = self.selected.is_empty()
            || self.selected.iter().any(|folder| within(folder, path) || within(path, folder));
        selected && !self.excluded.is_match(path)
    }

    /// Whether `path` and all above it are kept in step.
    pub(crate) fn takes_all_of(&self, path: &str) -> bool {
        path.match_indices('/').all(|(at, _)| self.takes(&path[..at])) && self.takes(path)
    }
}

/// Something here that is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftAlone {
    pub(crate) path: String,
    pub(crate) reason: String,
}

impl std::fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "left alone: {}: {}", self.path, self.reason)
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) tree: BTreeMap<String, Local>,
    pub(crate) left_alone: Vec<LeftAlone>,
    /// What could not be looked at or read.
    pub(crate) problems: Vec<Failure>,
    /// Paths whose place is taken by something that is left alone, or that could not be looked at:
    /// the other side's things of that name stay where they are.
    pub(crate) blocked: BTreeSet<String>,
    /// Names on this disk, where they are written otherwise than in the tree.
    pub(crate) spellings: BTreeMap<String, String>,
    /// Inodes of what has a name that cannot be told.
    pub(crate) unnamed: BTreeSet<u64>,
    /// Content on its way, left by earlier runs.
    pub(crate) parts: Vec<PathBuf>,
}

impl Scan {
    /// Takes note that something was given another name here, as the tree has it.
    pub(crate) fn moved(&mut self, from: &str, to: &str) {
        rename(&mut self.tree, from, to);
        rename(&mut self.spellings, from, to);
        self.spellings.remove(to);
    }

    /// Where something of the tree is, below the root.
    pub(crate) fn on_disk(&self, path: &str) -> PathBuf {
        if self.spellings.is_empty() {
            return PathBuf::from(path);
        }
        let mut at = PathBuf::new();
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        let mut start = 0;
        for end in ends {
            at.push(self.spellings.get(&path[..end]).map_or(&path[start..end], String::as_str));
            start = end + 1;
        }
        at
    }
}

/// Looks at everything below `root` that is selected.
///
/// # Errors
/// The root itself cannot be listed; what else cannot is left alone and told.
pub(crate) fn scan(root: &Path, policy: NamePolicy, selection: &Selection) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let top = disk::list(root)?;
    // Explicit, so that a deep tree does not need a deep stack.
    let mut open = vec![(String::new(), root.to_owned(), top)];
    while let Some((path, folder, entries)) = open.pop() {
        for entry in entries {
            let shown = entry.shown.clone();
            let Some((at, true)) = scan.take(&path, &folder, entry, policy, selection) else {
                continue;
            };
            let below = folder.join(shown);
            if selection.own.contains(&below) {
                scan.block(&at);
                let reason = "scaidrive keeps its own things there".to_owned();
                scan.left_alone.push(LeftAlone { path: at, reason });
                continue;
            }
            match disk::list(&below) {
                Ok(entries) => open.push((at, below, entries)),
                Err(error) => {
                    scan.block(&at);
                    scan.problems.push(Failure::file("looking into", &below, &error));
                }
            }
        }
    }
    Ok(scan)
}

impl Scan {
    fn block(&mut self, path: &str) {
        self.tree.remove(path);
        self.blocked.insert(path.to_owned());
    }

    /// Enters one entry; its path, and whether it is a folder to look into.
    fn take(
        &mut self,
        parent: &str,
        folder: &Path,
        entry: Entry,
        policy: NamePolicy,
        selection: &Selection,
    ) -> Option<(String, bool)> {
        let path_of = |name: &str| {
            if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
        };
        let Some(on_disk) = entry.name else {
            let path = path_of(&entry.shown);
            self.unnamed.insert(match entry.kind {
                Kind::Folder { inode } => inode,
                Kind::File { stamp, .. } => stamp.inode,
                Kind::Other => 0,
            });
            self.left_alone.push(LeftAlone { path, reason: "its name is not UTF-8".to_owned() });
            return None;
        };
        if is_part(&on_disk) {
            self.parts.push(folder.join(&on_disk));
            return None;
        }
        // A name that the share refuses is entered as it is: the planner tells why it stays.
        let name = Name::new(&on_disk, policy)
            .map_or_else(|_| on_disk.clone(), |name| name.as_str().to_owned());
        let path = path_of(&name);
        if !selection.takes(&path) {
            return None;
        }
        if self.tree.contains_key(&path) {
            let reason = "another name here differs from it only in its Unicode form".to_owned();
            self.left_alone.push(LeftAlone { path: path_of(&on_disk), reason });
            return None;
        }
        if name != on_disk {
            self.spellings.insert(path.clone(), on_disk);
        }
        match entry.kind {
            Kind::Folder { inode } => {
                self.tree.insert(path.clone(), Local::Folder(inode));
                Some((path, true))
            }
            Kind::File { stamp, executable } => {
                let file =
                    LocalFile { stamp, executable, same_as_base: None, same_as_remote: None };
                self.tree.insert(path.clone(), Local::File(file));
                Some((path, false))
            }
            Kind::Other => {
                self.block(&path);
                let reason = "it is a link or a special file".to_owned();
                self.left_alone.push(LeftAlone { path, reason });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use node_base::NamePolicy;

    use super::{Selection, part_name, scan};
    use crate::disk;

    fn selection(exclude: &[&str], select: &[&str]) -> Selection {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Selection::new(&owned(exclude), &owned(select)).expect("well-formed")
    }

    #[test]
    fn a_pattern_without_a_slash_matches_at_any_depth_and_takes_what_is_below() {
        let all = selection(&["target", "*.tmp", "docs/*.pdf"], &[]);
        for (path, taken) in [
            ("target", false),
            ("a/target/b", false),
            ("targets", true),
            ("a/b.tmp", false),
            ("docs/x.pdf", false),
            ("a/docs/x.pdf", true),
            ("docs/deep/x.pdf", true),
        ] {
            assert_eq!(all.takes_all_of(path), taken, "{path}");
        }
    }

    #[test]
    fn only_selected_folders_and_what_leads_to_them_are_kept() {
        let some = selection(&[], &["a/b/", "/c"]);
        for (path, taken) in [
            ("a", true),
            ("a/b", true),
            ("a/b/x", true),
            ("a/x", false),
            ("c/d", true),
            ("cc", false),
        ] {
            assert_eq!(some.takes_all_of(path), taken, "{path}");
        }
        assert!(Selection::new(&["[".to_owned()], &[]).is_err());
    }

    #[test]
    fn names_are_entered_as_the_share_writes_them_and_found_as_the_disk_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let decomposed = "u\u{308}ber";
        disk::make_folder(&folder.path().join(decomposed)).expect("made");
        let file = folder.path().join(decomposed).join("x");
        disk::write_private(&file, b"x").expect("written");
        let part = part_name("x", "ver_1");
        disk::write_private(&folder.path().join(&part), b"x").expect("written");
        let found = scan(folder.path(), NamePolicy::Portable, &Selection::default());
        let found = found.expect("listed");
        assert_eq!(found.tree.keys().collect::<Vec<_>>(), ["über", "über/x"]);
        assert_eq!(folder.path().join(found.on_disk("über/x")), file);
        assert_eq!(found.parts, [folder.path().join(part)]);
        let found = scan(folder.path(), NamePolicy::Any, &Selection::default()).expect("listed");
        assert!(found.tree.contains_key(decomposed));
    }
}
