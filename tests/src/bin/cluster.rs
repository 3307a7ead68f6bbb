//! A cluster on this machine, to be broken by hand: `cargo xtask cluster`.
//!
//! One process keeps the nodes and the lines between them, and does what it is told through a
//! socket in the cluster's folder, until it is told to end.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for people: it handles the machine's files and processes, and tells"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use tests::Bench;

const USAGE: &str = "\
usage: cargo xtask cluster COMMAND

  up [N]        form a cluster of N nodes (3), each at a loopback address of its own
  status        its nodes, where people reach them, and how they stand
  kill NODE     end a node without warning        start NODE    start it again
  stop NODE     stop a node in good order
  pause NODE    hold a node's process up          resume NODE   let it go on
  cut NODE      cut a node off from the others
  slow NODE MS  have all between it and the others take longer
  mend NODE     end cut and slow
  refill NODE   wipe a node, take it out, and join another in its place
  down          end the cluster, and remove it
  chaos [SECONDS]
                form another, do all this at random under load, and check what people are told";

/// Nodes at most.
const NODES_MAX: usize = 9;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(home), words) = (arguments.first(), arguments.get(1..).unwrap_or_default()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let home = PathBuf::from(home);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["keep", nodes] => keep(&home, nodes.parse().unwrap_or(3)),
        ["up"] => up(&home, 3),
        ["up", nodes] => match nodes.parse() {
            Ok(nodes @ 1..=NODES_MAX) => up(&home, nodes),
            _ => Err(format!("'{nodes}' is not a number of nodes up to {NODES_MAX}")),
        },
        [] => Err(USAGE.to_owned()),
        _ => tell(&home, &words.join(" ")),
    };
    match done {
        Ok(said) => {
            print!("{said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn socket(home: &Path) -> PathBuf {
    home.join("control")
}

/// Starts the process that keeps the cluster, and waits until that is formed.
fn up(home: &Path, nodes: usize) -> Result<String, String> {
    if UnixStream::connect(socket(home)).is_ok() {
        return Err("a cluster is up already: `down` ends it".to_owned());
    }
    let failed = |error: std::io::Error| format!("{}: {error}", home.display());
    if home.exists() {
        fs::remove_dir_all(home).map_err(failed)?;
    }
    fs::create_dir_all(home).map_err(failed)?;
    let log = fs::File::create(home.join("log")).map_err(failed)?;
    let own = std::env::current_exe().map_err(failed)?;
    let mut keeper = Command::new(own)
        .arg(home)
        .args(["keep", &nodes.to_string()])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    while UnixStream::connect(socket(home)).is_err() {
        if let Ok(Some(_)) = keeper.try_wait() {
            let said = fs::read_to_string(home.join("log")).unwrap_or_default();
            return Err(format!("the cluster could not be formed: {said}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    tell(home, "status")
}

/// Has the process that keeps the cluster do something; what it said.
fn tell(home: &Path, words: &str) -> Result<String, String> {
    let mut stream = UnixStream::connect(socket(home))
        .map_err(|_| "no cluster is up: `up` forms one".to_owned())?;
    let mut said = String::new();
    let asked = writeln!(stream, "{words}")
        .and_then(|()| stream.shutdown(Shutdown::Write))
        .and_then(|()| stream.read_to_string(&mut said));
    asked.map_err(|error| format!("the cluster does not answer: {error}"))?;
    match said.strip_prefix("! ") {
        Some(why) => Err(why.trim_end().to_owned()),
        None => Ok(said),
    }
}

/// Keeps a cluster until it is told to end it.
fn keep(home: &Path, nodes: usize) -> Result<String, String> {
    let mut bench = Bench::form(home, nodes, true);
    let listener = UnixListener::bind(socket(home)).map_err(|error| error.to_string())?;
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut line = String::new();
        if BufReader::new(&stream).read_line(&mut line).is_err() || line.trim().is_empty() {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if words == ["down"] {
            drop(bench);
            let _ = fs::remove_file(socket(home));
            let _ = writeln!(stream, "the cluster is ended");
            break;
        }
        // A tool of tests ends the test where something is not as it should be; here, the command.
        let done = catch_unwind(AssertUnwindSafe(|| obey(&mut bench, &words)));
        let done = done.unwrap_or_else(|_| Err("that went wrong: see the log".to_owned()));
        // Who asked may have gone.
        let _ = match done {
            Ok(said) => stream.write_all(said.as_bytes()),
            Err(why) => writeln!(stream, "! {why}"),
        };
    }
    fs::remove_dir_all(home).map_err(|error| error.to_string())?;
    Ok(String::new())
}

fn obey(bench: &mut Bench, words: &[&str]) -> Result<String, String> {
    if words == ["status"] {
        return Ok(status(bench));
    }
    let [command, node, more @ ..] = words else { return Err(USAGE.to_owned()) };
    let number: u64 = node.parse().map_err(|_| format!("'{node}' is not a node's number"))?;
    let at = bench.members.iter().rposition(|member| member.number == number);
    let at = at.ok_or_else(|| format!("there is no node {number}"))?;
    let (runs, is_paused) = (bench.members[at].server.is_some(), !bench.up().contains(&at));
    let others = bench.up().iter().any(|other| *other != at);
    match (*command, more, runs) {
        ("start", [], false) => bench.start(at),
        ("start", [], true) => return Err(format!("node {number} runs")),
        ("refill", [], _) if others => {
            let new = bench.refill(at);
            bench.members.remove(at);
            return Ok(format!("node {} is there instead\n", bench.members[new - 1].number));
        }
        ("refill", [], _) => return Err("no other node could take it in".to_owned()),
        (_, _, false) => return Err(format!("node {number} does not run")),
        ("kill", [], _) => bench.kill(at),
        ("stop", [], _) if !is_paused => bench.stop(at),
        ("pause", [], _) if !is_paused => bench.pause(at),
        ("resume", [], _) if is_paused => bench.resume(at),
        ("cut", [], _) => bench.cut(at),
        ("slow", [ms], _) => {
            let ms = ms.parse().map_err(|_| format!("'{ms}' is no number of milliseconds"))?;
            bench.slow(at, Duration::from_millis(ms));
        }
        ("mend", [], _) => bench.mend(at),
        _ => return Err(USAGE.to_owned()),
    }
    Ok("done\n".to_owned())
}

fn status(bench: &Bench) -> String {
    let mut said = String::new();
    let up = bench.up();
    for (at, member) in bench.members.iter().enumerate() {
        let how = match &member.server {
            None => "does not run".to_owned(),
            Some(_) if !up.contains(&at) => "held up".to_owned(),
            Some(server) => format!("{}  process {}", server.url, server.pid()),
        };
        let folder = member.start.data_dirs[0].display();
        let _ = writeln!(said, "node {}  {how}  {folder}", member.number);
    }
    if let Some(at) = up.first() {
        let server = bench.server(*at);
        let urls: Vec<&str> = up.iter().map(|at| bench.server(*at).url.as_str()).collect();
        let folder = server.data_dir().display();
        let _ = writeln!(said, "\n{}", server.try_command(&["status"]).output);
        let _ = writeln!(
            said,
            "to use it:\n  export SCAIDRIVE_URL={}\n  export SCAIDRIVE_TOKEN=$(scaidrived token \
             --user admin@scaidrive.local --data-dir {folder})",
            urls.join(",")
        );
    }
    said
}
