//! Making the tables of a backup those of a new cluster.
//!
//! People, files, rights and keys stay as they are. What was true of the old cluster's nodes alone
//! goes: its map, its nodes, their leases, its authority. Every share gets another incarnation, so
//! that a client with a cursor of before merges and takes no absence for a deletion.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use node_base::{Generation, Profile, Sha256, TenantId, Timestamp};

use crate::table::change::{Feed, TenantFeeds};
use crate::table::chunk::{Chunk, Chunks, Coded, Condemned, Holds, Reaped};
use crate::table::cluster::{Authorities, Clusters, JoinTokens, Maps, Nodes};
use crate::table::people::Tenants;
use crate::table::quota::{QuotaTarget, Usages};
use crate::table::share::Shares;
use crate::table::upload::{Writer as WriteId, Writers};
use crate::table::{self, Table};
use crate::tables::{Reader, TableError, Writer};

/// What is new about a restored cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Founding {
    pub cluster: u128,
    /// By the clock of whoever restores.
    pub at: Timestamp,
}

impl Founding {
    /// Greater than any before it: those of a cluster count its commands.
    fn incarnation(self) -> u64 {
        self.at.millis().unsigned_abs()
    }
}

/// A chunk that a moment of the tables needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    pub tenant: TenantId,
    pub hash: Sha256,
    pub generation: Generation,
    pub size: u32,
}

/// The chunk that a row tells of, where it is a chunk's row and the chunk is needed: what nobody
/// refers to may be collected at any time. Nothing for rows of other tables.
///
/// # Errors
/// When it is a chunk's row and cannot be decoded.
pub fn needed(key: &[u8], value: &[u8]) -> Result<Option<Needed>, TableError> {
    let row = table::decode::<Chunks>(key, value)?;
    let needed = row.filter(|(_, chunk)| chunk.references > 0);
    Ok(needed.map(|((tenant, hash), chunk)| {
        let Chunk { generation, size, .. } = chunk;
        Needed { tenant, hash, generation, size }
    }))
}

/// Notes how a chunk is stored in the new cluster.
///
/// # Errors
/// When the tables fail, or do not know it.
pub fn stored(
    tables: &mut dyn Writer,
    needed: &Needed,
    profile: Profile,
    stored_size: u32,
) -> Result<(), TableError> {
    let key = (needed.tenant, needed.hash);
    let chunk = table::get::<Chunks>(tables, &key)?;
    let chunk = chunk.ok_or(TableError::Invariant("a chunk was restored that nobody knows"))?;
    table::put::<Chunks>(tables, &key, &Chunk { stored_size, profile, ..chunk })
}

/// Makes these tables a new cluster's.
///
/// # Errors
/// When the tables fail, or are not those of a cluster.
pub fn refound(tables: &mut dyn Writer, founding: Founding) -> Result<(), TableError> {
    let cluster = table::get::<Clusters>(tables, &())?;
    let mut cluster = cluster.ok_or(TableError::Invariant("the tables are of no cluster"))?;
    cluster.id = founding.cluster;
    cluster.log_time = cluster.log_time.max(founding.at);
    table::put::<Clusters>(tables, &(), &cluster)?;
    clear::<Maps>(tables)?;
    clear::<Nodes>(tables)?;
    clear::<JoinTokens>(tables)?;
    clear::<Authorities>(tables)?;
    clear::<Holds>(tables)?;
    clear::<Reaped>(tables)?;
    for (key, writer) in table::all::<Writers>(tables, &())? {
        if matches!(writer, WriteId::Lease { .. }) {
            table::delete::<Writers>(tables, &key)?;
        }
    }
    let incarnation = founding.incarnation();
    for (key, share) in table::all::<Shares>(tables, &())? {
        let share = crate::table::share::Share { incarnation, ..share };
        table::put::<Shares>(tables, &key, &share)?;
    }
    for (key, _) in table::all::<Tenants>(tables, &())? {
        let feed = table::get::<TenantFeeds>(tables, &key)?.unwrap_or_default();
        table::put::<TenantFeeds>(tables, &key, &Feed { incarnation, ..feed })?;
    }
    drop_condemned(tables)?;
    count_chunks(tables)
}

fn clear<T: Table>(tables: &mut dyn Writer) -> Result<(), TableError> {
    let mut keys = Vec::new();
    table::scan::<T>(tables, &(), &mut |key, _| {
        keys.push(key);
        ControlFlow::Continue(())
    })?;
    keys.iter().try_for_each(|key| table::delete::<T>(tables, key))
}

/// Forgets chunks without references: no backup has their bytes.
fn drop_condemned(tables: &mut dyn Writer) -> Result<(), TableError> {
    for ((at, tenant, hash), ()) in table::all::<Condemned>(tables, &())? {
        table::delete::<Condemned>(tables, &(at, tenant, hash))?;
        let chunk = table::get::<Chunks>(tables, &(tenant, hash))?;
        if chunk.is_some_and(|chunk| chunk.references == 0) {
            table::delete::<Chunks>(tables, &(tenant, hash))?;
        }
    }
    Ok(())
}

