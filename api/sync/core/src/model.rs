//! Two pretend machines that do what a plan says, and refuse what cannot be done.

use std::collections::{BTreeMap, BTreeSet};

use node_base::NamePolicy;

use crate::tree::{ancestors, below, parent, rename};
use crate::{
    Base, BaseFile, Compare, Local, LocalFile, Options, Plan, Remote, RemoteFile, Stamp, Step,
    Trees, plan, questions,
};

/// A file's bytes, as a number. Its size is far less telling, so that sizes agree by chance.
pub(crate) type Content = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Here {
    Folder { inode: u64 },
    File { content: Content, modified: i64, inode: u64, executable: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum There {
    Folder { id: String },
    File { id: String, version: u32, content: Content, executable: bool },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) here: BTreeMap<String, Here>,
    pub(crate) there: BTreeMap<String, There>,
    base: BTreeMap<String, Base>,
    base_content: BTreeMap<String, Content>,
    /// What is on the server and not looked at here.
    pub(crate) left_there: BTreeSet<String>,
    count: u32,
}

fn size(content: Content) -> u64 {
    u64::from(content % 2)
}

impl Model {
    pub(crate) fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    fn stamp(here: &Here) -> Stamp {
        match *here {
            Here::File { content, modified, inode, .. } => {
                Stamp { size: size(content), modified, inode }
            }
            Here::Folder { .. } => panic!("only files have stamps"),
        }
    }

    /// A new content at `path` here; as a new thing if `path` is not a file yet.
    pub(crate) fn write_here(&mut self, path: &str, content: Content) {
        let modified = i64::from(self.next());
        let old = match self.here.get(path) {
            Some(Here::File { inode, executable, .. }) => Some((*inode, *executable)),
            _ => None,
        };
        let (inode, executable) = old.unwrap_or((u64::from(self.count), false));
        self.put_here(path, Here::File { content, modified, inode, executable });
    }

    pub(crate) fn fold_here(&mut self, path: &str) {
        let inode = u64::from(self.next());
        self.put_here(path, Here::Folder { inode });
    }

    fn put_here(&mut self, path: &str, what: Here) {
        assert!(
            parent(path).is_none_or(|up| matches!(self.here.get(up), Some(Here::Folder { .. }))),
            "there is a folder for {path} here"
        );
        self.here.insert(path.to_owned(), what);
    }

    pub(crate) fn write_there(&mut self, path: &str, content: Content) {
        let version = self.next();
        let old = match self.there.get(path) {
            Some(There::File { id, executable, .. }) => Some((id.clone(), *executable)),
            _ => None,
        };
        let (id, executable) = old.unwrap_or((format!("fil_{version}"), false));
        self.put_there(path, There::File { id, version, content, executable });
    }

    pub(crate) fn fold_there(&mut self, path: &str) -> String {
        let id = format!("fld_{}", self.next());
        self.put_there(path, There::Folder { id: id.clone() });
        id
    }

    fn put_there(&mut self, path: &str, what: There) {
        assert!(
            parent(path).is_none_or(|up| matches!(self.there.get(up), Some(There::Folder { .. }))),
            "there is a folder for {path} on the server"
        );
        self.there.insert(path.to_owned(), what);
    }

    pub(crate) fn remove_here(&mut self, path: &str) {
        take(&mut self.here, path);
    }

    pub(crate) fn remove_there(&mut self, path: &str) {
        take(&mut self.there, path);
    }

    pub(crate) fn move_here(&mut self, from: &str, to: &str) {
        rename(&mut self.here, from, to);
    }

    pub(crate) fn move_there(&mut self, from: &str, to: &str) {
        rename(&mut self.there, from, to);
    }

    pub(crate) fn forget_all(&mut self) {
        self.base.clear();
        self.base_content.clear();
    }

    pub(crate) fn listing_here(&self) -> String {
        let line = |(path, here): (&String, &Here)| match here {
            Here::Folder { .. } => format!("{path}/"),
            Here::File { content, .. } => format!("{path}={content}"),
        };
        self.here.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn listing_there(&self) -> String {
        let line = |(path, there): (&String, &There)| match there {
            There::Folder { .. } => format!("{path}/"),
            There::File { content, .. } => format!("{path}={content}"),
        };
        self.there.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    fn trees(&self) -> Trees {
        let local = |(path, here): (&String, &Here)| {
            let entry = match *here {
                Here::Folder { inode } => Local::Folder(inode),
                Here::File { executable, .. } => Local::File(LocalFile {
                    stamp: Self::stamp(here),
                    executable,
                    same_as_base: None,
                    same_as_remote: None,
                }),
            };
            (path.clone(), entry)
        };
        let remote = |(path, there): (&String, &There)| {
            let entry = match there {
                There::Folder { id } => Remote::Folder(id.clone()),
                There::File { id, version, content, executable } => Remote::File(RemoteFile {
                    id: id.clone(),
                    version_id: format!("ver_{version}"),
                    size: size(*content),
                    checksum: None,
                    modified: None,
                    executable: Some(*executable),
                }),
            };
            (path.clone(), entry)
        };
        let is_shown = |path: &String| {
            !self.left_there.contains(path)
                && !ancestors(path).any(|folder| self.left_there.contains(folder))
        };
        Trees {
            local: self.here.iter().map(local).collect(),
            remote: self.there.iter().filter(|(path, _)| is_shown(path)).map(remote).collect(),
            base: self.base.clone(),
            left_there: self.left_there.clone(),
            left_here: BTreeSet::new(),
        }
    }

    pub(crate) fn plan(&self, options: &Options) -> Plan {
        let mut trees = self.trees();
        for question in questions(&trees) {
            let Some(Here::File { content, .. }) = self.here.get(&question.path) else {
                panic!("asked about what is no file here")
            };
            let Some(Local::File(local)) = trees.local.get_mut(&question.path) else {
                panic!("asked about what is no file here")
            };
            match (question.with, self.there.get(&question.path)) {
                (Compare::Base, _) => {
                    let was = self.base_content.get(&question.path);
                    local.same_as_base = Some(was == Some(content));
                }
                (Compare::Remote, Some(There::File { content: there, .. })) => {
                    local.same_as_remote = Some(there == content);
                }
                (Compare::Remote, _) => panic!("asked about what is no file on the server"),
            }
        }
        plan(trees, options)
    }

    fn forget(&mut self, path: &str) {
        take_if_there(&mut self.base, path);
        take_if_there(&mut self.base_content, path);
    }

    /// Takes note that both sides have the same at `path`.
    fn record(&mut self, path: &str) {
        let there = self.there[path].clone();
        match (self.here[path], there) {
            (Here::Folder { inode }, There::Folder { id }) => {
                self.base.insert(path.to_owned(), Base::Folder { id, inode });
            }
            (
                here @ Here::File { content, executable, .. },
                There::File { id, version, content: also, .. },
            ) => {
                assert_eq!(content, also, "only what is the same is taken for the same");
                self.forget(path);
                let version_id = format!("ver_{version}");
                let file = BaseFile { id, version_id, stamp: Self::stamp(&here), executable };
                self.base.insert(path.to_owned(), Base::File(file));
                self.base_content.insert(path.to_owned(), content);
            }
            (here, there) => panic!("{path} is {here:?} here and {there:?} on the server"),
        }
    }

    fn content_there(&self, path: &str) -> (Content, bool) {
        match &self.there[path] {
            There::File { content, executable, .. } => (*content, *executable),
            There::Folder { .. } => panic!("{path} is a folder on the server"),
        }
    }

    fn transfer(&mut self, step: &Step) {
        match step {
            Step::Download { path, over, .. } => {
                let now = self.here.get(path).map(Self::stamp);
                assert_eq!(&now, over, "what is replaced at {path} is what was seen");
                let (content, executable) = self.content_there(path);
                let modified = i64::from(self.next());
                let inode = u64::from(self.count);
                self.put_here(path, Here::File { content, modified, inode, executable });
                self.record(path);
            }
            Step::Upload { path, stamp, replaces, executable } => {
                let Here::File { content, .. } = self.here[path] else { panic!("no file {path}") };
                assert_eq!(&Self::stamp(&self.here[path]), stamp);
                let there = self.there.get(path).map(|there| match there {
                    There::File { id, .. } | There::Folder { id } => id.clone(),
                });
                assert_eq!(there, replaces.as_ref().map(|replaced| replaced.id.clone()), "{path}");
                self.write_there(path, content);
                self.mark_there(path, *executable);
                self.record(path);
            }
            other => panic!("{other:?} moves no content"),
        }
    }

    fn mark_there(&mut self, path: &str, marked: bool) {
        match self.there.get_mut(path) {
            Some(There::File { executable, .. }) => *executable = marked,
            other => panic!("{path} is {other:?} on the server"),
        }
    }

    fn delete(&mut self, step: &Step) {
        match step {
            Step::DeleteLocalFile { path, stamp } => {
                assert_eq!(&Self::stamp(&self.here[path]), stamp);
                self.here.remove(path);
                self.forget(path);
            }
            Step::DeleteLocalFolder { path } => {
                let left = below(&self.here, path).count();
                assert_eq!(left, 1, "{path} is empty when it goes");
                self.here.remove(path);
                self.forget(path);
            }
            Step::DeleteRemote { path, is_folder, .. } => {
                let folder = matches!(self.there[path], There::Folder { .. });
                assert_eq!(folder, *is_folder);
                take(&mut self.there, path);
                self.forget(path);
            }
            other => panic!("{other:?} deletes nothing"),
        }
    }

    pub(crate) fn perform(&mut self, step: &Step) {
        match step {
            Step::MoveLocal { from, to } => {
                assert!(parent(to).is_none_or(|up| self.here.contains_key(up)), "{to} has a home");
                assert!(!self.here.contains_key(to));
                rename(&mut self.here, from, to);
                rename(&mut self.base, from, to);
                rename(&mut self.base_content, from, to);
            }
            Step::MoveRemote { from, to, .. } => {
                assert!(parent(to).is_none_or(|up| self.there.contains_key(up)), "{to} has a home");
                assert!(!self.there.contains_key(to));
                rename(&mut self.there, from, to);
                rename(&mut self.base, from, to);
                rename(&mut self.base_content, from, to);
            }
            Step::KeepBeside { from, to } => {
                assert!(!self.here.contains_key(to) && !self.there.contains_key(to));
                rename(&mut self.here, from, to);
                self.forget(from);
            }
            Step::MakeLocalFolder { path, .. } => {
                assert!(!self.here.contains_key(path));
                self.fold_here(path);
                self.record(path);
            }
            Step::MakeRemoteFolder { path } => {
                assert!(!self.there.contains_key(path));
                self.fold_there(path);
                self.record(path);
            }
            Step::Adopt { path } => self.record(path),
            Step::MarkLocal { path, executable: marked } => {
                if let Some(Here::File { executable, .. }) = self.here.get_mut(path) {
                    *executable = *marked;
                }
                self.record(path);
            }
            Step::MarkRemote { path, executable, .. } => {
                self.mark_there(path, *executable);
                self.record(path);
            }
            Step::Forget { path } => self.forget(path),
            Step::Download { .. } | Step::Upload { .. } => self.transfer(step),
            Step::DeleteLocalFile { .. }
            | Step::DeleteLocalFolder { .. }
            | Step::DeleteRemote { .. } => self.delete(step),
        }
    }

    /// Plans and performs until there is nothing to do; the steps of all rounds.
    pub(crate) fn sync(&mut self, options: &Options) -> Vec<Step> {
        let mut done = Vec::new();
        for _ in 0..4 {
            let plan = self.plan(options);
            if plan.steps.is_empty() {
                return done;
            }
            for step in &plan.steps {
                self.perform(step);
            }
            done.extend(plan.steps);
        }
        panic!("still something to do after four rounds: {:?}", self.plan(options).steps)
    }

    pub(crate) fn contents(&self) -> (BTreeSet<Content>, BTreeSet<Content>) {
        let here = self.here.values().filter_map(|here| match here {
            Here::File { content, .. } => Some(*content),
            Here::Folder { .. } => None,
        });
        let there = self.there.values().filter_map(|there| match there {
            There::File { content, .. } => Some(*content),
            There::Folder { .. } => None,
        });
        (here.collect(), there.collect())
    }
}

fn take<T>(tree: &mut BTreeMap<String, T>, path: &str) {
    assert!(tree.contains_key(path), "{path} is there to be removed");
    take_if_there(tree, path);
}

pub(crate) fn take_if_there<T>(tree: &mut BTreeMap<String, T>, path: &str) {
    let paths: Vec<String> = below(tree, path).map(|(path, _)| path.clone()).collect();
    for path in paths {
        tree.remove(&path);
    }
}

pub(crate) fn options() -> Options {
    Options {
        policy: NamePolicy::Any,
        folds_case: false,
        mark: " (conflict)".to_owned(),
        other_folder: false,
        accept_deletions: true,
    }
}
