//! The first start: which cluster a node is of, and under which number.
//!
//! The number is the agreement's to give, and it is never given twice. A node asks for the one that
//! its world bears, which is how a pretend node keeps its name; one that bears none yet asks before
//! it makes its world, see [`enter`](crate::enter). Whoever founds a cluster makes a tenant in it,
//! and somebody who may do everything there.
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
use raft::{Consistency, Identity, JoinRequest, Raft, ReadError};
use raft_meta::command::{NewUser, People, Upkeep};
use raft_meta::table::cluster::{Cluster, Clusters, Nodes};
use raft_meta::table::people::{AdminRole, ProvisioningSource, Users};
use raft_meta::{Answer, Command, table};

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

/// How often a node that starts asks to join, before it gives up.
const JOIN_ROUNDS: u32 = 60;
/// Between two questions whether this node leads yet.
const ELECTION_PAUSE: Duration = Duration::from_millis(10);

/// Who the node is: what its folder says, or what joining gave it. A new node that joins nothing
/// founds a cluster, under the number that it bears.
pub(crate) async fn identity(
    world: &World,
    settings: &Settings,
    addresses: &Addresses,
) -> Result<Identity, StartError> {
    let home = settings.data_dirs.first().ok_or(StartError::NoFolder)?;
    let bears = addresses.node;
    let identity = match (raft::identity(world, home.join("raft")).await?, &settings.join) {
        (Some(identity), _) => identity,
        (None, None) => Identity { node: bears, cluster: None, has_joined: false },
        (None, Some(join)) => {
            let request = JoinRequest {
                via: join.via.clone(),
                token: join.token.clone(),
                wish: Some(bears),
                address: addresses.cluster.clone(),
                zone: settings.zone.clone(),
                rounds: JOIN_ROUNDS,
            };
            raft::join(world, home.join("raft"), &request).await?
        }
    };
    if identity.node == bears {
        Ok(identity)
    } else {
        Err(StartError::OtherNode { path: home.clone(), found: identity.node, bears })
    }
}

/// The cluster that this node is of. A founder makes what is missing of it; a node that joined
/// waits until the others have told it.
pub(crate) async fn cluster(
    world: &World,
    raft: &Raft,
    identity: Identity,
    addresses: &Addresses,
) -> Result<Cluster, StartError> {
    if !identity.has_joined && !raft.status().is_member {
        match raft.found(&addresses.cluster).await {
            // The members may be in the log and not yet applied.
            Ok(()) | Err(raft::FoundError::Already) => {}
            Err(error) => return Err(error.into()),
        }
    }
    loop {
        let known = raft
            .query(Consistency::Linearizable, |tables| table::get::<Clusters>(tables, &()))
            .await;
        match known {
            Ok(Some(cluster)) => return Ok(cluster),
            Ok(None) if !identity.has_joined => {
                let mut cursor_key = [0; 32];
                world.fill_random(&mut cursor_key);
                let found = Upkeep::Found {
                    cluster: world.random(),
                    tenant_name: "default".to_owned(),
                    tenant_display_name: "Default".to_owned(),
                    cursor_key,
                };
                propose(world, raft, identity.node, Command::Upkeep(found)).await?;
            }
            // A restarted node waits until somebody leads before it can ask.
            Ok(None) | Err(ReadError::Unavailable { .. }) => world.sleep(ELECTION_PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether this node is the first that there ever was: it alone makes the first administrator.
pub(crate) async fn is_first(ops: &Ops) -> Result<bool, StartError> {
    let first = ops.look(|tables| {
        let mut first = None;
        table::scan::<Nodes>(tables, &(), &mut |(node,), _| {
            first = Some(node);
            ControlFlow::Break(())
        })?;
        Ok(first)
    });
    Ok(first.await? == Some(ops.node.0))
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
