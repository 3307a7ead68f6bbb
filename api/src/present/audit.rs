//! Audit events.

use api_ops::meta::table::audit as rows;
use api_types::Time;
use api_types::v1::audit::{Category, Event, Severity};
use node_base::TenantId;

pub const fn category(category: rows::Category) -> Category {
    match category {
        rows::Category::Authentication => Category::Authentication,
        rows::Category::Authorization => Category::Authorization,
        rows::Category::FileAccess => Category::FileAccess,
        rows::Category::FileModification => Category::FileModification,
        rows::Category::Sharing => Category::Sharing,
        rows::Category::Admin => Category::Admin,
        rows::Category::Security => Category::Security,
        rows::Category::Compliance => Category::Compliance,
    }
}

pub const fn category_row(category: Category) -> rows::Category {
    match category {
        Category::Authentication => rows::Category::Authentication,
        Category::Authorization => rows::Category::Authorization,
        Category::FileAccess => rows::Category::FileAccess,
        Category::FileModification => rows::Category::FileModification,
        Category::Sharing => rows::Category::Sharing,
        Category::Admin => rows::Category::Admin,
        Category::Security => rows::Category::Security,
        Category::Compliance => rows::Category::Compliance,
    }
}

pub const fn severity(severity: rows::Severity) -> Severity {
    match severity {
        rows::Severity::Info => Severity::Info,
        rows::Severity::Warning => Severity::Warning,
        rows::Severity::Critical => Severity::Critical,
    }
}

pub const fn severity_row(severity: Severity) -> rows::Severity {
    match severity {
        Severity::Info => rows::Severity::Info,
        Severity::Warning => rows::Severity::Warning,
        Severity::Critical => rows::Severity::Critical,
    }
}

pub fn event(tenant: TenantId, number: u64, row: rows::Event) -> Event {
    Event {
        event_id: row.id.to_string(),
        timestamp: Time(row.at),
        tenant_id: tenant.to_string(),
        category: category(row.category),
        severity: severity(row.severity),
        action: row.action,
        user_id: row.user.map(|user| user.to_string()),
        service_account: row.service_account,
        resource_id: row.resource,
        ip: row.ip,
        user_agent: row.user_agent,
        payload: row.payload.into_iter().collect(),
        number,
        chain: node_base::Sha256(row.chain).to_string(),
    }
}
