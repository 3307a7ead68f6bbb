//! Judging every path: what is here, what is there, what was.

use std::collections::BTreeSet;

use node_base::{Name, NamePolicy};

use crate::plan::Phase;
use crate::step::{Replaced, Step};
use crate::tree::{
    Base, BaseFile, Local, LocalFile, Remote, RemoteFile, Trees, below, current, parent, untouched,
};

pub(crate) struct Visit<'a> {
    trees: &'a Trees,
    mark: &'a str,
    steps: Vec<(Phase, Step)>,
    /// Paths below which everything is already decided.
    settled: BTreeSet<String>,
    /// Folders that stay or come into being, because something in them does.
    kept: BTreeSet<String>,
    /// Paths that something will have that neither tree has now.
    claimed: BTreeSet<String>,
    conflicts: u64,
}

impl<'a> Visit<'a> {
    pub(crate) fn new(trees: &'a Trees, mark: &'a str) -> Self {
        Self {
            trees,
            mark,
            steps: Vec::new(),
            settled: BTreeSet::new(),
            kept: BTreeSet::new(),
            claimed: BTreeSet::new(),
            conflicts: 0,
        }
    }

    pub(crate) fn finish(self) -> (Vec<(Phase, Step)>, u64) {
        (self.steps, self.conflicts)
    }

    /// Judges every path: first clashes of kind from the top down, since they settle what is below
    /// them; then files; then folders from the bottom up, since a folder stays for what is in it.
    pub(crate) fn all(&mut self) {
        let trees = self.trees;
        let mut paths: BTreeSet<&str> = BTreeSet::new();
        paths.extend(trees.local.keys().map(String::as_str));
        paths.extend(trees.remote.keys().map(String::as_str));
        paths.extend(trees.base.keys().map(String::as_str));
        for &path in &paths {
            if !self.is_settled(path) {
                self.clash(path);
            }
        }
        let mut folders = Vec::new();
        for &path in &paths {
            if self.is_settled(path) {
                continue;
            }
            match (trees.local.get(path), trees.remote.get(path)) {
                (Some(Local::File(local)), Some(Remote::File(remote))) => {
                    self.both(path, local, remote);
                }
                (Some(Local::File(local)), _) => self.local_alone(path, local),
                (_, Some(Remote::File(remote))) => self.remote_alone(path, remote),
                (None, None) => self.step(Phase::Content, Step::Forget { path: path.to_owned() }),
                (_, _) => folders.push(path),
            }
        }
        for path in folders.into_iter().rev() {
            self.folder(path);
        }
    }

    fn step(&mut self, phase: Phase, step: Step) {
        self.steps.push((phase, step));
    }

    fn is_settled(&self, path: &str) -> bool {
        self.settled.contains(path)
            || crate::tree::ancestors(path).any(|folder| self.settled.contains(folder))
    }

    /// The folders above `path` are needed.
    fn keep_above(&mut self, path: &str) {
        let mut path = path;
        while let Some(folder) = parent(path) {
            if !self.kept.insert(folder.to_owned()) {
                return;
            }
            path = folder;
        }
    }

