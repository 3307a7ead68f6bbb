//! The example of a settings file: every setting with its default, and what it is for.
//!
//! A line that begins with `#` and no space after it is a setting; taking the `#` away sets it.

use std::fmt::Write;

use toml::Value;

/// What people read about a setting. Its default is the program's; where it has none, `sample` is
/// what it may look like.
struct Line {
    key: &'static str,
    help: &'static str,
    sample: &'static str,
}

const fn line(key: &'static str, help: &'static str) -> Line {
    Line { key, help, sample: "" }
}

const fn unset(key: &'static str, help: &'static str, sample: &'static str) -> Line {
    Line { key, help, sample }
}

const HEAD: &str = "\
# Settings of a ScaiDrive node: scaidrived serve --config FILE
#
# Each line shows what holds without it. Take its first # away to change it. The environment wins
# over this file, and flags win over both: raft.out_after_ms is SCAIDRIVE_RAFT_OUT_AFTER_MS.
# Made by: scaidrived settings --example
";

/// In the order of the file. A key without a dot stands before the first table.
const LINES: [Line; 44] = [
    line("data_dirs", "Each is a drive; the first also holds the tables and the log."),
    line("listen", "Where people and programs connect. Port 0 picks a free one."),
    line("cluster_listen", "Where other nodes connect, by TCP and UDP."),
    line("metrics_listen", "Where metrics are read. It asks for no password."),
    unset("advertise", "How other nodes reach this one; without it, cluster_listen.", "a.lan:8001"),
    unset(
        "public_url",
        "How people reach the cluster: the same on all nodes. Without it, made of listen.",
        "https://files.example.com",
    ),
    unset("tls_cert", "The certificate chain for HTTPS, in PEM.", "/etc/scaidrive/tls.crt"),
    unset("tls_key", "The private key for HTTPS, in PEM.", "/etc/scaidrive/tls.key"),
    line("zone", "The failure domain this node is in, such as its rack."),
    line("log", "What the log shows, as `level` or `target=level,...`."),
    line("chunks.pack_bytes", "A pack file is closed at this size."),
    line(
        "chunks.reserve_bytes",
        "Kept free on each drive, so that deleting goes on when it is full; at most a fiftieth.",
    ),
    line("chunks.in_flight_bytes", "Of chunks being written, and being read, at any time."),
    line("chunks.care_seconds", "Between two looks of scrub and compaction for something to do."),
    line(
        "http.head_seconds",
        "A client may take so long over the head of a request, and over a TLS handshake.",
    ),
    line("http.idle_seconds", "A connection is kept open so long on which nothing is asked."),
    line("http.body_idle_seconds", "May pass between two pieces of a request's body."),
    line(
        "http.leave_seconds",
        "A node of several says so long that it is not ready, and serves, before it stops.",
    ),
    line("http.stop_seconds", "Running requests are given this long when the node stops."),
    line("http.connections_max", "Connections at the same time; more wait to be accepted."),
    unset(
        "identity.built_in",
        "The node's own issuer of tokens. Without a value: on, while no outside issuer is \
         configured and `listen` is on loopback.",
        "true",
    ),
    line("identity.issuers", "Outside OIDC issuers; the manual says what each may have."),
    unset("join.via", "A node without data joins the cluster of these nodes.", "a.lan:8001"),
    unset("join.token", "What `scaidrived join-token` printed there.", "join_..."),
    line("raft.heartbeat_ms", "How often a leader shows that it is there."),
    line("raft.election_min_ms", "A node that heard of no leader for between these two ..."),
    line("raft.election_max_ms", "... asks to be elected."),
    line("raft.patience_ms", "How long a write or a read waits for a leader."),
    line("raft.probe_ms", "How often the leader asks the other nodes how far they are."),
    line(
        "raft.out_after_ms",
        "A node that is silent for this long is out: others make anew what it held.",
    ),
    line("raft.engine", "Of the tables. Leave it: sled loses data with the power, memory always."),
    line("raft.tables_cache_bytes", "How much of the tables is kept in memory."),
    line(
        "raft.durable_every_ms",
        "How often the tables are made durable. The log is durable at once; this bounds how much \
         of it is applied again after a crash.",
    ),
    line("raft.log_segment_bytes", "The size of one file of the log."),
    line("raft.log_cache_bytes", "How much of the log is kept in memory."),
    line("raft.snapshot_entries", "The log is purged after this many entries ..."),
    line("raft.log_bytes_max", "... or when it has this many bytes."),
    line("raft.kept_entries", "Entries that stay after a purge, for nodes a little behind."),
    line("upkeep.round_ms", "Between two rounds of upkeep."),
    line("upkeep.rows_per_command", "Rows that one command of upkeep touches at most."),
    line("upkeep.expire_seconds", "Between two looks for what has expired."),
    line("upkeep.lease_seconds", "After which the node writes under another lease."),
    line("upkeep.trash_seconds", "Deleted bytes stay in the drives' trash for so long."),
    line("upkeep.orphan_seconds", "Between two searches of the drives for what nothing names."),
];

