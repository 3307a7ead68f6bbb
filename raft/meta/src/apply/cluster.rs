//! The cluster itself: founding it, nodes that start, writer leases.

use std::ops::ControlFlow;

use node_base::{Epoch, NodeId, TenantId};

use super::people::tenant::{self, NewTenant};
use super::{Step, Stop, nodes};
use crate::caller::Caller;
use crate::command::Upkeep;
use crate::outcome::{Answer, Refusal};
use crate::table::cluster::{Cluster, Clusters, Node, Nodes, Seat};
use crate::table::upload::{Writer, Writers};
use crate::table::{self};

/// Runs those steps of upkeep that are about the cluster itself.
pub(crate) fn run(step: &mut Step<'_>, command: &Upkeep) -> Result<Answer, Stop> {
    match command {
        Upkeep::Found { cluster, tenant_name, tenant_display_name, cursor_key } => {
            let names = NewTenant { name: tenant_name, display_name: tenant_display_name };
            found(step, *cluster, &names, *cursor_key)
        }
        Upkeep::StartNode { node, address, zone } => start_node(step, *node, address, zone),
        Upkeep::RotateLease { node, close } => rotate_lease(step, *node, *close),
        Upkeep::Expire { .. }
        | Upkeep::Release { .. }
        | Upkeep::Reap { .. }
        | Upkeep::ForgetReaped { .. }
        | Upkeep::SetChecksum { .. }
        | Upkeep::Recode { .. }
        | Upkeep::Hold { .. }
        | Upkeep::KeepAnswer { .. } => Err(Refusal::WrongCaller.into()),
    }
}

/// Founded again under the same identity, it answers what is there.
fn found(
    step: &mut Step<'_>,
    id: u128,
    names: &NewTenant<'_>,
    cursor_key: [u8; 32],
) -> Result<Answer, Stop> {
    if let Some(cluster) = table::get::<Clusters>(step.reader(), &())? {
        return match cluster.first_tenant.filter(|_| cluster.id == id) {
            Some(tenant) => Ok(Answer::Tenant(tenant)),
            None => Err(Refusal::AlreadyExists.into()),
        };
    }
    let partner = tenant::add_partner(step, "main", "Main")?;
    let tenant: TenantId = tenant::add_tenant(step, partner, names)?;
    let (created_at, log_time) = (step.now, step.now);
    let cluster = Cluster { id, created_at, log_time, first_tenant: Some(tenant), cursor_key };
    table::put::<Clusters>(step.tables, &(), &cluster)?;
    Ok(Answer::Tenant(tenant))
}

/// Only the node itself may speak for it.
fn require_self(step: &Step<'_>, node: NodeId) -> Result<(), Refusal> {
    if *step.caller == Caller::Node(node) { Ok(()) } else { Err(Refusal::WrongCaller) }
}

/// What was written under the lease of an earlier start can be named no more.
fn start_node(step: &mut Step<'_>, id: NodeId, address: &str, zone: &str) -> Result<Answer, Stop> {
    require_self(step, id)?;
    nodes::check_place(address, zone)?;
    let node = match table::get::<Nodes>(step.reader(), &(id.0,))? {
        Some(node) if node.seat == Seat::Removed => return Err(Refusal::WrongCaller.into()),
        Some(node) => node,
        None => founder(step, id)?,
    };
    close_leases(step, id)?;
    let (address, zone) = (address.to_owned(), zone.to_owned());
    let node = Node { address, zone, incarnation: node.incarnation + 1, lease: None, ..node };
    open_lease(step, node)
}

/// The first node of a cluster; every other has to join before it starts.
fn founder(step: &Step<'_>, id: NodeId) -> Result<Node, Stop> {
    let others = table::some::<Nodes>(step.reader(), &(), 1)?;
    if others.is_empty() {
        Ok(Node {
            id,
            address: String::new(),
            zone: String::new(),
            incarnation: 0,
            lease: None,
            seat: Seat::MayVote,
            nonce: 0,
            drives: Vec::new(),
            is_out: false,
            deleted_up_to: step.index,
            settled: Epoch::default(),
        })
    } else {
        Err(Refusal::WrongCaller.into())
    }
}

fn rotate_lease(step: &mut Step<'_>, id: NodeId, close: Option<u64>) -> Result<Answer, Stop> {
    require_self(step, id)?;
    let node = nodes::member(step, id)?;
    if let Some(lease) = close {
        close_lease(step, id, lease)?;
    }
    open_lease(step, node)
}

fn open_lease(step: &mut Step<'_>, node: Node) -> Result<Answer, Stop> {
    let (number, id) = (step.index, node.id);
    let writer = Writer::Lease { node: id, opened_at: step.now };
    table::put::<Writers>(step.tables, &(number,), &writer)?;
    let node = Node { lease: Some(number), ..node };
    table::put::<Nodes>(step.tables, &(id.0,), &node)?;
    Ok(Answer::Lease(number))
}

