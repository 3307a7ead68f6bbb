//! A cluster of real processes on one machine, each node at a loopback address of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::link::{Link, Weather};
use crate::server::{Server, Start};

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until it is so.
///
/// # Panics
/// When it is not, for long.
pub fn wait(what: &str, is_so: impl FnMut() -> bool) {
    wait_or_tell(what, is_so, String::new);
}

fn wait_or_tell(what: &str, mut is_so: impl FnMut() -> bool, stood: impl Fn() -> String) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}\n{}", stood());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One node of a bench.
pub struct Member {
    pub start: Start,
    pub server: Option<Server>,
    /// Its number in the cluster.
    pub number: u64,
    link: Option<Link>,
    is_paused: bool,
}

impl Member {
    fn address(&self) -> IpAddr {
        let address: SocketAddr = self.start.cluster_listen.parse().expect("an address");
        address.ip()
    }
}

/// A cluster. Its processes end when it is dropped.
pub struct Bench {
    home: PathBuf,
    pub members: Vec<Member>,
    lines: Option<(Arc<Runtime>, Arc<Weather>)>,
    /// The second to last part of its nodes' addresses.
    net: u8,
    made: u8,
}

impl Bench {
    /// Forms a cluster of so many nodes. With `lines` they reach one another by ways that can be
    /// cut and slowed down.
    pub fn form(home: &Path, nodes: usize, lines: bool) -> Self {
        static NETS: AtomicU8 = AtomicU8::new(0);
        // Benches of other processes are elsewhere, most of the time.
        let own = (std::process::id() % 200) as u8;
        let net = 1 + own.wrapping_add(NETS.fetch_add(1, Ordering::Relaxed)) % 200;
        let lines = lines.then(|| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
            (Arc::new(runtime), Arc::new(Weather::default()))
        });
        let mut bench = Self { home: home.to_owned(), members: Vec::new(), lines, net, made: 0 };
        let first = bench.prepare();
        first.link.iter().for_each(Link::open);
        let founded = first.start.form(&["init"]);
        assert_eq!(founded.code, Some(0), "{}", founded.errors);
        let server = Some(first.start.ready());
        bench.members.push(Member { server, number: 1, ..first });
        for _ in 1..nodes {
            bench.join();
        }
        bench.wait_until_up();
        bench
    }

    /// A node that is of no cluster yet.
    fn prepare(&mut self) -> Member {
        self.made += 1;
        let host = Ipv4Addr::new(127, 0, self.net, self.made);
        let free = |host: Ipv4Addr| {
            let bound = TcpListener::bind((host, 0)).expect("a loopback address");
            bound.local_addr().expect("bound")
        };
        let listens = free(host);
        let mut start = Start {
            listen: free(host).to_string(),
            cluster_listen: listens.to_string(),
            environment: vec![
                ("SCAIDRIVE_CHUNKS_CARE_SECONDS".to_owned(), "1".to_owned()),
                ("SCAIDRIVE_HTTP_LEAVE_SECONDS".to_owned(), "0".to_owned()),
            ],
            ..Start::at(&self.home.join(format!("node{}", self.made)))
        };
        let link = self.lines.as_ref().map(|(runtime, weather)| {
            let at = free(Ipv4Addr::new(127, 1, self.net, self.made));
            start.flags.extend(["--advertise".to_owned(), at.to_string()]);
            Link::new(runtime, weather, at, listens)
        });
        Member { start, server: None, number: 0, link, is_paused: false }
    }

    /// Has one more node join; its place.
    pub fn join(&mut self) -> usize {
        let member = self.prepare();
        member.link.iter().for_each(Link::open);
        let at = self.members.iter().find(|member| member.server.is_some() && !member.is_paused);
        let server = at.and_then(|at| at.server.as_ref()).expect("a node runs");
        let token = server.command(&["join-token"]);
        let via: Vec<&str> = self
            .members
            .iter()
            .filter(|member| member.server.is_some() && !member.is_paused)
            .flat_map(|member| ["--via", member.start.cluster_listen.as_str()])
            .collect();
        let joined = member.start.form(&[&["join", "--token", token.trim()], &via[..]].concat());
        assert_eq!(joined.code, Some(0), "{}", joined.errors);
        let number = joined.json()["node"].as_u64().expect("a number");
        let server = Some(member.start.ready());
        self.members.push(Member { server, number, ..member });
        self.members.len() - 1
    }

    /// The places of nodes that run and are not held up.
    pub fn up(&self) -> Vec<usize> {
        let members = self.members.iter().enumerate();
        let up = members.filter(|(_, member)| member.server.is_some() && !member.is_paused);
        up.map(|(at, _)| at).collect()
    }

    pub fn server(&self, at: usize) -> &Server {
        self.members[at].server.as_ref().expect("it runs")
    }

    /// Any node that answers.
    pub fn any(&self) -> &Server {
        self.server(self.up()[0])
    }

    /// The place of the node that leads, as one says that answers; nothing while there is none.
    pub fn leader(&self) -> Option<usize> {
        let ran = self.any().try_command(&["status", "--json"]);
        let status: Value = serde_json::from_str(&ran.output).ok()?;
        let leader = status["leader"].as_u64()?;
        self.members.iter().position(|member| member.number == leader)
    }

    /// Ends a node without any chance to write another byte.
    pub fn kill(&mut self, at: usize) {
        let member = &mut self.members[at];
        let server = member.server.take().expect("it runs");
        member.is_paused = false;
        server.kill();
        member.link.iter().for_each(Link::close);
    }

    /// Stops a node in good order.
    pub fn stop(&mut self, at: usize) {
        let member = &mut self.members[at];
        assert_eq!(member.server.take().expect("it runs").stop(), Some(0));
        member.link.iter().for_each(Link::close);
    }

    /// Starts a node that was ended.
    pub fn start(&mut self, at: usize) {
        let member = &mut self.members[at];
        assert!(member.server.is_none(), "it runs");
        member.link.iter().for_each(Link::open);
        member.server = Some(member.start.ready());
    }

    fn signal(&self, at: usize, signal: Signal) {
        let pid = Pid::from_raw(self.server(at).pid().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it is ours");
    }

    /// Holds a node's process up.
    pub fn pause(&mut self, at: usize) {
        self.signal(at, Signal::STOP);
        self.members[at].is_paused = true;
    }

    pub fn resume(&mut self, at: usize) {
        self.signal(at, Signal::CONT);
        self.members[at].is_paused = false;
    }

    fn weather(&self) -> &Weather {
        &self.lines.as_ref().expect("the bench has lines").1
    }

    /// Cuts a node off from all others; people reach it.
    pub fn cut(&self, at: usize) {
        self.weather().cut(self.members[at].address());
    }

    /// Has everything between a node and the others take longer.
    pub fn slow(&self, at: usize, by: Duration) {
        self.weather().slow(self.members[at].address(), by);
    }

    /// Ends [`Bench::cut`] and [`Bench::slow`].
    pub fn mend(&self, at: usize) {
        self.weather().mend(self.members[at].address());
    }

    /// Ends a node, wipes its drives, has the others take it out of the cluster, and joins another
    /// in its place; the place of that one.
    pub fn refill(&mut self, at: usize) -> usize {
        if self.members[at].server.is_some() {
            self.kill(at);
        }
        self.wipe(at);
        self.remove(at);
        self.join()
    }

    /// Wipes the drives of a node that does not run.
    pub fn wipe(&self, at: usize) {
        for folder in &self.members[at].start.data_dirs {
            fs::remove_dir_all(folder).expect("it can be wiped");
        }
    }

    /// Has the others take a node out of the cluster that is not there any more. Its place stays.
    pub fn remove(&self, at: usize) {
        let number = self.members[at].number.to_string();
        wait("a node that is gone is removed", || {
            let ran = self.any().try_command(&["remove", &number, "--force"]);
            ran.code == Some(0) || ran.errors.contains("no such node")
        });
    }

    /// The nodes as one of them sees them.
    pub fn seen(&self) -> Vec<Value> {
        let ran = self.any().try_command(&["status", "--json"]);
        let status: Value = serde_json::from_str(&ran.output).unwrap_or_default();
        status["cluster"]["nodes"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until every node that runs is up in the eyes of the cluster, and an odd number votes.
    pub fn wait_until_up(&self) {
        let up = self.up();
        let votes = (up.len() - usize::from(up.len().is_multiple_of(2))).min(7);
        wait("all nodes are up", || {
            let seen = self.seen();
            let is_up = |number: u64| {
                seen.iter().any(|node| node["node"] == number && node["state"] == "up")
            };
            let voters = seen.iter().filter(|n| n["role"] == "voter" || n["role"] == "leader");
            up.iter().all(|at| is_up(self.members[*at].number)) && voters.count() >= votes
        });
    }

    /// Waits until every node says that every chunk is whole, and that no earlier map is needed.
    pub fn wait_until_whole(&self) {
        let servers = || self.members.iter().filter_map(|member| member.server.as_ref());
        let status = |server: &Server| server.try_command(&["status", "--json"]).output;
        wait_or_tell(
            "all chunks have all their shards",
            || servers().all(|server| is_whole(&status(server))),
            || servers().map(|s| format!("{}\n{}\n", status(s), s.log())).collect(),
        );
    }

    /// No node said anything that it must not.
    ///
    /// # Panics
    /// When one did.
    pub fn check_logs(&self) {
        for server in self.members.iter().filter_map(|member| member.server.as_ref()) {
            let log = server.log();
            assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
        }
    }
}

fn is_whole(status: &str) -> bool {
    let status: Value = serde_json::from_str(status).unwrap_or_default();
    let cluster = &status["cluster"];
    let nodes = cluster["nodes"].as_array().cloned().unwrap_or_default();
    let is_done = |node: &Value| {
        let drives = &node["drives"];
        drives["shards_to_repair"] == 0 && drives["misplaced_shards"] == 0
    };
    cluster["maps"] == 1 && !nodes.is_empty() && nodes.iter().all(is_done)
}

impl Drop for Bench {
    fn drop(&mut self) {
        for member in &mut self.members {
            // A process that is held up is ended as well.
            drop(member.server.take());
        }
    }
}
