//! What must hold: one file for each promise.
//!
//! Where: P1 to P8 are promised in ARCHITECTURE.md, section 9, and liveness in section 10; those of
//! Raft in Ongaro and Ousterhout's figure 3.
//!
//! | promise | how it is checked |
//! |---|---|
//! | P1 [`kept`] | acknowledged versions are read and compared with what their seeds make |
//! | P2 [`told`] | copies made of the feed, from any cursor, against the tables' tree |
//! | P3 [`both`] | what lost is in its conflict; no two edits win over one base |
//! | P4 [`counted`] | a recount of the tables finds no drift; no quota is passed |
//! | P5 [`leftover`] | sessions are ended; each shard is looked up, each record too |
//! | P6 [`whole`] | asked again, keys tell the same; all there is was brought once |
//! | P7 [`shown`] | what a guest was shown, against when it was let in and out |
//! | P8 [`order`] | a search for an order, for each share |
//! | P8 [`set`] | what was set of people, groups, rules and devices is what is told |
//! | Raft [`raft`] | terms, leaders, logs' entries and tables of all nodes, at each look |
//! | liveness [`live`] | in bounded time all ends, tables agree, drives are tidy |
//!
//! Each judges a history and a moment of the tables, which a test can make by hand: it has one that
//! is good, and a bad one for each way to break the promise. To add a promise: a file here with a
//! `check`, its line in this table, and its call in [`after`].

mod both;
mod counted;
#[cfg(test)]
mod example;
pub(crate) mod facts;
mod kept;
mod leftover;
mod live;
mod order;
mod raft;
mod set;
mod shown;
mod told;
mod whole;

use http::Method;
use raft_meta::table::item::ItemId;

use crate::client::request::Request;
use crate::client::{Client, Patience};
use crate::cluster::Cluster;
use crate::history::record::Recorder;
use crate::history::{Ask, History, Operation, Way};
use crate::options::Options;
use crate::workload::PATIENCE;
use facts::Facts;

pub(crate) use raft::Watch;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    pub(crate) promised_in: &'static str,
    pub(crate) what: String,
    /// Texts that lines of the trace about it have in them.
    pub(crate) touching: Vec<String>,
}

impl Violation {
    /// A promise that an operation shows to be broken.
    fn by(op: &Operation, promise: &'static str, promised_in: &'static str, what: &str) -> Self {
        let what = format!("{what}: {}", op.line());
        Self { promise, promised_in, what, touching: touched(op) }
    }
}

/// Looks at the agreement while a run lasts; at the tables too, which costs more, where that is
/// wanted.
pub(crate) async fn during(
    cluster: &Cluster,
    watch: &mut Watch,
    with_tables: bool,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for node in cluster.nodes() {
        let Some(stand) = Box::pin(live::stand(cluster, node, with_tables)).await else { continue };
        violations.extend(watch.see(stand));
        if let Some(from) = watch.unseen(&stand) {
            let marks = Box::pin(live::marks(cluster, node, from)).await;
            violations.extend(watch.match_logs(node, &marks));
        }
    }
    violations
}

/// Judges a run when everything is healed and everybody has stopped.
pub(crate) async fn after(
    cluster: &Cluster,
    history: &History,
    options: &Options,
) -> Vec<Violation> {
    let recorder = Recorder::default();
    let patience = Patience::default();
    let be_patient = || patience.until(cluster.now() + PATIENCE * 15);
    be_patient();
    let client =
        |person: usize| Client::new(cluster, &history.people[person], &recorder, &patience);
    let mut violations: Vec<Violation> = history.garbled.iter().map(|what| garbled(what)).collect();
    violations.extend(live::pending(history, options.may_lose_bytes()));
    let Some(admin) = &history.admin else { return violations };
    // First, for keys are forgotten after a day.
    violations.extend(Box::pin(whole::ask_again(history, client)).await);
    violations.extend(Box::pin(live::agreed(cluster)).await);
    let Some(facts) = Box::pin(facts_of(cluster, admin.tenant)).await else {
        violations.push(live::violation("no node tells what is in the tables".to_owned()));
        return violations;
    };
    let reader = Client::new(cluster, admin, &recorder, &patience);
    be_patient();
    let contents = Box::pin(kept::read_all(&reader, history, &facts)).await;
    violations.extend(kept::check(history, &facts, &contents, options.may_lose_bytes()));
    be_patient();
    violations.extend(Box::pin(told::check(history, &facts, client)).await);
    violations.extend(both::check(history, &facts));
    violations.extend(counted::check(history, &facts));
    violations.extend(whole::check(history, &facts));
    violations.extend(shown::check(history));
    violations.extend(set::check(history));
    let (disorder, undecided) = order::check(history, &facts);
    violations.extend(disorder);
    for what in undecided {
        cluster.note(format_args!("undecided {what}"));
    }
    be_patient();
    for (user, upload) in &facts.sessions {
        if let Some(person) = history.people.iter().position(|person| person.user == *user) {
            let abort = Request::new(Method::DELETE, format!("/uploads/{upload}"));
            drop(Box::pin(client(person).send(&abort)).await);
        }
    }
    violations.extend(Box::pin(live::tidy(cluster, admin.tenant, options)).await);
    violations
}

fn garbled(what: &str) -> Violation {
    Violation {
        promise: "the contract",
        promised_in: "the OpenAPI document",
        what: format!("an answer is not of its shape: {what}"),
        touching: Vec::new(),
    }
}

async fn facts_of(cluster: &Cluster, tenant: node_base::TenantId) -> Option<Facts> {
    for node in cluster.nodes() {
        // In a task of the node's, which may crash meanwhile.
        let asked = cluster.inspect(node, move |ops| async move {
            ops.look_now(move |tables| Facts::of(tables, tenant)).await
        });
        if let Some(Ok(facts)) = Box::pin(asked).await {
            return Some(facts);
        }
    }
    None
}

/// The text of an item's id.
fn text(item: &ItemId) -> String {
    match item {
        ItemId::Folder(folder) => folder.to_string(),
        ItemId::File(file) => file.to_string(),
    }
}

/// What lines of the trace about an operation name.
fn touched(op: &Operation) -> Vec<String> {
    let asked = match &op.ask {
        Ask::Relocate { item, .. }
        | Ask::Trash { item }
        | Ask::Restore { item }
        | Ask::Purge { item }
        | Ask::Pass { item, .. }
        | Ask::Stat { item } => Some(text(item)),
        Ask::Replace { file, .. }
        | Ask::Revive { file, .. }
        | Ask::Prune { file, .. }
        | Ask::Copy { file, .. }
        | Ask::Read { file, .. } => Some(file.to_string()),
        Ask::File { way: Way::Session(upload), .. } | Ask::Send { upload, .. } => {
            Some(upload.to_string())
        }
        _ => None,
    };
    let told = op.item().map(|seen| text(&seen.item));
    asked.into_iter().chain(told).chain([op.key()]).collect()
}
