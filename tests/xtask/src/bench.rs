//! Measurements, each a ratio of ours to a yardstick that was taken in the same run on the same
//! machine, so that a figure means the same everywhere.

mod client;
mod data;
mod http;
mod row;
mod scenario;
mod yardstick;

use std::fs;

use crate::failure::Failure;
use crate::project::{self, Project, cargo};

use row::Row;
use scenario::{Bench, SCENARIOS};

pub(crate) struct Options {
    yardsticks: bool,
    only: Vec<String>,
    shrink: u64,
}

impl Options {
    pub(crate) fn read(arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Self { yardsticks: false, only: Vec::new(), shrink: 1 };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--yardsticks" => options.yardsticks = true,
                "--only" => {
                    let name = rest.next().ok_or(Failure::Usage)?;
                    if !SCENARIOS.iter().any(|(known, _)| known == name) {
                        return Err(Failure::Usage);
                    }
                    options.only.push(name.clone());
                }
                "--shrink" => {
                    let by = rest.next().and_then(|by| by.parse().ok());
                    options.shrink =
                        by.filter(|by| (1..=1000).contains(by)).ok_or(Failure::Usage)?;
                }
                _ => return Err(Failure::Usage),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(project: &Project, options: &Options) -> Result<(), Failure> {
    let scratch = project.target.join("bench");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(Failure::file(&scratch))?;
    }
    fs::create_dir_all(&scratch).map_err(Failure::file(&scratch))?;
    let sizes = data::Sizes::shrunk(options.shrink);
    if options.yardsticks {
        for (name, figure) in yardstick::all(&scratch, &sizes)? {
            println!("{name}: {figure}");
        }
        return remove(&scratch);
    }
    project::run(
        cargo(&["build", "--release", "--locked", "--bin", "scaidrived", "--bin", "scaidrive"])
            .current_dir(&project.root),
    )?;
    let mut bench = Bench::start(&project.target.join("release"), &scratch, sizes)?;
    let mut rows = Vec::new();
    for (name, scenario) in SCENARIOS {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            println!("== {name}");
            rows.extend(scenario(&mut bench)?);
        }
    }
    drop(bench);
    remove(&scratch)?;
    report(project, options, &rows)
}

fn remove(scratch: &std::path::Path) -> Result<(), Failure> {
    fs::remove_dir_all(scratch).map_err(Failure::file(scratch))
}

fn report(project: &Project, options: &Options, rows: &[Row]) -> Result<(), Failure> {
    print!("{}", row::table(rows));
    let file = project.target.join("bench.json");
    let text = format!("{:#}\n", row::json(rows, options.shrink));
    fs::write(&file, text).map_err(Failure::file(&file))?;
    println!("written to {}", file.display());
    let missed: Vec<String> =
        rows.iter().filter(|row| !row.holds()).map(|row| row.name.to_owned()).collect();
    if missed.is_empty() { Ok(()) } else { Err(Failure::Missed { rows: missed }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, Failure> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::read(&arguments)
    }

    #[test]
    fn options_are_checked() {
        let options = read("--only delta --only large --shrink 8").expect("it is in the usage");
        assert_eq!((options.only.len(), options.shrink, options.yardsticks), (2, 8, false));
        for wrong in ["--only", "--only nothing", "--shrink 0", "--shrink x", "delta"] {
            assert!(matches!(read(wrong), Err(Failure::Usage)), "{wrong}");
        }
    }
}
