//! Which lines of the parts that agree and store are reached in the simulator.
//!
//! The packages of the workspace are built with counters, the simulator runs its seeds, and the
//! tools that came with the compiler add the counters up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::Failure;
use crate::project::{Project, cargo, describe, output, run};

/// The folders whose lines count, and how many of a hundred must be reached.
const COUNTED: [&str; 4] = ["raft/src", "raft/meta/src", "chunkstore/src", "chunkstore/core/src"];
const WANTED_PERCENT: f64 = 80.0;
const SEEDS: u32 = 300;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    seeds: u32,
    from: String,
}

impl Options {
    pub(crate) fn read(arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Self { seeds: SEEDS, from: "1".to_owned() };
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            let value = rest.next().ok_or(Failure::Usage)?;
            match flag.as_str() {
                "--seeds" => options.seeds = value.parse().map_err(|_| Failure::Usage)?,
                "--from" => options.from.clone_from(value),
                _ => return Err(Failure::Usage),
            }
        }
        Ok(options)
    }
}

/// Lines of one folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lines {
    all: u64,
    reached: u64,
}

impl Lines {
    fn percent(self) -> f64 {
        100.0 * self.reached as f64 / self.all.max(1) as f64
    }
}

pub(crate) fn run_seeds(project: &Project, options: &Options) -> Result<(), Failure> {
    let tools = tools()?;
    let folder = project.target.join("coverage");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::file(&folder))?;
    }
    fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;

    // The packages of other workspaces are built once for both.
    let mut build = cargo(&["build", "--profile", "simulate", "--package", "simulator"]);
    build.args(["--locked", "--quiet"]).current_dir(&project.root);
    build.env("RUSTC_WORKSPACE_WRAPPER", project.root.join("tests/xtask/covered.sh"));
    // Build scripts and macros count, too, when they run.
    build.env("LLVM_PROFILE_FILE", folder.join("build/%p.profraw"));
    run(&mut build)?;
    // The next build without counters puts its own in this place.
    let simulator = folder.join("simulator");
    let built = project.target.join("simulate/simulator");
    fs::copy(&built, &simulator).map_err(Failure::file(&built))?;

    let mut swarm = Command::new(&simulator);
    swarm.args(["swarm", "--from", &options.from, "--seeds", &options.seeds.to_string()]);
    swarm.env("LLVM_PROFILE_FILE", folder.join("%p-%4m.profraw"));
    run(&mut swarm)?;

    let merged = folder.join("merged.profdata");
    let mut merge = Command::new(tools.join("llvm-profdata"));
    merge.args(["merge", "--sparse", "--output"]).arg(&merged).args(counters(&folder)?);
    run(&mut merge)?;
    let mut export = Command::new(tools.join("llvm-cov"));
    export.args(["export", "--summary-only", "--instr-profile"]).arg(&merged).arg(&simulator);
    let answer = output(&mut export)?;
    let report: Value = serde_json::from_str(&answer).unwrap_or_default();
    let files = report["data"][0]["files"].as_array().ok_or_else(|| Failure::Answer {
        from: describe(&export),
        wanted: "files",
        got: answer.chars().take(200).collect(),
    })?;
    tell(project, files)
}

/// Where the compiler's own tools are.
fn tools() -> Result<PathBuf, Failure> {
    let ask = |what: &[&str]| output(Command::new("rustc").args(what));
    let sysroot = ask(&["--print", "sysroot"])?;
    let version = ask(&["--version", "--verbose"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let tools = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
    if tools.join("llvm-cov").exists() {
        return Ok(tools);
    }
    let missing =
        std::io::Error::other("they are not there; try `rustup component add llvm-tools`");
    Err(Failure::io("the compiler's tools")(missing))
}

fn counters(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::file(folder))? {
        let path = entry.map_err(Failure::file(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "profraw") {
            found.push(path);
        }
    }
    Ok(found)
}

fn tell(project: &Project, files: &[Value]) -> Result<(), Failure> {
    println!("{:<22} {:>7} {:>8} {:>6}", "lines of", "all", "reached", "%");
    let mut missed = Vec::new();
    for folder in COUNTED {
        let lines = lines_below(&project.root.join(folder), files);
        let percent = lines.percent();
        println!("{folder:<22} {:>7} {:>8} {percent:>6.1}", lines.all, lines.reached);
        if percent < WANTED_PERCENT {
            missed.push(format!("{folder} {percent:.1} % of {WANTED_PERCENT} %"));
        }
    }
    println!("by file: target/coverage/merged.profdata, read by llvm-cov");
    if missed.is_empty() { Ok(()) } else { Err(Failure::Missed { rows: missed }) }
}

fn lines_below(folder: &Path, files: &[Value]) -> Lines {
    let mut sum = Lines::default();
    for file in files {
        let path = file["filename"].as_str().unwrap_or_default();
        if Path::new(path).starts_with(folder) {
            let lines = &file["summary"]["lines"];
            sum.all += lines["count"].as_u64().unwrap_or_default();
            sum.reached += lines["covered"].as_u64().unwrap_or_default();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_count_for_the_folder_they_are_in() {
        let file = |name: &str, count: u64, covered: u64| {
            let lines = json!({"count": count, "covered": covered});
            json!({"filename": name, "summary": {"lines": lines}})
        };
        let files = [file("/w/raft/src/a.rs", 10, 9), file("/w/raft/meta/src/b.rs", 20, 1)];
        let lines = lines_below(Path::new("/w/raft/src"), &files);
        assert_eq!(lines, Lines { all: 10, reached: 9 });
        assert_eq!(lines_below(Path::new("/w/raft/meta/src"), &files).percent(), 5.0);
    }

    #[test]
    fn options_are_read_or_refused() {
        let read = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            Options::read(&words).ok()
        };
        let options = |seeds: u32, from: &str| Some(Options { seeds, from: from.to_owned() });
        assert_eq!(read(""), options(300, "1"));
        assert_eq!(read("--seeds 5 --from 3.9"), options(5, "3.9"));
        assert_eq!(read("--seeds many"), None);
        assert_eq!(read("--seeds"), None);
        assert_eq!(read("--jobs 2"), None);
    }
}