/// Closes all leases of a node that writes under none of them any more. Not the last one alone:
/// those before it may have been waiting for what was under way.
pub(super) fn close_leases(step: &mut Step<'_>, id: NodeId) -> Result<(), Stop> {
    let mut leases = Vec::new();
    table::scan::<Writers>(step.reader(), &(), &mut |(number,), writer| {
        if matches!(writer, Writer::Lease { node, .. } if node == id) {
            leases.push(number);
        }
        ControlFlow::Continue(())
    })?;
    for lease in leases {
        table::delete::<Writers>(step.tables, &(lease,))?;
    }
    Ok(())
}

/// Closes a lease of this node; one that is closed already, or another's, stays as it is.
fn close_lease(step: &mut Step<'_>, id: NodeId, lease: u64) -> Result<(), Stop> {
    let writer = table::get::<Writers>(step.reader(), &(lease,))?;
    if matches!(writer, Some(Writer::Lease { node, .. }) if node == id) {
        table::delete::<Writers>(step.tables, &(lease,))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use node_base::NodeId;

    use crate::caller::Caller;
    use crate::command::{Command, Upkeep};
    use crate::fixture::Fixture;
    use crate::outcome::{Answer, Outcome, Refusal};
    use crate::table::cluster::{Clusters, Nodes};
    use crate::table::upload::Writers;
    use crate::table::{self};

    fn run(fixture: &mut Fixture, node: u64, step: Upkeep) -> Outcome {
        fixture.run_as(Caller::Node(NodeId(node)), Command::Upkeep(step))
    }

    fn start(fixture: &mut Fixture, node: u64, speaker: u64) -> Outcome {
        let (address, zone) = ("a:1".to_owned(), "z".to_owned());
        run(fixture, speaker, Upkeep::StartNode { node: NodeId(node), address, zone })
    }

    fn is_open(fixture: &Fixture, lease: u64) -> bool {
        table::has::<Writers>(&fixture.tables, &(lease,)).expect("memory never fails")
    }

    #[test]
    fn a_cluster_is_founded_once() {
        let mut fixture = Fixture::new();
        let row = table::get::<Clusters>(&fixture.tables, &()).expect("memory never fails");
        let id = row.expect("founded").id;
        let found = |cluster| Upkeep::Found {
            cluster,
            tenant_name: "again".to_owned(),
            tenant_display_name: "Again".to_owned(),
            cursor_key: [9; 32],
        };
        let again = run(&mut fixture, 1, found(id));
        assert_eq!(again, Ok(Answer::Tenant(fixture.tenant)));
        assert_eq!(run(&mut fixture, 1, found(id + 1)), Err(Refusal::AlreadyExists));
    }

    #[test]
    fn a_restarted_node_has_one_new_lease() {
        let mut fixture = Fixture::new();
        let Ok(Answer::Lease(first)) = start(&mut fixture, 3, 3) else { panic!("a lease") };
        assert!(is_open(&fixture, first));
        let rotate = Upkeep::RotateLease { node: NodeId(3), close: None };
        let Ok(Answer::Lease(second)) = run(&mut fixture, 3, rotate) else { panic!("a lease") };
        assert!(is_open(&fixture, first) && is_open(&fixture, second));
        let rotate = Upkeep::RotateLease { node: NodeId(3), close: Some(first) };
        let Ok(Answer::Lease(third)) = run(&mut fixture, 3, rotate) else { panic!("a lease") };
        assert!(!is_open(&fixture, first) && is_open(&fixture, third));
        let Ok(Answer::Lease(fourth)) = start(&mut fixture, 3, 3) else { panic!("a lease") };
        assert!(!is_open(&fixture, third) && is_open(&fixture, fourth));
        assert!(!is_open(&fixture, second), "nobody writes under what was left open");
        let node = table::get::<Nodes>(&fixture.tables, &(3,)).expect("memory never fails");
        assert_eq!(node.map(|node| (node.incarnation, node.lease)), Some((2, Some(fourth))));
    }

    #[test]
    fn a_node_speaks_for_itself_alone() {
        let mut fixture = Fixture::new();
        assert_eq!(start(&mut fixture, 3, 4), Err(Refusal::WrongCaller));
        let Ok(Answer::Lease(lease)) = start(&mut fixture, 3, 3) else { panic!("a lease") };
        assert_eq!(start(&mut fixture, 4, 4), Err(Refusal::WrongCaller), "it has not joined");
        crate::apply::nodes::tests::join(&mut fixture, 4);
        assert!(start(&mut fixture, 4, 4).is_ok());
        let rotate = Upkeep::RotateLease { node: NodeId(4), close: Some(lease) };
        assert!(run(&mut fixture, 4, rotate).is_ok());
        assert!(is_open(&fixture, lease), "another node's lease stays open");
        let ann = fixture.ann;
        let rotate = Upkeep::RotateLease { node: NodeId(4), close: None };
        assert_eq!(fixture.run(ann, Command::Upkeep(rotate)), Err(Refusal::WrongCaller));
    }
}
