//! Writing a history down while it happens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use node_base::{Duration, NodeId, ShareId, UserId};

use super::setting::Setting;
use super::{Answer, Ask, NEVER, Operation};

/// Takes down what clients do. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub(crate) struct Recorder(Arc<Mutex<Records>>);

#[derive(Default, Debug)]
struct Records {
    moments: u64,
    operations: Vec<Operation>,
    settings: Vec<Setting>,
    garbled: Vec<String>,
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) node: NodeId,
    pub(crate) tries: u32,
    pub(crate) lost: u32,
    pub(crate) answer: Answer,
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody asks; answers the operation's number.
    pub(crate) fn begin(&self, user: UserId, share: ShareId, ask: Ask, at: Duration) -> u32 {
        let mut records = self.lock();
        records.moments += 1;
        let number = records.operations.len() as u32;
        let began = records.moments;
        records.operations.push(Operation {
            number,
            user,
            share,
            ask,
            began,
            began_at: at,
            ended: NEVER,
            node: NodeId(0),
            tries: 0,
            lost: 0,
            answer: Answer::Unknown,
        });
        number
    }

    /// It was answered, or given up.
    pub(crate) fn end(&self, number: u32, ending: Ending) {
        let mut records = self.lock();
        records.moments += 1;
        let now = records.moments;
        let Some(operation) = records.operations.get_mut(number as usize) else { return };
        if ending.answer != Answer::Unknown {
            operation.ended = now;
        }
        let Ending { node, tries, lost, answer } = ending;
        (operation.node, operation.tries, operation.lost) = (node, tries, lost);
        operation.answer = answer;
    }

    /// A moment that is before all later ones.
    pub(crate) fn moment(&self) -> u64 {
        let mut records = self.lock();
        records.moments += 1;
        records.moments
    }

    /// Something was set, or told.
    pub(crate) fn setting(&self, setting: Setting) {
        self.lock().settings.push(setting);
    }

    /// An answer could not be read.
    pub(crate) fn garbled(&self, what: String) {
        self.lock().garbled.push(what);
    }

    /// What was taken down, and is not any more.
    pub(crate) fn take(&self) -> (Vec<Operation>, Vec<Setting>, Vec<String>) {
        let Records { operations, settings, garbled, .. } = std::mem::take(&mut *self.lock());
        (operations, settings, garbled)
    }
}