/// Counts anew what chunks take, and how they are coded.
fn count_chunks(tables: &mut dyn Writer) -> Result<(), TableError> {
    let (mut coded, mut bytes) = (BTreeMap::new(), BTreeMap::new());
    table::scan::<Chunks>(tables, &(), &mut |(tenant, _), chunk| {
        let profile = chunk.profile;
        *coded.entry((tenant, profile.data, profile.parity)).or_insert(0_u64) += 1;
        *bytes.entry(QuotaTarget::Tenant(tenant)).or_insert(0_u64) += u64::from(chunk.stored_size);
        ControlFlow::Continue(())
    })?;
    clear::<Coded>(tables)?;
    coded.iter().try_for_each(|(key, count)| table::put::<Coded>(tables, key, count))?;
    for ((tenant,), row) in table::all::<Tenants>(tables, &())? {
        let of_tenant = bytes.get(&QuotaTarget::Tenant(tenant)).copied().unwrap_or(0);
        *bytes.entry(QuotaTarget::Partner(row.partner)).or_insert(0) += of_tenant;
    }
    let known = table::all::<Usages>(tables, &())?;
    for ((target,), usage) in known {
        if matches!(target, QuotaTarget::Partner(_) | QuotaTarget::Tenant(_)) {
            let physical_bytes = bytes.get(&target).copied().unwrap_or(0);
            let usage = crate::table::quota::Usage { physical_bytes, ..usage };
            table::put::<Usages>(tables, &(target,), &usage)?;
        }
    }
    Ok(())
}

/// The identity of the cluster whose tables these are.
///
/// # Errors
/// When they are of none.
pub fn cluster_of(tables: &dyn Reader) -> Result<u128, TableError> {
    let cluster = table::get::<Clusters>(tables, &())?;
    Ok(cluster.ok_or(TableError::Invariant("the tables are of no cluster"))?.id)
}

#[cfg(test)]
mod tests {
    use node_base::{Duration, Generation, NodeId, Profile, Timestamp, sha256};

    use super::{Founding, Needed, needed, refound, stored};
    use crate::caller::Caller;
    use crate::command::{
        Command, FileDestination, ItemCommand, NewChunk, NewContent, NewFile, Place, Upkeep,
        Written,
    };
    use crate::fixture::Fixture;
    use crate::outcome::Answer;
    use crate::query::audit;
    use crate::query::feed::{self, Since, Stream};
    use crate::table;
    use crate::table::cluster::Nodes;
    use crate::table::upload::Writers;

    fn commit(fixture: &mut Fixture, lease: u64, name: &str) {
        let generation = Generation::new(lease, 1).expect("few are written");
        let profile = Profile { data: 2, parity: 1 };
        let written = Some(Written { generation, stored_size: 15, profile });
        let chunk = NewChunk { hash: sha256(name.as_bytes()), size: 10, written };
        let place = Place { share: fixture.share, parent: None };
        let destination = FileDestination::New { place, name: name.to_owned() };
        let content = NewContent {
            size: 10,
            checksum: None,
            mime_type: None,
            client_modified_at: None,
            executable: false,
            chunks: vec![chunk],
        };
        let command = ItemCommand::CommitFile { file: NewFile { destination, content } };
        fixture.run(fixture.ann, Command::Item(command)).expect("ann may");
    }

    #[test]
    fn restored_tables_add_up_and_cursors_of_before_are_old() {
        let mut fixture = Fixture::new();
        let start =
            Upkeep::StartNode { node: NodeId(1), address: "a:1".to_owned(), zone: "z".to_owned() };
        let Ok(Answer::Lease(lease)) =
            fixture.run_as(Caller::Node(NodeId(1)), Command::Upkeep(start))
        else {
            panic!("a lease")
        };
        commit(&mut fixture, lease, "kept");
        let viewer = fixture.viewer(fixture.ann);
        let read = |fixture: &Fixture, cursor: &str, stream: Stream| {
            feed::changes(&fixture.tables, &viewer, stream, Since::Cursor(cursor), 10).is_ok()
        };
        let streams = [Stream::Share(fixture.share), Stream::All];
        let cursors = streams.map(|stream| {
            let page = feed::changes(&fixture.tables, &viewer, stream, Since::Now, 1);
            page.expect("ann may").cursor
        });
        assert!(streams.iter().zip(&cursors).all(|(of, at)| read(&fixture, at, *of)));

        let rows: Vec<Needed> = fixture
            .tables
            .rows()
            .filter_map(|(key, value)| needed(key, value).expect("rows can be decoded"))
            .collect();
        assert_eq!(rows.iter().map(|row| row.size).collect::<Vec<_>>(), [10]);
        let whole = Profile { data: 1, parity: 0 };
        stored(&mut fixture.tables, &rows[0], whole, 7).expect("it is known");
        let at = fixture.now.after(Duration::from_secs(60));
        let founding = Founding { cluster: 99, at };
        refound(&mut fixture.tables, founding).expect("they are a cluster's");
        let tenant = fixture.tenant;
        assert_eq!(audit::recount(&fixture.tables, tenant).expect("memory"), []);
        assert!(table::all::<Nodes>(&fixture.tables, &()).expect("memory").is_empty());
        assert!(table::all::<Writers>(&fixture.tables, &()).expect("memory").is_empty());
        assert!(streams.iter().zip(&cursors).all(|(of, at)| !read(&fixture, at, *of)));
        let again = Founding { at: Timestamp::from_millis(at.millis() + 1), ..founding };
        assert_ne!(founding.incarnation(), again.incarnation());
    }
}