    fn base_file(&self, path: &str) -> Option<&'a BaseFile> {
        match self.trees.base.get(path) {
            Some(Base::File(file)) => Some(file),
            Some(Base::Folder { .. }) | None => None,
        }
    }

    fn both(&mut self, path: &str, local: &LocalFile, remote: &RemoteFile) {
        self.keep_above(path);
        let base = self.base_file(path);
        let here = base.is_some_and(|base| untouched(local, base));
        let there = base.is_some_and(|base| current(remote, base));
        match (here, there) {
            (true, true) => self.marks(path, local, remote, base),
            (true, false) => {
                self.step(Phase::Content, Step::download(path, remote, Some(local.stamp)));
            }
            (false, true) => {
                let replaces =
                    Replaced { id: remote.id.clone(), version_id: remote.version_id.clone() };
                self.step(Phase::Content, upload(path, local, Some(replaces)));
            }
            (false, false) if local.same_as_remote == Some(true) => {
                self.step(Phase::Content, Step::Adopt { path: path.to_owned() });
            }
            (false, false) => {
                let aside = self.aside(path);
                self.step(Phase::Content, upload(&aside, local, None));
                self.step(Phase::Content, Step::download(path, remote, None));
            }
        }
    }

    /// The content is the same on both sides; the Unix bit or the stamp may not be.
    fn marks(
        &mut self,
        path: &str,
        local: &LocalFile,
        remote: &RemoteFile,
        base: Option<&BaseFile>,
    ) {
        let Some(base) = base else { return };
        let path = path.to_owned();
        let there = remote.executable.unwrap_or(base.executable);
        if local.executable != base.executable && local.executable != there {
            let (id, executable) = (remote.id.clone(), local.executable);
            self.step(Phase::Content, Step::MarkRemote { path, id, executable });
        } else if there != local.executable {
            self.step(Phase::Content, Step::MarkLocal { path, executable: there });
        } else if local.stamp != base.stamp || local.executable != base.executable {
            self.step(Phase::Content, Step::Adopt { path });
        }
    }

    fn local_alone(&mut self, path: &str, local: &LocalFile) {
        match self.base_file(path) {
            Some(base) if untouched(local, base) => {
                let step = Step::DeleteLocalFile { path: path.to_owned(), stamp: local.stamp };
                self.step(Phase::DeleteFiles, step);
            }
            Some(_) | None => {
                self.keep_above(path);
                self.step(Phase::Content, upload(path, local, None));
            }
        }
    }

    fn remote_alone(&mut self, path: &str, remote: &RemoteFile) {
        match self.base_file(path) {
            Some(base) if current(remote, base) => {
                self.step(Phase::DeleteFiles, delete_file(path, remote));
            }
            Some(_) | None => {
                self.keep_above(path);
                self.step(Phase::Content, Step::download(path, remote, None));
            }
        }
    }

    /// A folder on one side or both; what is in it is already judged.
    fn folder(&mut self, path: &str) {
        let was = matches!(self.trees.base.get(path), Some(Base::Folder { .. }));
        let stays = !was || self.kept.contains(path);
        let path_owned = path.to_owned();
        match (self.trees.local.get(path), self.trees.remote.get(path)) {
            (Some(_), Some(remote)) => {
                self.keep_above(path);
                let known = self.trees.base.get(path).map(Base::id);
                if known != Some(remote.id()) {
                    self.step(Phase::Folders, Step::Adopt { path: path_owned });
                }
            }
            (Some(_), None) if stays => {
                self.keep_above(path);
                self.step(Phase::Folders, Step::MakeRemoteFolder { path: path_owned });
            }
            (Some(_), None) => {
                self.step(Phase::DeleteFolders, Step::DeleteLocalFolder { path: path_owned });
            }
            (None, Some(remote)) if stays => {
                self.keep_above(path);
                let id = remote.id().to_owned();
                self.step(Phase::Folders, Step::MakeLocalFolder { path: path_owned, id });
            }
            // It was deleted here with all that this machine knew of it, and that was not all.
            (None, Some(_)) if !self.trees.shows_all_below(path) => {}
            (None, Some(remote)) => {
                self.step(Phase::DeleteFolders, delete_folder(path, remote.id()));
            }
            (None, None) => {}
        }
    }

    /// A file on one side and a folder on the other.
    fn clash(&mut self, path: &str) {
        match (self.trees.local.get(path), self.trees.remote.get(path)) {
            (Some(Local::File(local)), Some(Remote::Folder(id))) => {
                self.file_meets_folder(path, local, id);
            }
            (Some(Local::Folder(_)), Some(Remote::File(remote))) => {
                self.folder_meets_file(path, remote);
            }
            _ => {}
        }
    }

    fn file_meets_folder(&mut self, path: &str, local: &LocalFile, id: &str) {
        self.keep_above(path);
        let replaced_there = self.base_file(path).is_some_and(|base| untouched(local, base));
        if replaced_there {
            let step = Step::DeleteLocalFile { path: path.to_owned(), stamp: local.stamp };
            self.step(Phase::ClearFiles, step);
            self.bring_down(path);
        } else if self.was_folder(path) && self.remote_is_as_it_was(path) {
            self.step(Phase::ClearFolders, delete_folder(path, id));
            self.step(Phase::Content, upload(path, local, None));
        } else {
            let aside = self.aside(path);
            self.step(Phase::Content, upload(&aside, local, None));
            self.bring_down(path);
        }
        self.settled.insert(path.to_owned());
    }

    fn folder_meets_file(&mut self, path: &str, remote: &RemoteFile) {
        self.keep_above(path);
        let replaced_here = self.base_file(path).is_some_and(|base| current(remote, base));
        if replaced_here {
            self.step(Phase::ClearFiles, delete_file(path, remote));
            self.bring_up(path, path);
        } else if self.was_folder(path) && self.local_is_as_it_was(path) {
            self.clear_local(path);
            self.step(Phase::Content, Step::download(path, remote, None));
        } else {
            let aside = self.aside(path);
            self.bring_up(path, &aside);
            self.step(Phase::Content, Step::download(path, remote, None));
        }
        self.settled.insert(path.to_owned());
    }

    fn was_folder(&self, path: &str) -> bool {
        matches!(self.trees.base.get(path), Some(Base::Folder { .. }))
    }

    fn remote_is_as_it_was(&self, path: &str) -> bool {
        self.trees.shows_all_below(path)
            && below(&self.trees.remote, path).all(|(at, remote)| match remote {
                Remote::Folder(_) => self.was_folder(at),
                Remote::File(file) => self.base_file(at).is_some_and(|base| current(file, base)),
            })
    }

    fn local_is_as_it_was(&self, path: &str) -> bool {
        below(&self.trees.local, path).all(|(at, local)| match local {
            Local::Folder(_) => self.was_folder(at),
            Local::File(file) => self.base_file(at).is_some_and(|base| untouched(file, base)),
        })
    }

    /// All of a remote subtree comes here.
    fn bring_down(&mut self, path: &str) {
        for (at, remote) in below(&self.trees.remote, path) {
            match remote {
                Remote::Folder(id) => {
                    let step = Step::MakeLocalFolder { path: at.clone(), id: id.clone() };
                    self.step(Phase::Folders, step);
                }
                Remote::File(file) => self.step(Phase::Content, Step::download(at, file, None)),
            }
        }
    }

    /// All of a local subtree goes to the server, to another place if `to` is another.
    fn bring_up(&mut self, path: &str, to: &str) {
        for (at, local) in below(&self.trees.local, path) {
            let there = format!("{to}{}", &at[path.len()..]);
            match local {
                Local::Folder(_) => {
                    self.step(Phase::Folders, Step::MakeRemoteFolder { path: there });
                }
                Local::File(file) => self.step(Phase::Content, upload(&there, file, None)),
            }
        }
    }

    fn clear_local(&mut self, path: &str) {
        for (at, local) in below(&self.trees.local, path) {
            match local {
                Local::Folder(_) => {
                    let step = Step::DeleteLocalFolder { path: at.clone() };
                    self.step(Phase::ClearFolders, step);
                }
                Local::File(file) => {
                    let step = Step::DeleteLocalFile { path: at.clone(), stamp: file.stamp };
                    self.step(Phase::ClearFiles, step);
                }
            }
        }
    }

    /// The local thing at `path` steps aside; its new path.
    fn aside(&mut self, path: &str) -> String {
        self.conflicts += 1;
        let (folder, last) = match parent(path) {
            Some(folder) => (&path[..=folder.len()], &path[folder.len() + 1..]),
            None => ("", path),
        };
        let marked = |mark: &str| {
            // Names in the trees come from a server or a file system, and hold what `Any` asks.
            let name = Name::new(last, NamePolicy::Any).map(|name| name.marked(mark).to_string());
            format!("{folder}{}", name.unwrap_or_else(|_| last.to_owned()))
        };
        let mut to = marked(self.mark);
        let mut count = 2_u64;
        while self.is_taken(&to) {
            let (open, _) = self.mark.rsplit_once(')').unwrap_or((self.mark, ""));
            to = marked(&format!("{open} {count})"));
            count += 1;
        }
        self.claimed.insert(to.clone());
        let step = Step::KeepBeside { from: path.to_owned(), to: to.clone() };
        self.step(Phase::Aside, step);
        to
    }

    fn is_taken(&self, path: &str) -> bool {
        self.trees.local.contains_key(path)
            || self.trees.remote.contains_key(path)
            || self.trees.base.contains_key(path)
            || self.claimed.contains(path)
    }
}

fn upload(path: &str, local: &LocalFile, replaces: Option<Replaced>) -> Step {
    let (stamp, executable) = (local.stamp, local.executable);
    Step::Upload { path: path.to_owned(), stamp, executable, replaces }
}

fn delete_file(path: &str, file: &RemoteFile) -> Step {
    Step::DeleteRemote {
        path: path.to_owned(),
        id: file.id.clone(),
        is_folder: false,
        version_id: Some(file.version_id.clone()),
    }
}

fn delete_folder(path: &str, id: &str) -> Step {
    let (path, id) = (path.to_owned(), id.to_owned());
    Step::DeleteRemote { path, id, is_folder: true, version_id: None }
}
