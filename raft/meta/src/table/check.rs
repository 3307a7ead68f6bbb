//! Whether rows are what they are said to be: each of every table, one by one.

use super::{
    Table, acl, audit, change, chunk, cluster, conflict, decode, device, identity, item, people,
    quota, share, upload,
};
use crate::tables::TableError;

/// Makes the match over all tables: the compiler knows when a number is given twice.
macro_rules! tables_by_kind {
    ($($table:path,)*) => {
        /// Decodes a row, and answers the name of its table.
        ///
        /// # Errors
        /// When it cannot be decoded, or is of no table there is.
        pub fn check(key: &[u8], value: &[u8]) -> Result<&'static str, TableError> {
            match key.first().copied() {
                $(Some(<$table as Table>::KIND) => {
                    decode::<$table>(key, value)?;
                    Ok(<$table as Table>::NAME)
                })*
                _ => Err(TableError::Invariant("a row is of no table there is")),
            }
        }
    };
}

tables_by_kind!(
    people::Partners,
    people::Tenants,
    people::Users,
    people::UsersByEmail,
    people::UsersBySubject,
    people::Groups,
    people::GroupsByName,
    people::GroupMembers,
    people::UserGroups,
    people::Favorites,
    people::FavoredBy,
    people::LeftUsers,
    share::Shares,
    share::Members,
    share::PrincipalShares,
    share::Invitations,
    share::InvitationsByEmail,
    share::PurgedShares,
    item::Items,
    item::Children,
    item::Versions,
    item::Trash,
    item::Purges,
    item::Manifests,
    item::ManifestPages,
    item::TrashedChildren,
    item::Extents,
    item::TrashByAge,
    acl::Lists,
    acl::Listed,
    acl::Named,
    item::VersionsByAge,
    item::Sweeps,
    item::Unverified,
    change::Changes,
    change::TenantChanges,
    change::ShareFeeds,
    change::TenantFeeds,
    change::Turns,
    upload::Uploads,
    upload::Wants,
    upload::Writers,
    upload::UploadsDue,
    upload::Dropped,
    chunk::Chunks,
    chunk::ShareChunks,
    chunk::Condemned,
    chunk::Reaped,
    chunk::Spent,
    chunk::Coded,
    chunk::Holds,
    quota::Quotas,
    quota::Usages,
    device::Devices,
    device::DeviceCursors,
    device::Preferences,
    device::ShareDevices,
    conflict::Conflicts,
    conflict::ShareConflicts,
    audit::Events,
    audit::Chains,
    audit::Outcomes,
    audit::OutcomesByAge,
    audit::Answers,
    identity::Passwords,
    identity::SigningKeys,
    identity::Grants,
    identity::GrantsByAge,
    cluster::Clusters,
    cluster::Maps,
    cluster::Nodes,
    cluster::JoinTokens,
    cluster::Authorities,
);

#[cfg(test)]
mod tests {
    use super::check;
    use crate::fixture::Fixture;

    #[test]
    fn every_row_of_a_cluster_is_of_a_table() {
        let fixture = Fixture::new();
        for (key, value) in fixture.tables.rows() {
            check(key, value).expect("it was written by this version");
            assert!(check(key, &value[1..]).is_err() || value.len() == 1, "{key:?}");
            assert!(check(&key[..key.len() - 1], value).is_err() || key.len() == 1, "{key:?}");
        }
        assert!(check(&[0], &[1]).is_err() && check(&[], &[]).is_err());
    }
}
