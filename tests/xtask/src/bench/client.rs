//! Our two binaries, driven as a person would: by their commands, flags and `--json`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::failure::Failure;
use crate::project::{describe, output};

use super::row::Figure;

const USER: &str = "bench@example.org";

/// A node of its own with a fresh data directory; ends when dropped.
pub(crate) struct Node {
    running: Running,
    binaries: PathBuf,
    data: PathBuf,
    /// How long it took until it was ready.
    pub(crate) started: Figure,
    pub(crate) token: String,
}

/// Its process.
struct Running {
    child: Child,
    /// Open as long as the node runs: a program whose reader is gone fails when it prints.
    _printed: BufReader<ChildStdout>,
    url: String,
}

impl Node {
    pub(crate) fn start(binaries: &Path, scratch: &Path) -> Result<Self, Failure> {
        let data = scratch.join("node");
        let (running, started) = Running::start(&binaries.join("scaidrived"), &data)?;
        let binaries = binaries.to_owned();
        let mut node = Self { running, binaries, data, started, token: String::new() };
        node.token = node.new_token()?;
        Ok(node)
    }

    pub(crate) fn url(&self) -> &str {
        &self.running.url
    }

    fn new_token(&self) -> Result<String, Failure> {
        let mut command = Command::new(self.binaries.join("scaidrived"));
        command.arg("token").arg("--data-dir").arg(&self.data);
        command.args(["--user", USER, "--create"]);
        Ok(output(&mut command)?.trim().to_owned())
    }

    /// Ends the process at once, without a word to it, and starts it over the same data.
    pub(crate) fn kill_and_start(&mut self) -> Result<(), Failure> {
        self.running.end();
        let server = self.binaries.join("scaidrived");
        (self.running, self.started) = Running::start(&server, &self.data)?;
        self.token = self.new_token()?;
        Ok(())
    }

    /// Stops it as an operator does, and starts it over the same data.
    pub(crate) fn stop_and_start(&mut self) -> Result<(), Failure> {
        let pid = self.running.child.id().to_string();
        output(Command::new("kill").args(["-TERM", &pid]))?;
        self.running.child.wait().map_err(Failure::io("waiting for scaidrived"))?;
        self.kill_and_start()
    }

    /// The most memory that the node ever held.
    pub(crate) fn peak_memory(&self) -> Result<Figure, Failure> {
        let path = PathBuf::from(format!("/proc/{}/status", self.running.child.id()));
        let text = fs::read_to_string(&path).map_err(Failure::file(&path))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.map(|kib| Figure::Bytes(kib << 10)).ok_or_else(|| Failure::Answer {
            from: path.display().to_string(),
            wanted: "VmHWM",
            got: text,
        })
    }

    /// Someone at a machine of their own: settings and state are in `home`.
    pub(crate) fn client(&self, home: PathBuf) -> Client {
        let settings =
            vec![("SCAIDRIVE_URL", self.url().to_owned()), ("SCAIDRIVE_TOKEN", self.token.clone())];
        Client { program: self.binaries.join("scaidrive"), home, settings }
    }
}

impl Running {
    fn start(server: &Path, data: &Path) -> Result<(Self, Figure), Failure> {
        let any = "127.0.0.1:0";
        let mut command = Command::new(server);
        command
            .arg("serve")
            .arg("--json")
            .arg("--data-dir")
            .arg(data)
            .args(["--listen", any, "--cluster-listen", any, "--metrics-listen", any])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().map_err(Failure::io(describe(&command)))?;
        let mut line = String::new();
        let mut printed = BufReader::new(child.stdout.take().expect("it is piped"));
        let read = printed.read_line(&mut line).map_err(Failure::io(describe(&command)));
        let started = Figure::Seconds(start.elapsed().as_secs_f64());
        let mut running = Self { child, _printed: printed, url: String::new() };
        read?;
        running.url = ready_url(&line).ok_or_else(|| Failure::Answer {
            from: describe(&command),
            wanted: "a ready line with its HTTP address",
            got: line,
        })?;
        Ok((running, started))
    }

    fn end(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its data directory is thrown away; how it stops is the tests' business.
        self.end();
    }
}

pub(crate) struct Client {
    program: PathBuf,
    home: PathBuf,
    settings: Vec<(&'static str, String)>,
}

/// What `put`, `get` and `sync` say afterwards, and how long they took from start to exit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Transfer {
    pub(crate) sent: Figure,
    pub(crate) received: Figure,
    pub(crate) took: Figure,
}

