//! The very first start: a cluster of one, a tenant, and somebody who may do everything in it.

use std::path::Path;

use node_base::Duration;
use node_world::{OpenMode, World};
use raft::Raft;
use raft_meta::Command;
use raft_meta::command::{NewUser, People, Upkeep};
use raft_meta::table::cluster::Clusters;
use raft_meta::table::people::{AdminRole, ProvisioningSource};
use raft_meta::table;

use crate::{Addresses, Settings, StartError, propose};

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
/// Letters and digits that are not mistaken for one another.
const READABLE: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789x";
const PASSWORD_LEN: usize = 20;

/// Founds a cluster of this node alone, unless it is of one already.
///
/// Each step may be the last before the power goes: the note is written before the user is made,
/// and whatever is missing is made at the next start.
pub(crate) async fn found(
    world: &World,
    raft: &Raft,
    settings: &Settings,
    addresses: &Addresses,
    home: &Path,
) -> Result<Option<FirstSignIn>, StartError> {
    if !raft.status().is_member {
        raft.found(&addresses.cluster).await?;
    }
    let cluster = loop {
        match raft
            .query(raft::Consistency::Linearizable, |tables| table::get::<Clusters>(tables, &()))
            .await
        {
            Ok(cluster) => break cluster,
            // A restarted node is elected again before it can be asked.
            Err(raft::ReadError::Unavailable { .. }) => world.sleep(ELECTION_PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    };
    if cluster.is_none() {
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
    let tenant = raft
        .query(raft::Consistency::Linearizable, |tables| table::get::<Clusters>(tables, &()))
        .await?
        .and_then(|cluster| cluster.first_tenant);
    let Some(tenant) = tenant.filter(|_| settings.built_in_issuer()) else { return Ok(None) };
    let has_users = raft
        .query(raft::Consistency::Linearizable, move |tables| {
            let mut any = false;
            table::scan::<table::people::Users>(tables, &(tenant,), &mut |_, _| {
                any = true;
                std::ops::ControlFlow::Break(())
            })?;
            Ok(any)
        })
        .await?;
    if has_users {
        return Ok(None);
    }
    let first = FirstSignIn { email: EMAIL.to_owned(), password: password(world) };
    write_note(world, home, &first).await?;
    let phc = api::issuer::hash_password(world, &first.password)
        .await
        .map_err(|error| StartError::Password(error.to_string()))?;
    let user = NewUser {
        tenant,
        email: first.email.clone(),
        name: "Administrator".to_owned(),
        display_name: "Administrator".to_owned(),
        admin_role: Some(AdminRole::SuperAdmin),
        source: ProvisioningSource::BuiltIn,
        is_service_account: false,
        subject: None,
        password: Some(phc),
    };
    propose(world, raft, Command::People(People::CreateUser(user))).await?;
    Ok(Some(first))
}

const ELECTION_PAUSE: Duration = Duration::from_millis(10);

fn password(world: &World) -> String {
    let mut bytes = [0; PASSWORD_LEN];
    world.fill_random(&mut bytes);
    bytes.iter().map(|byte| char::from(READABLE[usize::from(byte % 32)])).collect()
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
