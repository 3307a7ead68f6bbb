//! What administrators are shown past the lists, put on record before they are shown it.
//!
//! One event for each thing, administrator and minute, so that who looks at a thing again and
//! again writes no command each time. Another node may write its own for the same minute.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use node_base::{TenantId, Timestamp, UserId};
use raft_meta::access::Pass;
use raft_meta::command::PermissionCommand;
use raft_meta::{Command, UserCaller};

use crate::call::{Call, Ops};
use crate::error::OpError;

/// Passes told of by one command.
const TOGETHER: usize = 500;
/// Passes of one minute that are remembered. Of more, some are recorded again.
const REMEMBERED_MAX: usize = 50_000;

/// Who looked, as an event names it, and at what.
type Look = (TenantId, UserId, Option<String>, Option<String>, Pass);

/// What was recorded in the minute under way.
#[derive(Default)]
pub(crate) struct Recorded(Mutex<(i64, BTreeSet<Look>)>);

const fn minute(at: Timestamp) -> i64 {
    at.millis().div_euclid(60_000)
}

fn look(caller: &UserCaller, pass: Pass) -> Look {
    let UserCaller { tenant, user, service_account, ip, .. } = caller.clone();
    (tenant, user, service_account, ip, pass)
}

impl Recorded {
    /// Leaves what was not recorded yet.
    fn new_ones(&self, now: Timestamp, caller: &UserCaller, passes: Vec<Pass>) -> Vec<Pass> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |pass: Pass| known.0 == minute(now) && known.1.contains(&look(caller, pass));
        passes.into_iter().filter(|pass| !is_known(*pass)).collect()
    }

    fn add(&self, now: Timestamp, caller: &UserCaller, passes: Vec<Pass>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != minute(now) || known.1.len() >= REMEMBERED_MAX {
            *known = (minute(now), BTreeSet::new());
        }
        known.1.extend(passes.into_iter().map(|pass| look(caller, pass)));
    }
}

impl Ops {
    /// Has it agreed that the caller passes where only its stored role lets it.
    ///
    /// # Errors
    /// The refusal, when it does not any more; or why nothing could be agreed.
    pub(crate) async fn record(&self, call: &Call, passes: Vec<Pass>) -> Result<(), OpError> {
        let now = self.world.wall();
        let mut passes = self.recorded().new_ones(now, &call.caller, passes);
        while !passes.is_empty() {
            let rest = passes.split_off(passes.len().min(TOGETHER));
            let command = PermissionCommand::NotePasses { passes: passes.clone() };
            // A call of its own: the caller's key and condition are of what it asked for.
            let noting = Call::new(call.caller.clone());
            self.agree::<()>(&noting, Command::Permission(command)).await?;
            self.recorded().add(now, &call.caller, passes);
            passes = rest;
        }
        Ok(())
    }
}
