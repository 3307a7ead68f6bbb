//! Who is of the cluster: joining, seats, drives, and the map that follows from them.
//!
//! Each node states its own drives; the map is all those of nodes that are in. Whenever that
//! changes, the next epoch of the map is made in the same step, so that two nodes that speak at
//! once lose nothing of one another. A map is retired when every node that is in, or drains, has
//! moved away what only that map led to.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use node_base::{ClusterMap, Drive, Duration, Epoch, NodeId, Sha256};

use super::audit::{self, Draft};
use super::{Step, Stop, cluster};
use crate::access;
use crate::caller::Caller;
use crate::command::ClusterCommand;
use crate::outcome::{Answer, Invalid, JoinRefusal, Noun, Refusal};
use crate::table::audit::{Category, Severity};
use crate::table::cluster::{
    Authorities, Authority, Clusters, JoinToken, JoinTokens, Maps, Node, Nodes, Seat,
};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Drives of one node, and bytes of a node's address or zone.
const DRIVES_MAX: usize = 256;
const ADDRESS_MAX: usize = 255;
/// Nodes at one time.
const NODES_MAX: usize = 255;
/// The largest number of a node.
const NUMBER_MAX: u64 = u32::MAX as u64;
/// Tokens that wait, how often one is used, and for how long.
const TOKENS_MAX: usize = 1_000;
const USES_MAX: u32 = 1_000;
/// A certificate, or a key, in bytes.
const AUTHORITY_MAX: usize = 4_096;
const TOKEN_SECONDS_MAX: u32 = 30 * 24 * 3_600;

pub(crate) fn run(step: &mut Step<'_>, command: &ClusterCommand) -> Result<Answer, Stop> {
    if command.is_for_operators() {
        return operate(step, command);
    }
    let Caller::Node(speaker) = *step.caller else { return Err(Refusal::WrongCaller.into()) };
    match command {
        ClusterCommand::Join { nonce, secret, wish, address, zone } => {
            check_place(address, zone)?;
            let asks = Asking { nonce: *nonce, secret: *secret, wish: *wish, address, zone };
            Ok(Answer::Joined(join(step, &asks)?))
        }
        ClusterCommand::SetOut { node, is_out } => {
            let node = member(step, *node)?;
            keep(step, &Node { is_out: *is_out, ..node })
        }
        ClusterCommand::StateDrives { drives } => state_drives(step, speaker, drives),
        ClusterCommand::Settle { epoch } => settle(step, speaker, *epoch),
        ClusterCommand::SetAuthority { certificate, key } => set_authority(step, certificate, key),
        ClusterCommand::AddJoinToken { .. }
        | ClusterCommand::SetSeat { .. }
        | ClusterCommand::RemoveDrained { .. } => Err(Refusal::WrongCaller.into()),
    }
}

/// What somebody has the cluster do, from a node's own command line or as an administrator of all.
fn operate(step: &mut Step<'_>, command: &ClusterCommand) -> Result<Answer, Stop> {
    let tenant = match step.caller {
        Caller::User(caller) => Some(caller.tenant),
        Caller::Node(_) => {
            let cluster = table::get::<Clusters>(step.reader(), &())?;
            cluster.and_then(|cluster| cluster.first_tenant)
        }
    };
    if matches!(step.caller, Caller::User(_)) {
        access::require_partner_admin(step, None)?;
    }
    let (answer, action, about) = match command {
        ClusterCommand::AddJoinToken { secret, seconds, uses } => {
            let about = vec![("seconds", seconds.to_string()), ("uses", uses.to_string())];
            (add_token(step, *secret, *seconds, *uses)?, "cluster.join_token_added", about)
        }
        ClusterCommand::SetSeat { node, seat } => {
            let about = vec![("node", node.to_string()), ("seat", seat.name().to_owned())];
            (set_seat(step, *node, *seat)?, "cluster.seat_set", about)
        }
        ClusterCommand::RemoveDrained { node } => {
            let about = vec![("node", node.to_string())];
            (remove_drained(step, *node)?, "cluster.node_removed", about)
        }
        _ => return Err(Refusal::WrongCaller.into()),
    };
    if let Some(tenant) = tenant {
        let (category, severity) = (Category::Admin, Severity::Info);
        audit::record(
            step,
            tenant,
            Draft { category, severity, action, resource: None, payload: about },
        )?;
    }
    Ok(answer)
}

/// A place where a node says it is.
pub(super) fn check_place(address: &str, zone: &str) -> Result<(), Refusal> {
    for (field, text) in [("address", address), ("zone", zone)] {
        if text.len() > ADDRESS_MAX {
            return Err(Refusal::invalid(field, Invalid::TooLong { max: ADDRESS_MAX as u64 }));
        }
    }
    Ok(())
}

/// A node that is of the cluster.
pub(super) fn member(step: &Step<'_>, id: NodeId) -> Result<Node, Stop> {
    let node = table::get::<Nodes>(step.reader(), &(id.0,))?;
    let node = node.filter(|node| node.seat != Seat::Removed);
    node.ok_or(Stop::Refused(Refusal::WrongCaller))
}

