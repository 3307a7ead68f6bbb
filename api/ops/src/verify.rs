//! Checksums of files too long to be read back while their upload waits: computed by and by.
//!
//! The node that leads looks through the versions whose checksum nobody has seen, and tells what
//! their bytes give. It works at most half of the time, so that readers keep their drives.

use node_base::{Duration, FileId, TenantId};
use raft_meta::command::Upkeep;
use raft_meta::query::upkeep::{self, UnverifiedVersion};
use raft_meta::{Answer, Command, Scopes, UserCaller};

use crate::call::{Call, Ops};
use crate::content::Pace;
use crate::error::OpError;

/// Versions that are looked at between two looks at what has come.
const TOGETHER: usize = 100;

/// Looks for what is to be verified, for ever.
pub(crate) async fn run(ops: Ops, every: Duration) {
    let mut after = None;
    loop {
        ops.world.sleep(every).await;
        if !ops.raft.status().leads {
            continue;
        }
        match round(&ops, after).await {
            Ok(last) => after = last,
            Err(error) => tracing::debug!(%error, "a round of checksums ended early"),
        }
    }
}

type Key = (TenantId, FileId, u32);

/// Verifies some versions behind `after`; answers where to go on.
async fn round(ops: &Ops, after: Option<Key>) -> Result<Option<Key>, OpError> {
    let found = ops.look(move |tables| upkeep::unverified(tables, after, TOGETHER)).await?;
    let mut last = None;
    for row in found {
        last = Some((row.tenant, row.file, row.number));
        let started = ops.world.now();
        if let Err(error) = verify(ops, row).await {
            tracing::debug!(%error, "a checksum is not computed; it will be tried again");
        }
        ops.world.sleep(ops.world.now().since(started)).await;
    }
    Ok(last)
}

async fn verify(ops: &Ops, row: UnverifiedVersion) -> Result<(), OpError> {
    let UnverifiedVersion { tenant, file, number, version } = row;
    let (id, sha256) = match version {
        Some(version) => {
            let caller = UserCaller {
                tenant,
                user: version.created_by,
                scopes: Scopes::NONE,
                service_account: None,
                ip: None,
                user_agent: None,
            };
            let call = Call::new(caller);
            let (content, size) = (version.content, version.size);
            (version.id, ops.hash_content(&call, content, size, Pace::GivingWay).await?)
        }
        // It is gone: only the note of it is dropped.
        None => (0.into(), node_base::sha256(&[])),
    };
    let set = Upkeep::SetChecksum { tenant, file, number, version: id, sha256 };
    ops.agree_as_node::<Answer>(Command::Upkeep(set)).await?;
    Ok(())
}
