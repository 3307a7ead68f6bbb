//! The tools that tests use from Python, in a private folder below cargo's target.
//!
//! `tests/xtask/python.txt` names them with their versions. Tests find the programs through the
//! variable [`VARIABLE`], which `cargo xtask ci` sets to their folder.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::project::{Project, run};

pub(crate) const VARIABLE: &str = "SCAIDRIVE_TEST_PYTHON";
const WANTED: &str = include_str!("../python.txt");

/// Makes the folder, unless it is there as wanted; answers where its programs are.
pub(crate) fn prepare(project: &Project) -> Result<PathBuf, Failure> {
    let folder = project.target.join("python");
    let programs = folder.join("bin");
    // Written last, so that an interrupted installation is begun again.
    let done = folder.join("installed.txt");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == WANTED) {
        return Ok(programs);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(programs.join("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(project.root.join("tests/xtask/python.txt")))?;
    fs::write(&done, WANTED).map_err(Failure::file(&done))?;
    Ok(programs)
}