/// Whether a node was removed: nothing it says is heard.
pub(super) fn is_removed(tables: &dyn Reader, id: NodeId) -> Result<bool, TableError> {
    let node = table::get::<Nodes>(tables, &(id.0,))?;
    Ok(node.is_some_and(|node| node.seat == Seat::Removed))
}

fn all(step: &Step<'_>) -> Result<Vec<Node>, TableError> {
    Ok(table::all::<Nodes>(step.reader(), &())?.into_iter().map(|(_, node)| node).collect())
}

/// Writes a node's row, and the map that follows from it.
fn keep(step: &mut Step<'_>, node: &Node) -> Result<Answer, Stop> {
    table::put::<Nodes>(step.tables, &(node.id.0,), node)?;
    remap(step)?;
    retire_maps(step)?;
    Ok(Answer::Done)
}

fn add_token(
    step: &mut Step<'_>,
    secret: Sha256,
    seconds: u32,
    uses_left: u32,
) -> Result<Answer, Stop> {
    for (field, value, max) in
        [("seconds", seconds, TOKEN_SECONDS_MAX), ("uses", uses_left, USES_MAX)]
    {
        if value == 0 || value > max {
            let range = Invalid::OutOfRange { min: 1, max: u64::from(max) };
            return Err(Refusal::invalid(field, range).into());
        }
    }
    let mut waiting = 0;
    for (key, token) in table::all::<JoinTokens>(step.reader(), &())? {
        if token.expires_at <= step.now {
            table::delete::<JoinTokens>(step.tables, &key)?;
        } else {
            waiting += 1;
        }
    }
    if waiting >= TOKENS_MAX {
        return Err(Refusal::invalid("uses", Invalid::TooMany { max: TOKENS_MAX as u64 }).into());
    }
    let expires_at = step.now.after(Duration::from_secs(u64::from(seconds)));
    table::put::<JoinTokens>(step.tables, &(secret,), &JoinToken { expires_at, uses_left })?;
    Ok(Answer::Done)
}

/// What a node asks to join with.
struct Asking<'a> {
    nonce: u128,
    secret: Sha256,
    wish: Option<NodeId>,
    address: &'a str,
    zone: &'a str,
}

fn join(step: &mut Step<'_>, asks: &Asking<'_>) -> Result<Result<NodeId, JoinRefusal>, Stop> {
    let nodes = all(step)?;
    let same = |node: &&Node| node.nonce == asks.nonce && asks.nonce != 0;
    if let Some(node) = nodes.iter().find(same) {
        let is_removed = node.seat == Seat::Removed;
        return Ok(if is_removed { Err(JoinRefusal::Removed) } else { Ok(node.id) });
    }
    let Some(token) = table::get::<JoinTokens>(step.reader(), &(asks.secret,))? else {
        return Ok(Err(JoinRefusal::UnknownToken));
    };
    if token.expires_at <= step.now {
        return Ok(Err(JoinRefusal::ExpiredToken));
    }
    let last = nodes.last().map_or(0, |node| node.id.0);
    let id = match asks.wish {
        Some(wish)
            if !(1..=NUMBER_MAX).contains(&wish.0) || nodes.iter().any(|node| node.id == wish) =>
        {
            return Ok(Err(JoinRefusal::NumberTaken(wish)));
        }
        Some(wish) => wish,
        None => NodeId(last + 1),
    };
    let here = nodes.iter().filter(|node| node.seat != Seat::Removed).count();
    if here >= NODES_MAX || id.0 > NUMBER_MAX {
        return Ok(Err(JoinRefusal::Full));
    }
    use_token(step, asks.secret, token)?;
    let node = Node {
        id,
        address: asks.address.to_owned(),
        zone: asks.zone.to_owned(),
        incarnation: 0,
        lease: None,
        seat: Seat::MayVote,
        nonce: asks.nonce,
        drives: Vec::new(),
        is_out: false,
        deleted_up_to: step.index,
        settled: Epoch::default(),
    };
    keep(step, &node)?;
    Ok(Ok(id))
}

fn use_token(step: &mut Step<'_>, secret: Sha256, token: JoinToken) -> Result<(), TableError> {
    if token.uses_left <= 1 {
        return table::delete::<JoinTokens>(step.tables, &(secret,));
    }
    let token = JoinToken { uses_left: token.uses_left - 1, ..token };
    table::put::<JoinTokens>(step.tables, &(secret,), &token)
}

/// A node that was removed stays so. Somebody has to be left who may vote.
fn set_seat(step: &mut Step<'_>, id: NodeId, seat: Seat) -> Result<Answer, Stop> {
    let node = match table::get::<Nodes>(step.reader(), &(id.0,))? {
        Some(node) if node.seat == seat => return Ok(Answer::Done),
        Some(node) if node.seat != Seat::Removed => node,
        _ => return Err(Refusal::NotFound(Noun::Node).into()),
    };
    let may_vote = |other: &Node| other.id != id && other.seat == Seat::MayVote;
    if seat != Seat::MayVote && !all(step)?.iter().any(may_vote) {
        let reason = rule("somebody has to be left who may vote");
        return Err(Refusal::invalid("seat", reason).into());
    }
    if seat != Seat::Removed {
        return keep(step, &Node { seat, ..node });
    }
    cluster::close_leases(step, id)?;
    keep(step, &Node { seat, lease: None, ..node })
}

