//! A cluster on this machine, to be broken by hand. The tool is one of the black-box tests', built
//! beside the binaries that it runs.

use crate::failure::Failure;
use crate::project::{Project, cargo, run};

pub(crate) fn obey(project: &Project, words: &[String]) -> Result<(), Failure> {
    if let Some(("chaos", rest)) = words.split_first().map(|(word, rest)| (word.as_str(), rest)) {
        return chaos(project, rest);
    }
    let mut build = cargo(&["build", "--quiet", "--bins"]);
    run(build.args(["-p", "node", "-p", "api-sync", "-p", "tests"]).current_dir(&project.root))?;
    let mut tool = std::process::Command::new(project.target.join("debug/bench-cluster"));
    run(tool.arg(project.target.join("cluster")).args(words))
}

fn chaos(project: &Project, rest: &[String]) -> Result<(), Failure> {
    let seconds = match rest {
        [] => "60",
        [seconds] if seconds.parse::<u64>().is_ok() => seconds,
        _ => return Err(Failure::Usage),
    };
    run(cargo(&["build", "--quiet", "--bins"]).current_dir(&project.root))?;
    let mut test = cargo(&["test", "-p", "tests", "--test", "main", "chaos", "--", "--nocapture"]);
    run(test.env("SCAIDRIVE_TEST_CHAOS_SECONDS", seconds).current_dir(&project.root))
}
