//! Changes that may still be dropped: what a command writes until it is known to succeed.
//!
//! A refused command must change nothing, and each change of a batch is judged on its own. So
//! writes gather in memory over the tables, are read through, and are handed down in one go. A
//! hundred increments of one row cost one write below.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use crate::tables::{Reader, TableError, Visitor, Writer};

/// A layer of changes over tables or over another layer. Dropped, it changes nothing.
pub(crate) struct Overlay<'a> {
    below: &'a mut dyn Writer,
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(below: &'a mut dyn Writer) -> Self {
        Self { below, changes: BTreeMap::new() }
    }

    /// Hands the changes down, in the order of their keys.
    pub(crate) fn commit(self) -> Result<(), TableError> {
        for (key, value) in self.changes {
            match value {
                Some(value) => self.below.put(&key, &value)?,
                None => self.below.delete(&key)?,
            }
        }
        Ok(())
    }

    fn merge(
        &self,
        from: &[u8],
        to: &[u8],
        backwards: bool,
        visit: Visitor<'_>,
    ) -> Result<(), TableError> {
        if from >= to {
            return Ok(());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let mut forward = self.changes.range::<[u8], _>(range);
        let mut next = || if backwards { forward.next_back() } else { forward.next() };
        let precedes = |a: &[u8], b: &[u8]| if backwards { a > b } else { a < b };
        let mut pending = next();
        let mut stopped = ControlFlow::Continue(());
        let mut merged = |key: &[u8], value: &[u8]| {
            while let Some((changed, change)) = pending.filter(|(k, _)| precedes(k, key)) {
                pending = next();
                if let Some(change) = change {
                    visit(changed, change)?;
                }
            }
            match pending.filter(|(changed, _)| *changed == key) {
                Some((_, change)) => {
                    pending = next();
                    change.as_ref().map_or(ControlFlow::Continue(()), |change| visit(key, change))
                }
                None => visit(key, value),
            }
        };
        let mut below = |key: &[u8], value: &[u8]| {
            stopped = merged(key, value);
            stopped
        };
        if backwards {
            self.below.scan_back(from, to, &mut below)?;
        } else {
            self.below.scan(from, to, &mut below)?;
        }
        while let (ControlFlow::Continue(()), Some((key, change))) = (stopped, pending) {
            pending = next();
            if let Some(change) = change {
                stopped = visit(key, change);
            }
        }
        Ok(())
    }
}

impl Reader for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.below.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        self.merge(from, to, false, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        self.merge(from, to, true, visit)
    }
}

impl Writer for Overlay<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableError> {
        self.changes.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), TableError> {
        self.changes.insert(key.to_vec(), None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::Overlay;
    use crate::tables::{MemoryTables, Reader, Writer};

    fn rows(tables: &dyn Reader, from: &[u8], to: &[u8], back: bool, most: usize) -> Vec<Vec<u8>> {
        let mut rows = Vec::new();
        let mut show = |key: &[u8], value: &[u8]| {
            rows.push([key, value].concat());
            if rows.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let scanned = if back {
            tables.scan_back(from, to, &mut show)
        } else {
            tables.scan(from, to, &mut show)
        };
        scanned.expect("memory never fails");
        rows
    }

    proptest! {
        #[test]
        fn reads_like_the_tables_it_would_become(
            below in vec((0..12u8, any::<u8>()), 0..12),
            changes in vec((0..12u8, any::<Option<u8>>()), 0..12),
            from in 0..12u8,
            to in 0..14u8,
            most in 1..6usize,
        ) {
            let mut tables = MemoryTables::default();
            for (key, value) in below {
                tables.put(&[key], &[value]).expect("memory never fails");
            }
            let mut expected = tables.clone();
            let mut overlay = Overlay::new(&mut tables);
            for (key, value) in changes {
                for target in [&mut overlay as &mut dyn Writer, &mut expected] {
                    match value {
                        Some(value) => target.put(&[key], &[value]),
                        None => target.delete(&[key]),
                    }
                    .expect("memory never fails");
                }
            }
            for back in [false, true] {
                prop_assert_eq!(
                    rows(&overlay, &[from], &[to], back, most),
                    rows(&expected, &[from], &[to], back, most)
                );
            }
            overlay.commit().expect("memory never fails");
            prop_assert_eq!(tables, expected);
        }
    }
}
