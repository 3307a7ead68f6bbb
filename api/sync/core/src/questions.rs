//! Which contents must be compared before a plan can be made.

use crate::tree::{Base, Local, Remote, Trees, current};

/// What a local file is to be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compare {
    /// With what was last in step: its stamp changed, its size did not.
    Base,
    /// With what the server has: both sides may have got the same content on their own.
    Remote,
}

/// One comparison of contents. Its answer goes into the local file's `same_as_…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    pub path: String,
    pub with: Compare,
}

/// All comparisons worth their cost: sizes that differ need none.
pub fn questions(trees: &Trees) -> Vec<Question> {
    let mut asked = Vec::new();
    for (path, local) in &trees.local {
        let Local::File(file) = local else { continue };
        let base = match trees.base.get(path) {
            Some(Base::File(base)) => Some(base),
            Some(Base::Folder { .. }) | None => None,
        };
        if base.is_some_and(|base| base.stamp == file.stamp) {
            continue;
        }
        if base.is_some_and(|base| base.stamp.size == file.stamp.size) {
            asked.push(Question { path: path.clone(), with: Compare::Base });
        }
        if let Some(Remote::File(remote)) = trees.remote.get(path) {
            let changed = base.is_none_or(|base| !current(remote, base));
            if changed && remote.size == file.stamp.size {
                asked.push(Question { path: path.clone(), with: Compare::Remote });
            }
        }
    }
    asked
}
