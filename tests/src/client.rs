//! The command line client, signed in.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::server::{Server, binary};

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Ran {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the binary can be started");
        Self {
            code: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The one JSON document on standard output.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.output)
            .unwrap_or_else(|error| panic!("{error} in {:?}; {}", self.output, self.errors))
    }
}

/// A client with a home of its own.
pub struct Client {
    home: tempfile::TempDir,
    url: String,
    token: String,
}

impl Client {
    /// A client for a user, who is made when there is none.
    pub fn new(server: &Server, email: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        Self { home, url: server.url.clone(), token: server.token(email) }
    }

    /// The same user at a node that was started again.
    pub fn follow(&mut self, server: &Server, email: &str) {
        self.url = server.url.clone();
        self.token = server.token(email);
    }

    /// The same user, with the same token, at another node.
    pub fn turn_to(&mut self, server: &Server) {
        self.url = server.url.clone();
    }

    /// The same user, told of several nodes: the first that answers is asked.
    pub fn turn_to_any(&mut self, urls: &[&str]) {
        self.url = urls.join(",");
    }

    /// The folder that stands for the user's home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A path in the user's home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The bearer token it uses.
    pub fn token(&self) -> &str {
        &self.token
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("scaidrive"));
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_DATA_HOME")
            .env("SCAIDRIVE_URL", &self.url)
            .env("SCAIDRIVE_TOKEN", &self.token)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command, whatever comes of it.
    pub fn try_run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Runs a command that succeeds.
    ///
    /// # Panics
    /// When it fails; what it said is in the message.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let ran = self.try_run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.output, ran.errors);
        ran
    }

    /// Runs a command that prints JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).json()
    }

    /// Starts a command and leaves it running.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the binary can be started")
    }
}
