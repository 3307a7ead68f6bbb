//! A running node.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Ran;

/// A binary of this workspace, built before the tests run.
pub fn binary(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a test knows its own path");
    // Tests lie in target/…/deps, tools beside the binaries.
    let folders = here.ancestors().skip(1).take(2);
    let paths: Vec<PathBuf> = folders.map(|folder| folder.join(name)).collect();
    let path = paths.iter().find(|path| path.exists()).unwrap_or(&paths[1]).clone();
    assert!(
        path.exists(),
        "{} is not there: `cargo build --bins` makes it, as `cargo xtask ci` does",
        path.display()
    );
    path
}

/// How a node is started.
#[derive(Debug, Clone)]
pub struct Start {
    pub data_dirs: Vec<PathBuf>,
    /// Addresses with port 0 by default.
    pub listen: String,
    pub cluster_listen: String,
    pub flags: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl Start {
    /// A node with its data here.
    pub fn at(data_dir: &Path) -> Self {
        Self {
            data_dirs: vec![data_dir.to_owned()],
            listen: "127.0.0.1:0".to_owned(),
            cluster_listen: "127.0.0.1:0".to_owned(),
            flags: Vec::new(),
            environment: Vec::new(),
        }
    }

    fn command(&self) -> Command {
        self.order(&[])
    }

    /// A command of the server's binary about this node's data directory and addresses.
    fn order(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("scaidrived"));
        command.args(arguments);
        for folder in &self.data_dirs {
            command.arg("--data-dir").arg(folder);
        }
        command
            .args(["--listen", &self.listen])
            .args(["--cluster-listen", &self.cluster_listen])
            .args(["--metrics-listen", "127.0.0.1:0", "--json"])
            .args(&self.flags)
            .env_remove("RUST_LOG")
            .env("SCAIDRIVE_LOG", "info,openraft=off")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `init` or `join` for this node, whatever comes of it.
    pub fn form(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.order(arguments))
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead; what it said is in the message.
    pub fn ready(&self) -> Server {
        match self.try_ready() {
            Ok(server) => server,
            Err((code, said)) => panic!("the node ended with {code:?}: {said}"),
        }
    }

    /// Starts it; the exit code and what it said on standard error when it ends before it is ready.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub fn try_ready(&self) -> Result<Server, (Option<i32>, String)> {
        let mut child = self.command().spawn().expect("the binary can be started");
        let output = child.stdout.take().expect("piped");
        let mut errors = child.stderr.take().expect("piped");
        let log = std::sync::Arc::new(Mutex::new(String::new()));
        let kept = std::sync::Arc::clone(&log);
        let listener = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                kept.lock().expect("never poisoned").push_str(&text);
            }
        });
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line).unwrap_or(0);
        if read == 0 {
            let status = child.wait().expect("a child can be waited for");
            listener.join().expect("the listener does not panic");
            let said = log.lock().expect("never poisoned").clone();
            return Err((status.code(), said));
        }
        let ready: Value = serde_json::from_str(&line).expect("the ready line is JSON");
        let url = ready["url"].as_str().expect("the ready line has a url").to_owned();
        Ok(Server { child: Some(child), url, ready, log, start: self.clone() })
    }
}

/// A running node. Ended hard when dropped.
pub struct Server {
    child: Option<Child>,
    pub url: String,
    pub ready: Value,
    log: std::sync::Arc<Mutex<String>>,
    start: Start,
}

impl Server {
    /// What it said on standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("never poisoned").clone()
    }

    /// The first data directory.
    pub fn data_dir(&self) -> &Path {
        &self.start.data_dirs[0]
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Whether it has not ended by itself.
    pub fn runs(&mut self) -> bool {
        let child = self.child.as_mut().expect("it was started");
        child.try_wait().expect("a child can be asked").is_none()
    }

    /// Ends it without any chance to write another byte.
    pub fn kill(mut self) -> Start {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
        }
        self.start.clone()
    }

    /// Asks it to stop and waits until it has; the exit code.
    pub fn stop(mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is ours");
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
        panic!("the node did not stop within a minute: {}", self.log());
    }

    /// A token for a user, who is made when there is none.
    pub fn token(&self, email: &str) -> String {
        self.command(&["token", "--user", email, "--create"]).trim().to_owned()
    }

    /// Runs a command of the server's binary against this node; its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn command(&self, arguments: &[&str]) -> String {
        let ran = self.try_command(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.errors);
        ran.output
    }

    /// The same, whatever comes of it.
    pub fn try_command(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(binary("scaidrived"));
        Ran::of(command.args(arguments).arg("--data-dir").arg(self.data_dir()))
    }

    /// What `status --json` says.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.command(&["status", "--json"])).expect("status is JSON")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
