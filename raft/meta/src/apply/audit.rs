//! Events: what happened, by whom, chained by hash so that a removed or altered one shows.

use node_base::TenantId;

use super::{Step, Stop};
use crate::caller::Caller;
use crate::query::audit_log;
use crate::table::audit::{Category, Chains, Event, Events, Severity};
use crate::table::{self};

/// An event to be recorded; time, caller and chain are added.
pub(crate) struct Draft {
    pub(crate) category: Category,
    pub(crate) severity: Severity,
    pub(crate) action: &'static str,
    pub(crate) resource: Option<String>,
    pub(crate) payload: Vec<(&'static str, String)>,
}

impl Draft {
    /// An ordinary event about a thing.
    pub(crate) fn info(
        category: Category,
        action: &'static str,
        resource: impl ToString,
        payload: Vec<(&'static str, String)>,
    ) -> Self {
        let resource = Some(resource.to_string());
        Self { category, severity: Severity::Info, action, resource, payload }
    }

    /// An event that somebody should look at.
    pub(crate) fn warning(
        category: Category,
        action: &'static str,
        resource: impl ToString,
        payload: Vec<(&'static str, String)>,
    ) -> Self {
        let severity = Severity::Warning;
        Self { severity, ..Self::info(category, action, resource, payload) }
    }
}

/// Appends an event to the chain of the tenant it happened in.
pub(crate) fn record(step: &mut Step<'_>, tenant: TenantId, draft: Draft) -> Result<(), Stop> {
    let caller = match step.caller {
        Caller::User(caller) => Some(caller),
        Caller::Node(_) => None,
    };
    let mut chain = table::get::<Chains>(step.reader(), &(tenant,))?.unwrap_or_default();
    let payload = draft.payload.into_iter().map(|(name, value)| (name.to_owned(), value));
    let mut event = Event {
        id: step.new_id(),
        at: step.now,
        category: draft.category,
        severity: draft.severity,
        action: draft.action.to_owned(),
        user: caller.map(|caller| caller.user),
        service_account: caller.and_then(|caller| caller.service_account.clone()),
        resource: draft.resource,
        ip: caller.and_then(|caller| caller.ip.clone()),
        user_agent: caller.and_then(|caller| caller.user_agent.clone()),
        payload: payload.collect(),
        chain: [0; 32],
    };
    event.chain = audit_log::link(chain.head, &event);
    chain.count += 1;
    chain.head = event.chain;
    table::put::<Events>(step.tables, &(tenant, chain.count), &event)?;
    table::put::<Chains>(step.tables, &(tenant,), &chain)?;
    Ok(())
}
