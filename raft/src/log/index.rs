//! What of the log is in memory: where each written entry is, and the last entries themselves.

use std::collections::VecDeque;

use super::files::Place;
use crate::types::{Entry, LogId, weight};

/// Entries `places.front()..=recent.back()`, all with consecutive indexes: the older ones only as
/// places, the newest only as entries until they are written, those between as both.
pub(super) struct Index {
    purged: Option<LogId>,
    /// Of written entries.
    places: VecDeque<Place>,
    /// The last entries, as far back as the budget allows; those not yet written in any case.
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    budget: usize,
}

/// Where an entry can be had.
pub(super) enum Where {
    Memory(Entry),
    Drive(Place),
}

impl Index {
    pub(super) fn new(purged: Option<LogId>, places: VecDeque<Place>, budget: usize) -> Self {
        Self { purged, places, recent: VecDeque::new(), recent_bytes: 0, budget }
    }

    pub(super) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    /// The last entry's id, or the purged one's where there is no entry.
    pub(super) fn last(&self) -> Option<LogId> {
        let recent = self.recent.back().map(|entry| entry.log_id);
        recent.or(self.places.back().map(|place| place.log_id)).or(self.purged)
    }

    fn first(&self) -> Option<u64> {
        let recent = self.recent.front().map(|entry| entry.log_id.index);
        self.places.front().map(|place| place.log_id.index).or(recent)
    }

    /// Adds an entry that is not yet written.
    ///
    /// # Errors
    /// The index that should have come, when there would be a hole.
    pub(super) fn push(&mut self, entry: Entry) -> Result<(), u64> {
        let next = self.last().map(|last| last.index + 1);
        if let Some(next) = next.filter(|next| *next != entry.log_id.index) {
            return Err(next);
        }
        self.recent_bytes += weight(&entry);
        self.recent.push_back(entry);
        Ok(())
    }

    /// Entries now are at these places. Places of entries that were cut meanwhile are ignored.
    pub(super) fn written(&mut self, places: Vec<Place>) {
        self.places.extend(places);
        let written = self.places.back().map_or(0, |place| place.log_id.index);
        while self.recent_bytes > self.budget {
            let Some(entry) = self.recent.pop_front_if(|entry| entry.log_id.index <= written)
            else {
                break;
            };
            self.recent_bytes -= weight(&entry);
        }
    }

    /// Forgets entries from `since` on, all of which are written.
    pub(super) fn truncate(&mut self, since: u64) {
        while let Some(entry) = self.recent.pop_back_if(|entry| entry.log_id.index >= since) {
            self.recent_bytes -= weight(&entry);
        }
        while self.places.pop_back_if(|place| place.log_id.index >= since).is_some() {}
    }

    /// Forgets entries up to `upto`, all of which are written.
    pub(super) fn purge(&mut self, upto: LogId) {
        while let Some(entry) = self.recent.pop_front_if(|entry| entry.log_id.index <= upto.index) {
            self.recent_bytes -= weight(&entry);
        }
        while self.places.pop_front_if(|place| place.log_id.index <= upto.index).is_some() {}
        self.purged = self.purged.max(Some(upto));
    }

    /// Where the entries of `start..end` are, as far as there are any.
    pub(super) fn find(&self, start: u64, end: u64) -> Vec<Where> {
        let Some((first, last)) = self.first().zip(self.last()) else { return Vec::new() };
        let (start, end) = (start.max(first), end.min(last.index + 1));
        (start..end).filter_map(|index| self.entry(index)).collect()
    }

    fn entry(&self, index: u64) -> Option<Where> {
        let at = |front: Option<u64>| Some(index.checked_sub(front?)? as usize);
        let recent = at(self.recent.front().map(|entry| entry.log_id.index))
            .and_then(|at| self.recent.get(at));
        if let Some(entry) = recent {
            return Some(Where::Memory(entry.clone()));
        }
        let place = at(self.places.front().map(|place| place.log_id.index))
            .and_then(|at| self.places.get(at));
        place.cloned().map(Where::Drive)
    }

    /// Whether the log has this very entry.
    pub(super) fn has(&self, id: LogId) -> bool {
        match self.entry(id.index) {
            Some(Where::Memory(entry)) => entry.log_id == id,
            Some(Where::Drive(place)) => place.log_id == id,
            None => false,
        }
    }

    /// How many bytes of entries are in memory.
    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.recent_bytes
    }
}
