//! Looks for an order that explains what clients were answered: Wing and Gong's search, with Lowe's
//! memory of where it has been.
//!
//! An operation took effect at one moment between its call and its answer. So among those not yet
//! placed, the next one is any that was called before the first answer of them all. The search
//! tries these, the first answered first, and goes back where none fits. The same operations placed
//! with the same state come to the same end, so each such pair is visited once. An operation
//! that was never answered may come at any time after its call, or never.
//!
//! Never here: anything of the product, a clock, a task.

use std::collections::BTreeSet;

/// When an operation ended that was never answered.
pub const NEVER: u64 = u64::MAX;

/// What does one step after the other, and so tells which answers are right.
pub trait Model: Default {
    /// What was done, and what was answered.
    type Step;
    /// How to take a change back.
    type Undo;

    /// Does a step if its answer is right; else nothing. `undo` gets what takes it back.
    fn take(&mut self, step: &Self::Step, undo: &mut Vec<Self::Undo>) -> bool;

    /// Takes back what is in `undo`.
    fn take_back(&mut self, undo: &mut Vec<Self::Undo>);

    /// Tells states apart.
    fn hash(&self) -> u64;
}

/// Spreads the bits of a number (the finalizer of SplitMix64).
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An operation, as far as order goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event<S> {
    /// The operation's number, for people.
    pub number: u32,
    pub began: u64,
    /// [`NEVER`]: it need not have happened.
    pub ended: u64,
    pub step: S,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    InOrder,
    /// After the longest order found, none of these could come next.
    OutOfOrder {
        placed: usize,
        stuck: Vec<u32>,
    },
    /// The search was given up.
    Undecided,
}

/// A choice made, and what else there was to choose.
struct Frame<U> {
    choices: Vec<usize>,
    /// The next to try.
    next: usize,
    /// What is placed, and how to take it back.
    placed: Option<usize>,
    undo: Vec<U>,
}

struct Search<'a, M: Model> {
    events: &'a [Event<M::Step>],
    model: M,
    /// The events not yet placed, by when they began: each one's neighbours; the last index is
    /// both ends.
    after: Vec<usize>,
    before: Vec<usize>,
    /// How many that were answered are not placed.
    left: usize,
    /// Tells sets of placed events apart.
    placed_hash: u64,
    placed: usize,
    seen: BTreeSet<(u64, u64)>,
    best: (usize, Vec<u32>),
}

/// Looks for an order of `events`, which are sorted by when they began, in at most `steps` tries.
pub fn search<M: Model>(events: &[Event<M::Step>], steps: u64) -> Verdict {
    let end = events.len();
    let mut search = Search {
        events,
        model: M::default(),
        after: (1..=end).chain([0]).collect(),
        before: std::iter::once(end).chain(0..end).collect(),
        left: events.iter().filter(|event| event.ended != NEVER).count(),
        placed_hash: 0,
        placed: 0,
        seen: BTreeSet::new(),
        best: (0, Vec::new()),
    };
    search.run(steps)
}

impl<M: Model> Search<'_, M> {
    fn run(&mut self, steps: u64) -> Verdict {
        let mut frames = vec![self.frame()];
        let mut left = steps;
        while self.left > 0 {
            let Some(frame) = frames.last_mut() else {
                let (placed, stuck) = std::mem::take(&mut self.best);
                return Verdict::OutOfOrder { placed, stuck };
            };
            if let Some(event) = frame.placed.take() {
                self.model.take_back(&mut frame.undo);
                self.unplace(event);
            }
            let Some(event) = frame.choices.get(frame.next).copied() else {
                frames.pop();
                continue;
            };
            frame.next += 1;
            if left == 0 {
                return Verdict::Undecided;
            }
            left -= 1;
            if !self.model.take(&self.events[event].step, &mut frame.undo) {
                self.model.take_back(&mut frame.undo);
                continue;
            }
            frame.placed = Some(event);
            self.place(event);
            if self.seen.insert((self.placed_hash, self.model.hash())) {
                frames.push(self.frame());
            }
        }
        Verdict::InOrder
    }

    /// What may come next.
    fn frame(&mut self) -> Frame<M::Undo> {
        let end = self.events.len();
        let (mut choices, mut first_answer) = (Vec::new(), NEVER);
        let mut at = self.after[end];
        while at != end && self.events[at].began < first_answer {
            first_answer = first_answer.min(self.events[at].ended);
            choices.push(at);
            at = self.after[at];
        }
        choices.sort_by_key(|event| (self.events[*event].ended, *event));
        if self.placed > self.best.0 || self.best.1.is_empty() {
            let numbers = choices.iter().map(|event| self.events[*event].number);
            self.best = (self.placed, numbers.collect());
        }
        Frame { choices, next: 0, placed: None, undo: Vec::new() }
    }

    fn place(&mut self, event: usize) {
        let (before, after) = (self.before[event], self.after[event]);
        (self.after[before], self.before[after]) = (after, before);
        self.count(event);
        self.left -= usize::from(self.events[event].ended != NEVER);
        self.placed += 1;
    }

    fn unplace(&mut self, event: usize) {
        let (before, after) = (self.before[event], self.after[event]);
        (self.after[before], self.before[after]) = (event, event);
        self.count(event);
        self.left += usize::from(self.events[event].ended != NEVER);
        self.placed -= 1;
    }

    fn count(&mut self, event: usize) {
        self.placed_hash ^= mix(event as u64 + 1);
    }
}