/// What a node holds may be the last of its kind for as long as a map leads there.
fn remove_drained(step: &mut Step<'_>, id: NodeId) -> Result<Answer, Stop> {
    let maps = table::all::<Maps>(step.reader(), &())?;
    let leads = |map: &ClusterMap| map.drives.iter().any(|drive| drive.node == id);
    if maps.iter().any(|(_, map)| leads(map)) {
        let reason = rule("its drives hold what others do not have yet; drain it first");
        return Err(Refusal::invalid("node", reason).into());
    }
    set_seat(step, id, Seat::Removed)
}

/// The first one stays: certificates are out by it.
fn set_authority(step: &mut Step<'_>, certificate: &[u8], key: &[u8]) -> Result<Answer, Stop> {
    if certificate.len().max(key.len()) > AUTHORITY_MAX {
        let reason = Invalid::TooLong { max: AUTHORITY_MAX as u64 };
        return Err(Refusal::invalid("authority", reason).into());
    }
    if !table::has::<Authorities>(step.reader(), &())? {
        let authority = Authority { certificate: certificate.to_vec(), key: key.to_vec() };
        table::put::<Authorities>(step.tables, &(), &authority)?;
    }
    Ok(Answer::Done)
}

fn rule(text: &str) -> Invalid {
    Invalid::Rule(text.to_owned())
}

fn state_drives(step: &mut Step<'_>, id: NodeId, drives: &[Drive]) -> Result<Answer, Stop> {
    let node = member(step, id)?;
    check_drives(step, id, drives)?;
    let drives = drives.to_vec();
    keep(step, &Node { drives, is_out: false, ..node })
}

fn check_drives(step: &Step<'_>, id: NodeId, drives: &[Drive]) -> Result<(), Stop> {
    let wrong = |reason| Err(Stop::Refused(Refusal::invalid("drives", reason)));
    if drives.len() > DRIVES_MAX {
        return wrong(Invalid::TooMany { max: DRIVES_MAX as u64 });
    }
    let ids: BTreeSet<_> = drives.iter().map(|drive| drive.id).collect();
    if ids.len() < drives.len() {
        return wrong(rule("a drive is named twice"));
    }
    let foreign = |drive: &Drive| drive.node != id || drive.zone.len() > ADDRESS_MAX;
    if drives.iter().any(foreign) {
        return wrong(rule("a node speaks for its own drives alone"));
    }
    let theirs = |other: &Node| {
        other.id != id
            && other.seat != Seat::Removed
            && other.drives.iter().any(|drive| ids.contains(&drive.id))
    };
    if all(step)?.iter().any(theirs) {
        return wrong(rule("a drive is another node's"));
    }
    Ok(())
}

fn newest_map(tables: &dyn Reader) -> Result<Option<ClusterMap>, TableError> {
    let mut newest = None;
    table::scan_back::<Maps>(tables, &(), &mut |_, map| {
        newest = Some(map);
        ControlFlow::Break(())
    })?;
    Ok(newest)
}

/// Makes the next map, where the drives that are in are not those of the newest.
fn remap(step: &mut Step<'_>) -> Result<(), TableError> {
    let nodes = all(step)?;
    let is_in = nodes.iter().filter(|node| node.is_in());
    let mut drives: Vec<Drive> = is_in.flat_map(|node| node.drives.iter().cloned()).collect();
    drives.sort_unstable_by_key(|drive| drive.id);
    let newest = newest_map(step.reader())?.unwrap_or_default();
    if newest.drives == drives || drives.is_empty() {
        return Ok(());
    }
    let map = ClusterMap { epoch: Epoch(newest.epoch.0 + 1), drives, ..newest };
    table::put::<Maps>(step.tables, &(map.epoch.0,), &map)
}

fn settle(step: &mut Step<'_>, id: NodeId, epoch: Epoch) -> Result<Answer, Stop> {
    let node = member(step, id)?;
    let newest = newest_map(step.reader())?.map_or(Epoch::default(), |map| map.epoch);
    let settled = epoch.min(newest).max(node.settled);
    keep(step, &Node { settled, ..node })
}

/// Retires the maps that no node that is in needs any more.
fn retire_maps(step: &mut Step<'_>) -> Result<(), TableError> {
    let nodes = all(step)?;
    let keeping = nodes.iter().filter(|node| node.must_settle());
    let Some(settled) = keeping.map(|node| node.settled.0).min() else { return Ok(()) };
    let mut retired = Vec::new();
    table::scan::<Maps>(step.reader(), &(), &mut |(epoch,), _| {
        if epoch >= settled {
            return ControlFlow::Break(());
        }
        retired.push(epoch);
        ControlFlow::Continue(())
    })?;
    retired.iter().try_for_each(|epoch| table::delete::<Maps>(step.tables, &(*epoch,)))
}

#[cfg(test)]
pub(crate) mod tests;
