//! Where things are, and how programs are run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::Failure;

pub(crate) struct Project {
    /// The folder of the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
}

impl Project {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self, Failure> {
        let mut cargo = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        let answer = output(&mut cargo)?;
        let value: Value = serde_json::from_str(&answer).unwrap_or_default();
        let path = |key: &'static str| {
            value[key].as_str().map(PathBuf::from).ok_or_else(|| Failure::Answer {
                from: describe(&cargo),
                wanted: key,
                got: answer.chars().take(200).collect(),
            })
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")? })
    }
}

/// The cargo that started this chore.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments);
    // What cargo told this chore about its own package is no business of what the chore builds, and
    // build scripts that look at it would run again each time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// A command as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    [name].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Runs a command whose output people see.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(Failure::io(describe(command)))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Exit { command: describe(command), status, said: String::new() })
}

/// Runs a command and answers what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(Failure::io(describe(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::Exit { command: describe(command), status: output.status, said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