impl Client {
    /// A command with `--json`; answers the last JSON document that it prints.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Value, Failure> {
        fs::create_dir_all(&self.home).map_err(Failure::file(&self.home))?;
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--json").env("HOME", &self.home);
        for (folder, name) in [
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
        ] {
            command.env(folder, self.home.join(name));
        }
        command.envs(self.settings.iter().map(|(name, value)| (*name, value.as_str())));
        let answer = output(&mut command)?;
        last_document(&answer).ok_or_else(|| Failure::Answer {
            from: describe(&command),
            wanted: "JSON",
            got: answer,
        })
    }

    pub(crate) fn transfer(&self, arguments: &[&str]) -> Result<Transfer, Failure> {
        let start = Instant::now();
        let answer = self.ask(arguments)?;
        let took = Figure::Seconds(start.elapsed().as_secs_f64());
        let bytes = |key: &'static str| {
            answer[key].as_u64().map(Figure::Bytes).ok_or_else(|| Failure::Answer {
                from: arguments.join(" "),
                wanted: key,
                got: answer.to_string(),
            })
        };
        Ok(Transfer { sent: bytes("sent_bytes")?, received: bytes("received_bytes")?, took })
    }

    /// The id of the user's first share.
    pub(crate) fn share(&self) -> Result<String, Failure> {
        let answer = self.ask(&["shares"])?;
        let list = answer.get("shares").unwrap_or(&answer);
        let share = list.as_array().and_then(|shares| shares.first()).unwrap_or(list);
        share["id"].as_str().map(str::to_owned).ok_or_else(|| Failure::Answer {
            from: "shares".to_owned(),
            wanted: "a share with an id",
            got: answer.to_string(),
        })
    }
}

/// One document over many lines, or the last of one a line.
fn last_document(text: &str) -> Option<Value> {
    let whole = serde_json::from_str(text).ok();
    whole.or_else(|| serde_json::from_str(text.lines().rev().find(|line| !line.is_empty())?).ok())
}

/// The address to point a browser at: the ready line's `url`, else its only HTTP address.
fn ready_url(line: &str) -> Option<String> {
    let ready: Value = serde_json::from_str(line).ok()?;
    let named = ready.get("url").and_then(Value::as_str);
    let texts = ready.as_object()?.iter().filter(|(key, _)| !key.contains("metrics"));
    let mut addresses = texts.filter_map(|(_, value)| value.as_str());
    named
        .or_else(|| addresses.find(|text| text.starts_with("http://")))
        .map(|url| url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_ready_line_is_read() {
        let line = r#"{"metrics":"http://127.0.0.1:2","http":"http://127.0.0.1:1/"}"#;
        assert_eq!(ready_url(line).as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(ready_url(r#"{"url":"http://a","b":"http://b"}"#).as_deref(), Some("http://a"));
        assert_eq!(ready_url("ready"), None);
    }

    #[test]
    fn the_binaries_are_called_by_their_manual() {
        let folder = std::env::temp_dir().join(format!("xtask-client-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a scratch folder");
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-in.sh");
        for name in ["scaidrived", "scaidrive"] {
            symlink(&stand_in, folder.join(name)).expect("a fresh folder takes a link");
        }
        let node = Node::start(&folder, &folder).expect("it says where it is");
        assert!(matches!(node.peak_memory(), Ok(Figure::Bytes(1..))));
        let client = node.client(folder.join("home"));
        assert_eq!(client.share().expect("there is one"), "shr_1");
        let transfer = client.transfer(&["put", "a", "b"]).expect("it is signed in");
        assert_eq!((transfer.sent, transfer.received), (Figure::Bytes(5), Figure::Bytes(7)));
        let refused = client.ask(&["put"]).expect_err("it is not called so");
        assert!(refused.to_string().contains("unexpected: put --json"), "{refused}");
        drop(node);
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn the_last_document_counts() {
        assert_eq!(last_document("{\n\"a\": 1\n}\n").expect("one document")["a"], 1);
        assert_eq!(last_document("{\"a\":1}\n{\"a\":2}\n\n").expect("two lines")["a"], 2);
        assert_eq!(last_document("done\n"), None);
    }
}
