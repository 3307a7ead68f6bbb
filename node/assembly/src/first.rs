//! The very first start: a cluster of one, a tenant, and somebody who may do everything in it.
//!
//! Each step may be the last before the power goes: what is missing is made at the next start, and
//! the first password is written down before the user it is for is made.

use std::ops::ControlFlow;
use std::path::Path;

use api::issuer::OwnIssuer;
use api::issuer::password::generate;
use api_ops::Ops;
use node_base::{Duration, TenantId};
use node_world::{OpenMode, World};
use raft::{Consistency, Raft, ReadError};
use raft_meta::command::{NewUser, People, Upkeep};
use raft_meta::table::cluster::{Cluster, Clusters};
use raft_meta::table::people::{AdminRole, ProvisioningSource, Users};
use raft_meta::{Answer, Command, table};

use crate::{Addresses, StartError, propose};

/// The file that keeps the first password until somebody has read it.
pub(crate) const NOTE: &str = "first-sign-in";

/// Whom to sign in as after the first start.
#[derive(Clone, PartialEq, Eq)]
pub struct FirstSignIn {
    pub email: String,
    pub password: String,
}

/// The first administrator's address.
pub const EMAIL: &str = "admin@scaidrive.local";

/// Between two questions whether this node leads yet.
const ELECTION_PAUSE: Duration = Duration::from_millis(10);

/// Founds a cluster of this node alone, unless it is of one already.
pub(crate) async fn found(
    world: &World,
    raft: &Raft,
    addresses: &Addresses,
) -> Result<Cluster, StartError> {
    if !raft.status().is_member {
        raft.found(&addresses.cluster).await?;
    }
    loop {
        let known = raft
            .query(Consistency::Linearizable, |tables| table::get::<Clusters>(tables, &()))
            .await;
        match known {
            Ok(Some(cluster)) => return Ok(cluster),
            Ok(None) => {
                let mut cursor_key = [0; 32];
                world.fill_random(&mut cursor_key);
                let found = Upkeep::Found {
                    cluster: world.random(),
                    tenant_name: "default".to_owned(),
                    tenant_display_name: "Default".to_owned(),
                    cursor_key,
                };
                propose(world, raft, Command::Upkeep(found)).await?;
            }
            // A restarted node is elected again before it can be asked.
            Err(ReadError::Unavailable { .. }) => world.sleep(ELECTION_PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes the first administrator of a tenant without users.
pub(crate) async fn administrator(
    ops: &Ops,
    issuer: &OwnIssuer,
    tenant: TenantId,
    home: &Path,
) -> Result<Option<FirstSignIn>, StartError> {
    let has_users = ops.look(move |tables| {
        let mut any = false;
        table::scan::<Users>(tables, &(tenant,), &mut |_, _| {
            any = true;
            ControlFlow::Break(())
        })?;
        Ok(any)
    });
    if has_users.await? {
        return Ok(None);
    }
    let first = FirstSignIn { email: EMAIL.to_owned(), password: generate(ops) };
    write_note(&ops.world, home, &first).await?;
    let user = NewUser {
        tenant,
        email: first.email.clone(),
        name: "Administrator".to_owned(),
        display_name: "Administrator".to_owned(),
        admin_role: Some(AdminRole::SuperAdmin),
        source: ProvisioningSource::BuiltIn,
        is_service_account: false,
        subject: None,
        password: Some(issuer.hash_chosen(ops, &first.password).await?),
    };
    ops.agree_as_node::<Answer>(Command::People(People::CreateUser(user))).await?;
    Ok(Some(first))
}

/// Keeps the first password where only the owner of the data directory can read it: the binary
/// makes files for their owner alone.
async fn write_note(world: &World, home: &Path, first: &FirstSignIn) -> Result<(), StartError> {
    let (inner, path) = (world.clone(), home.join(NOTE));
    let text = format!("{}\n{}\n", first.email, first.password);
    let written = world
        .blocking(move || {
            let file = inner.disk().open(&path, OpenMode::Create)?;
            file.set_len(0)?;
            file.write_at(text.as_bytes(), 0)?;
            file.sync_data()?;
            path.parent().map_or(Ok(()), |folder| inner.disk().sync_folder(folder))
        })
        .await;
    written.map_err(|source| StartError::Folder { path: home.join(NOTE), source })
}
