//! Audit events: reading them, and checking that none was removed or altered.

use std::ops::ControlFlow;

use node_base::{TenantId, Timestamp, UserId};

use super::page::{Page, Pager};
use crate::table::audit::{Category, Chains, Event, Events, Severity};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Which events are asked for. What is not set does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub category: Option<Category>,
    pub severity: Option<Severity>,
    /// Equal to the action, or to its part before the dot: `share` finds `share.member_added`.
    pub action: Option<String>,
    pub user: Option<UserId>,
    pub resource: Option<String>,
    pub from: Option<Timestamp>,
    /// Not including this moment.
    pub to: Option<Timestamp>,
}

impl EventFilter {
    fn takes(&self, event: &Event) -> bool {
        let action = |wanted: &String| {
            let rest = event.action.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.category.is_none_or(|category| category == event.category)
            && self.severity.is_none_or(|severity| severity == event.severity)
            && self.action.as_ref().is_none_or(action)
            && self.user.is_none_or(|user| event.user == Some(user))
            && self.resource.as_ref().is_none_or(|wanted| event.resource.as_ref() == Some(wanted))
            && self.from.is_none_or(|from| from <= event.at)
            && self.to.is_none_or(|to| event.at < to)
    }
}

/// The events of a tenant that the filter takes, newest first, each with its number.
pub fn events(
    tables: &dyn Reader,
    tenant: TenantId,
    filter: &EventFilter,
    offset: u64,
    limit: u32,
) -> Result<Page<(u64, Event)>, TableError> {
    let mut pager = Pager::new(offset, limit);
    table::scan_back::<Events>(tables, &(tenant,), &mut |(_, number), event| {
        // Log time only grows: what is older than asked for ends the search.
        if filter.from.is_some_and(|from| event.at < from) {
            return ControlFlow::Break(());
        }
        if filter.takes(&event) {
            pager.push((number, event));
        }
        ControlFlow::Continue(())
    })?;
    Ok(pager.page())
}

/// The events behind a number, oldest first: for followers that send them elsewhere.
pub fn events_after(
    tables: &dyn Reader,
    tenant: TenantId,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, Event)>, TableError> {
    let mut events = Vec::new();
    if limit == 0 {
        return Ok(events);
    }
    let from = (tenant, after.saturating_add(1));
    table::scan_from::<Events>(tables, &(tenant,), &from, &mut |(_, number), event| {
        events.push((number, event));
        if events.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(events)
}

/// What a stretch of a chain was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// Whole as far as this number, and there is more.
    Upto { number: u64, head: [u8; 32] },
    /// Whole to its end.
    Whole { events: u64 },
    /// The event of this number is missing, or it or one before it is not what it was.
    Broken { number: u64 },
}

/// Recomputes a stretch of a tenant's chain: `limit` events behind `after`, whose link `head` was.
/// From the start that is `(0, [0; 32])`.
pub fn verify(
    tables: &dyn Reader,
    tenant: TenantId,
    after: u64,
    head: [u8; 32],
    limit: usize,
) -> Result<Verified, TableError> {
    let chain = table::get::<Chains>(tables, &(tenant,))?.unwrap_or_default();
    let (mut number, mut head) = (after, head);
    for (found, event) in events_after(tables, tenant, after, limit)? {
        if found != number + 1 || event.chain != link(head, &event) {
            return Ok(Verified::Broken { number: number + 1 });
        }
        (number, head) = (found, event.chain);
    }
    Ok(if number < chain.count && number - after >= limit as u64 {
        Verified::Upto { number, head }
    } else if number == chain.count && head == chain.head {
        Verified::Whole { events: number }
    } else {
        Verified::Broken { number: number + 1 }
    })
}

/// The link that binds an event to all that came before it.
///
/// ```text
/// BLAKE3( the link before, 32 bytes │ postcard of the event with a link of zeros )
/// ```
pub(crate) fn link(before: [u8; 32], event: &Event) -> [u8; 32] {
    let plain = Event { chain: [0; 32], ..event.clone() };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before);
    hasher.update(&postcard::to_stdvec(&plain).expect("an event is plain data in memory"));
    *hasher.finalize().as_bytes()
}
