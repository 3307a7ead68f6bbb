//! This node's certificate: from joining, from the agreed authority, and anew each day.
//!
//! The authority's key is agreed on, so each node certifies itself, with the tables it has, before
//! it speaks to anybody; that works after however long an absence, and whoever else is gone. A node
//! that has just joined has no tables yet: the certificate that it joined with waits in its folder
//! until it has.

use std::io;
use std::path::Path;

use node_base::Duration;
use node_world::{Authority, CredentialError, Credentials, Instant, OpenMode, Subject, World};
use raft_meta::command::ClusterCommand;
use raft_meta::table::cluster::Authorities;
use raft_meta::{Command, TableError, table};

use crate::folder::Identity;
use crate::group::Group;
use crate::machine::Machine;

/// The file that holds a certificate and its key between joining and having tables.
pub(crate) const FILE: &str = "credentials";
const FILE_MAX: u64 = 1 << 16;
/// A certificate is good for months.
const RENEWED_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Why a node cannot show who it is.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error("reading the authority")]
    Tables(#[from] TableError),
    #[error("the certificate that the node joined with")]
    File(#[from] io::Error),
}

/// The agreed authority, as far as this node has applied.
pub(crate) async fn authority(machine: &Machine) -> Result<Option<Authority>, TableError> {
    let read =
        |tables: &dyn crate::tables::Engine| table::get::<Authorities>(&*tables.snapshot()?, &());
    let row = machine.on_tables(read).await?;
    Ok(row.map(|row| Authority { certificate: row.certificate, key: row.key }))
}

/// Keeps what this process shows, for the next one. Blocks.
pub(crate) fn save(world: &World, folder: &Path, shown: &[u8]) -> io::Result<()> {
    let (disk, path, new) = (world.disk(), folder.join(FILE), folder.join("credentials.new"));
    let file = disk.open(&new, OpenMode::Create)?;
    file.set_len(0)?;
    file.write_at(shown, 0)?;
    file.sync_data()?;
    disk.rename(&new, &path)?;
    disk.sync_folder(folder)
}

fn saved(world: &World, folder: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match world.disk().open(&folder.join(FILE), OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = vec![0; usize::try_from(file.len()?.min(FILE_MAX)).unwrap_or(0)];
    file.read_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}

fn certify(
    own: &dyn Credentials,
    world: &World,
    by: &Authority,
    whom: Subject,
) -> Result<(), CredentialError> {
    let certificate = own.certify(by, whom, &own.public_key(), world.wall())?;
    own.show(whom, &certificate, &by.certificate)
}

/// Shows who the node of this folder is, before it speaks to others.
pub(crate) async fn begin(
    world: &World,
    folder: &Path,
    identity: Option<Identity>,
    machine: &Machine,
) -> Result<(), ProofError> {
    let whom = identity.and_then(|identity| {
        identity.cluster.map(|cluster| Subject { cluster, node: identity.node })
    });
    let (Some(own), Some(whom)) = (world.net().credentials(), whom) else { return Ok(()) };
    if let Some(by) = authority(machine).await? {
        return Ok(certify(own, world, &by, whom)?);
    }
    let (inner, folder) = (world.clone(), folder.to_owned());
    if let Some(saved) = world.blocking(move || saved(&inner, &folder)).await? {
        own.load(whom, &saved)?;
    }
    Ok(())
}

impl Group {
    /// Sees to it that there is an authority, and that this node shows a fresh certificate of it.
    pub(crate) async fn keep_proof(&self, leads: bool, certified: &mut Option<Instant>) {
        let now = self.world.now();
        if certified.is_some_and(|at| now.since(at) < RENEWED_EVERY) {
            return;
        }
        match self.try_keep_proof(leads).await {
            Ok(true) => *certified = Some(now),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "this node cannot be certified"),
        }
    }

    async fn try_keep_proof(&self, leads: bool) -> Result<bool, ProofError> {
        let cluster = *self.cluster.borrow();
        let (Some(own), Some(cluster)) = (self.world.net().credentials(), cluster) else {
            return Ok(false);
        };
        let Some(by) = authority(&self.machine).await? else {
            if leads {
                let Authority { certificate, key } = own.found(cluster, self.world.wall())?;
                let set = ClusterCommand::SetAuthority { certificate, key };
                // Whoever leads next finds it missing, if it does not come to be.
                let _ = self.agree(Command::Cluster(set)).await;
            }
            return Ok(false);
        };
        certify(own, &self.world, &by, Subject { cluster, node: self.node })?;
        self.forget_saved().await;
        Ok(true)
    }

    /// The tables have the authority, after each start from now on.
    async fn forget_saved(&self) {
        if self.machine.sync().await.is_err() {
            return;
        }
        let path = self.folder.lock().await.as_ref().map(|folder| folder.path.join(FILE));
        let world = self.world.clone();
        let remove = move || path.is_some_and(|path| world.disk().remove(&path).is_ok());
        self.world.blocking(remove).await;
    }

    /// Founds the authority of a new cluster, and shows a certificate of it.
    pub(crate) async fn found_proof(&self) {
        let mut certified = None;
        for _ in 0..2 {
            self.keep_proof(true, &mut certified).await;
        }
    }

    /// Certifies a node that joins: its certificate, and the authority's.
    pub(crate) async fn prove_joined(
        &self,
        whom: Subject,
        public_key: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), ProofError> {
        let Some(own) = self.world.net().credentials() else { return Ok(Default::default()) };
        let by = authority(&self.machine).await?;
        let by = by.ok_or_else(|| CredentialError("there is no authority yet".to_owned()))?;
        let certificate = own.certify(&by, whom, public_key, self.world.wall())?;
        Ok((certificate, by.certificate))
    }
}
