//! Pages of a list: a stretch of it, and how long it is in all.

use crate::outcome::Refusal;
use crate::tables::TableError;

/// A stretch of what a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// How many there are in all, counting only what the caller may see.
    pub total: u64,
}

/// Is handed all items in order and keeps those of the page.
#[derive(Debug)]
pub(crate) struct Pager<T> {
    page: Page<T>,
    offset: u64,
    limit: usize,
}

impl<T> Pager<T> {
    pub(crate) fn new(offset: u64, limit: u32) -> Self {
        Self { page: Page { items: Vec::new(), total: 0 }, offset, limit: limit as usize }
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.page.total >= self.offset && self.page.items.len() < self.limit {
            self.page.items.push(item);
        }
        self.page.total += 1;
    }

    pub(crate) fn page(self) -> Page<T> {
        self.page
    }
}

/// What a question gets: its answer, or the refusal that the same check gives a command.
pub type Reply<T> = Result<Result<T, Refusal>, TableError>;