/// The file. `default` tells the value that a setting has by default.
pub(crate) fn text(default: impl Fn(&str) -> Option<Value>) -> String {
    let mut text = HEAD.to_owned();
    let mut table = "";
    for line in &LINES {
        let (above, name) = line.key.rsplit_once('.').unwrap_or(("", line.key));
        if above != table {
            // A table that is not there differs from an empty one where joining is meant.
            let mark = if above == "join" { "#" } else { "" };
            push(&mut text, format_args!("\n{mark}[{above}]"));
            table = above;
        }
        push(&mut text, format_args!(""));
        for row in rows(line.help) {
            push(&mut text, format_args!("# {row}"));
        }
        push(&mut text, format_args!("#{name} = {}", value(line, &default)));
    }
    text
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a text takes what is written");
}

fn value(line: &Line, default: &impl Fn(&str) -> Option<Value>) -> Value {
    default(line.key).unwrap_or_else(|| match line.key {
        "identity.built_in" => Value::Boolean(true),
        "join.via" => Value::Array(vec![line.sample.into()]),
        _ => line.sample.into(),
    })
}

/// A sentence in rows of a page's width.
fn rows(help: &str) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in help.split(' ') {
        let row = rows.last_mut().expect("there is always one");
        if row.is_empty() {
            row.push_str(word);
        } else if row.len() + word.len() < ROW {
            row.push(' ');
            row.push_str(word);
        } else {
            rows.push(word.to_owned());
        }
    }
    rows
}

const ROW: usize = 96;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use node_assembly::Settings;

    use super::{LINES, text};
    use crate::layers::{Layers, OPTIONAL};

    fn example() -> String {
        let layers = Layers::new();
        text(|key| layers.default_of(key))
    }

    #[test]
    fn every_setting_is_in_it_once() {
        let shown: Vec<&str> = LINES.iter().map(|line| line.key).collect();
        let listed: BTreeSet<&str> = shown.iter().copied().collect();
        assert_eq!(listed.len(), shown.len());
        let layers = Layers::new();
        let known: Vec<String> = layers.shown().into_iter().map(|setting| setting.key).collect();
        let unset = OPTIONAL.into_iter().chain(["join.via", "join.token"]);
        let known: BTreeSet<&str> = known.iter().map(String::as_str).chain(unset).collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn as_it_is_it_changes_nothing() {
        let read: Settings = toml::from_str(&example()).expect("it is a settings file");
        assert_eq!(read, Settings::default());
    }

    #[test]
    fn every_line_of_it_can_be_taken_up() {
        let bare = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
            _ => line.to_owned(),
        };
        let taken: Vec<String> = example().lines().map(bare).collect();
        let read: Settings = toml::from_str(&taken.join("\n")).expect("a settings file");
        assert_eq!(read.identity.built_in, Some(true));
        assert_eq!(read.join.map(|join| join.via.len()), Some(1));
        assert_eq!(read.raft, Settings::default().raft);
    }
}
