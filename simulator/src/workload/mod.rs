//! What people do with the cluster, all at once: each kind of client is a file.
//!
//! | who | what |
//! |---|---|
//! | [`uploader`] | brings files in every way there is, duplicates on purpose, and overwrites |
//! | [`mover`] | makes, renames and moves |
//! | [`deleter`] | trash, restore, purge; old versions back or gone |
//! | [`syncer`] | follows the change feed and keeps a [`replica`] |
//! | [`permitter`] | lets somebody into a share and out again, while that somebody looks |
//! | [`mingler`] | sends what others changed meanwhile, settles conflicts, moves between shares |
//! | [`filler`] | fills a share to its quota, and makes room |
//! | [`host`] | batches, rules, permissions, invitations, hand-overs, shares' ends |
//! | [`visitor`] | devices, favorites, and every list of one's own |
//! | [`signer`] | signs in with passwords and codes, renews tokens and gives them back |
//! | [`saver`] | makes backups, restores them elsewhere, and has them checked |
//! | [`steward`] | makes and changes users, groups, quotas, tenants, and looks |
//!
//! To add one: a file here with a `run`, a number of them in [`Workload`], and a line in [`Crew`].

mod deleter;
mod desk;
mod filler;
pub(crate) mod ground;
mod host;
mod mingler;
mod mover;
mod permitter;
pub(crate) mod replica;
mod saver;
mod signer;
mod steward;
mod syncer;
mod uploader;
mod visitor;

use std::sync::Arc;

use http::Method;
use node_base::{Duration, ShareId};
use node_world::Task;
use serde_json::{Value, json};

use crate::client::request::Request;
use crate::client::{Client, Person, sign_in};
use crate::cluster::Cluster;
use crate::history::History;
use crate::options::{Options, Workload};
use desk::Desk;
use ground::{Actor, Door, Ground, Kind, Site};
use replica::Replica;

/// After the end of a run, clients have this long for what they have begun.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// What the share that gets full may hold, in files of the largest size.
const TIGHT_FILES: u64 = 8;

/// The clients of a run, at work.
pub(crate) struct Running {
    cluster: Cluster,
    ground: Arc<Ground>,
    crew: Task<Crew>,
}

/// Has people made and shares set up, and sets everybody to work.
pub(crate) fn start(cluster: &Cluster, options: &Options) -> Running {
    let workload = options.workload.clone();
    let ground = Arc::new(Ground::new(workload.pause_ms_max, workload.file_bytes_max));
    let crew = cluster.spawn(Box::pin(set_up(cluster.clone(), Arc::clone(&ground), workload)));
    Running { cluster: cluster.clone(), ground, crew }
}

impl Running {
    /// Has everybody come to an end, and answers what they did and saw. What is not answered by
    /// then stays unknown.
    pub(crate) async fn stop(self) -> History {
        self.ground.stop();
        self.ground.patience.until(self.cluster.now() + PATIENCE);
        let crew = self.crew.await.expect("the machine of the clients does not break");
        let (people, sites) = (crew.people.clone(), crew.sites.clone());
        let admin = Some(crew.admin.clone());
        let replicas = Box::pin(crew.finish()).await;
        let (operations, settings, garbled) = self.ground.recorder.take();
        History { admin, people, sites, operations, replicas, settings, garbled }
    }
}

/// Who is there.
struct Crew {
    cluster: Cluster,
    ground: Arc<Ground>,
    /// Who made the tenant, and may do everything in it.
    admin: Person,
    people: Vec<Person>,
    sites: Vec<Site>,
    workers: Vec<Task<()>>,
    syncers: Vec<Task<Replica>>,
}

async fn set_up(cluster: Cluster, ground: Arc<Ground>, workload: Workload) -> Crew {
    let admin = Box::pin(sign_in(&cluster, node_assembly::FIRST_EMAIL)).await;
    let mut crew = Crew {
        cluster,
        ground,
        admin,
        people: Vec::new(),
        sites: Vec::new(),
        workers: Vec::new(),
        syncers: Vec::new(),
    };
    for n in 0..workload.users.max(2) {
        let person = Box::pin(sign_in(&crew.cluster, &format!("user{n}@example.com"))).await;
        crew.people.push(person);
    }
    for n in 0..workload.shares.max(1) {
        Box::pin(crew.share(&format!("open {n}"), Kind::Open, None)).await;
    }
    for door in [Door::Member, Door::Entry].into_iter().take(workload.permitters as usize) {
        Box::pin(crew.share(&format!("guarded {door:?}"), Kind::Guarded, None)).await;
        if let Some(site) = crew.sites.last_mut() {
            site.door = door;
        }
    }
    if workload.minglers > 0 {
        Box::pin(crew.share("loose 0", Kind::Loose, None)).await;
        Box::pin(crew.share("loose 1", Kind::Loose, None)).await;
    }
    if workload.fillers > 0 {
        let quota = workload.file_bytes_max.saturating_mul(TIGHT_FILES).min(400_000);
        Box::pin(crew.share("tight", Kind::Tight, Some(quota))).await;
    }
    crew.set_to_work(&workload);
    crew
}

