//! Changes over rows that are elsewhere, for engines that have no such thing of their own.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use raft_meta::tables::Visitor;
use raft_meta::{Reader, TableError, Writer};

use super::Row;

/// New values, and nothing for rows that are not there.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// How many rows are gathered before they are shown.
const PAGE: usize = 256;

/// The next rows of `from..to` as `changes` have them, and where the rest begins or ends; nothing
/// when there is no rest.
pub(super) fn page(
    base: &dyn Reader,
    changes: &Changes,
    (from, to): (&[u8], &[u8]),
    back: bool,
) -> Result<(Vec<Row>, Option<Vec<u8>>), TableError> {
    let mut rows = BTreeMap::new();
    let mut last = None;
    let mut gather = |key: &[u8], value: &[u8]| {
        rows.insert(key.to_vec(), value.to_vec());
        if rows.len() < PAGE {
            return ControlFlow::Continue(());
        }
        last = Some(key.to_vec());
        ControlFlow::Break(())
    };
    if back { base.scan_back(from, to, &mut gather) } else { base.scan(from, to, &mut gather) }?;
    // Forwards the rest begins right behind the last row; backwards it ends at that row.
    let rest = last.map(|mut key| {
        if !back {
            key.push(0);
        }
        key
    });
    let covered = match (&rest, back) {
        (None, _) => from..to,
        (Some(rest), false) => from..rest.as_slice(),
        (Some(rest), true) => rest.as_slice()..to,
    };
    for (key, value) in changes.range(covered.start.to_vec()..covered.end.to_vec()) {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
    let mut rows: Vec<Row> = rows.into_iter().collect();
    if back {
        rows.reverse();
    }
    Ok((rows, rest))
}

/// Shows rows page by page; `next` answers a page of the range it is given.
pub(super) fn visit_pages(
    (from, to): (&[u8], &[u8]),
    back: bool,
    visit: Visitor<'_>,
    next: impl Fn((&[u8], &[u8])) -> Result<(Vec<Row>, Option<Vec<u8>>), TableError>,
) -> Result<(), TableError> {
    let (mut from, mut to) = (from.to_vec(), to.to_vec());
    while from < to {
        let (rows, rest) = next((&from, &to))?;
        if rows.iter().any(|(key, value)| visit(key, value).is_break()) {
            return Ok(());
        }
        let Some(rest) = rest else { return Ok(()) };
        if back {
            to = rest;
        } else {
            from = rest;
        }
    }
    Ok(())
}

/// A write transaction that gathers its changes.
pub(super) struct Staged<'a> {
    pub(super) base: &'a dyn Reader,
    pub(super) changes: Changes,
}

impl Reader for Staged<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        visit_pages((from, to), false, visit, |range| page(self.base, &self.changes, range, false))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        visit_pages((from, to), true, visit, |range| page(self.base, &self.changes, range, true))
    }
}

impl Writer for Staged<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableError> {
        self.changes.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), TableError> {
        self.changes.insert(key.to_vec(), None);
        Ok(())
    }
}
