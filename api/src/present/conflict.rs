//! Conflicts.

use api_ops::meta::table::conflict::{Conflict as Row, ConflictKind};
use api_ops::meta::table::item::ItemId;
use api_ops::meta::table::share::ConflictStrategy;
use api_types::Time;
use api_types::v1::ItemType;
use api_types::v1::conflicts::{Conflict, ConflictStatus, ConflictType, Strategy};
use node_base::{ConflictId, TenantId};

use super::item::item_id;

/// A conflict of a tenant.
pub fn conflict(tenant: TenantId, id: ConflictId, row: &Row) -> Conflict {
    Conflict {
        id: id.to_string(),
        tenant_id: tenant.to_string(),
        share_id: row.share.to_string(),
        device_id: row.device.as_ref().map(ToString::to_string),
        user_id: row.user.to_string(),
        resource_type: match row.item {
            ItemId::Folder(_) => ItemType::Folder,
            ItemId::File(_) => ItemType::File,
        },
        resource_id: item_id(row.item),
        conflict_type: match row.kind {
            ConflictKind::Content => ConflictType::Content,
            ConflictKind::Name => ConflictType::Name,
            ConflictKind::EditDelete => ConflictType::EditDelete,
            ConflictKind::DeleteEdit => ConflictType::DeleteEdit,
            ConflictKind::Move => ConflictType::Move,
        },
        base_version_id: row.base.map(|base| base.to_string()),
        client_version: row.content.as_ref().map(|content| content.id.to_string()),
        server_version_id: row.server_version.map(|version| version.to_string()),
        status: match row.resolved {
            None => ConflictStatus::Open,
            Some(_) => ConflictStatus::Resolved,
        },
        resolution: row.resolved.map(|resolved| strategy(resolved.strategy)),
        resolved_by: row.resolved.map(|resolved| resolved.by.to_string()),
        created_at: Time(row.created_at),
        resolved_at: row.resolved.map(|resolved| Time(resolved.at)),
    }
}

/// A kind of conflict as metrics name it.
pub const fn kind(kind: ConflictKind) -> &'static str {
    match kind {
        ConflictKind::Content => "content",
        ConflictKind::Name => "name",
        ConflictKind::EditDelete => "edit_delete",
        ConflictKind::DeleteEdit => "delete_edit",
        ConflictKind::Move => "move",
    }
}

/// A strategy as the contract spells it.
pub const fn strategy(strategy: ConflictStrategy) -> Strategy {
    match strategy {
        ConflictStrategy::ServerWins => Strategy::ServerWins,
        ConflictStrategy::ClientWins => Strategy::ClientWins,
        ConflictStrategy::LastWriterWins => Strategy::LastWriterWins,
        ConflictStrategy::KeepBoth => Strategy::KeepBoth,
        ConflictStrategy::Manual => Strategy::Manual,
    }
}

/// The strategy that the contract spells so.
pub const fn strategy_row(strategy: Strategy) -> ConflictStrategy {
    match strategy {
        Strategy::ServerWins => ConflictStrategy::ServerWins,
        Strategy::ClientWins => ConflictStrategy::ClientWins,
        Strategy::LastWriterWins => ConflictStrategy::LastWriterWins,
        Strategy::KeepBoth => ConflictStrategy::KeepBoth,
        Strategy::Manual => ConflictStrategy::Manual,
    }
}