impl Crew {
    /// Makes a share of the first person's, and all others members where they are to be.
    async fn share(&mut self, name: &str, kind: Kind, quota: Option<u64>) {
        let owner = self.people[0].user;
        let body = json!({
            "name": name, "share_type": "project", "owner_id": owner.to_string(),
        });
        let first = self.people[0].clone();
        let shares = "/shares".to_owned();
        let made = Box::pin(self.insist(&first, Method::POST, shares, &body)).await;
        let share = made.and_then(|made| made["id"].as_str()?.parse::<ShareId>().ok());
        let Some(share) = share else { return };
        let guest = (kind == Kind::Guarded).then(|| self.people[1].user);
        if kind != Kind::Guarded {
            for person in self.people.clone().iter().skip(1) {
                let user = person.user.to_string();
                let role = "contributor";
                let member = json!({"principal_type": "user", "principal_id": user, "role": role});
                let path = format!("/shares/{share}/members");
                Box::pin(self.insist(&first, Method::POST, path, &member)).await;
            }
        }
        if let Some(quota) = quota {
            let limit = json!({"quota_bytes": quota});
            let path = format!("/shares/{share}");
            Box::pin(self.insist(&self.admin, Method::PATCH, path, &limit)).await;
        }
        let door = Door::default();
        self.sites.push(Site { share, kind, owner, guest, quota, door });
    }

    /// Has somebody's wish done, however long it takes.
    async fn insist(
        &self,
        person: &Person,
        method: Method,
        path: String,
        body: &Value,
    ) -> Option<Value> {
        let key = format!("setting-up-{}", self.ground.fresh());
        let request = Request::json(method, path, body).with_key(key);
        let reply = Box::pin(self.client(person).send(&request)).await.reply?;
        serde_json::from_slice(&reply.body).ok()
    }

    fn client(&self, person: &Person) -> Client {
        let Ground { recorder, patience, .. } = &*self.ground;
        Client::new(&self.cluster, person, recorder, patience)
    }

    fn actor(&self, person: usize) -> Actor {
        let client = self.client(&self.people[person % self.people.len()]);
        Actor { client, ground: Arc::clone(&self.ground) }
    }

    fn set_to_work(&mut self, workload: &Workload) {
        let open: Vec<ShareId> = self.of(Kind::Open).iter().map(|site| site.share).collect();
        let cluster = self.cluster.clone();
        let mut workers = Vec::new();
        for n in 0..workload.uploaders as usize {
            workers.push(cluster.spawn(uploader::run(self.actor(n), open.clone())));
        }
        for n in 0..workload.movers as usize {
            workers.push(cluster.spawn(mover::run(self.actor(n + 1), open.clone())));
        }
        for n in 0..workload.deleters as usize {
            workers.push(cluster.spawn(deleter::run(self.actor(n + 2), open.clone())));
        }
        for site in self.of(Kind::Tight) {
            for n in 0..workload.fillers as usize {
                workers.push(cluster.spawn(filler::run(self.actor(n), site.clone())));
            }
        }
        let loose: Vec<ShareId> = self.of(Kind::Loose).iter().map(|site| site.share).collect();
        for n in 0..workload.minglers as usize {
            workers.push(cluster.spawn(mingler::run(self.actor(n), loose.clone())));
        }
        if workload.stewards > 0 {
            let client = self.client(&self.admin);
            let actor = Actor { client, ground: Arc::clone(&self.ground) };
            workers.push(cluster.spawn(steward::run(Desk::new(actor))));
        }
        if workload.visitors > 0 {
            workers.push(cluster.spawn(visitor::run(Desk::new(self.actor(0)), open.clone())));
        }
        if workload.signers > 0 {
            workers.push(cluster.spawn(signer::run(Desk::new(self.actor(0)))));
        }
        if workload.savers > 0 {
            let may_lose = self.cluster.may_lose_bytes();
            workers.push(cluster.spawn(saver::run(self.actor(0), may_lose)));
        }
        if workload.hosts > 0 {
            let guest = self.people[0].clone();
            workers.push(cluster.spawn(host::run(Desk::new(self.actor(1)), guest)));
        }
        for (n, share) in loose.into_iter().enumerate() {
            self.syncers.push(cluster.spawn(syncer::run(self.actor(n), share)));
        }
        for site in self.of(Kind::Guarded) {
            workers.push(cluster.spawn(permitter::owner(self.actor(0), site.clone())));
            workers.push(cluster.spawn(permitter::guest(self.actor(1), site.clone())));
            self.syncers.push(cluster.spawn(syncer::run(self.actor(1), site.share)));
        }
        for n in 0..workload.syncers as usize {
            let Some(share) = open.get(n % open.len().max(1)) else { break };
            self.syncers.push(cluster.spawn(syncer::run(self.actor(n), *share)));
        }
        self.workers.extend(workers);
    }

    fn of(&self, kind: Kind) -> Vec<Site> {
        self.sites.iter().filter(|site| site.kind == kind).cloned().collect()
    }

    async fn finish(self) -> Vec<Replica> {
        for worker in self.workers {
            worker.await.expect("the machine of the clients does not break");
        }
        let mut replicas = Vec::new();
        for syncer in self.syncers {
            replicas.push(syncer.await.expect("the machine of the clients does not break"));
        }
        replicas
    }
}
