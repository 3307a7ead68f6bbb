//! Calls that cannot be answered are told so, with the exit code for it.

use super::{simulator, text};

#[test]
fn what_is_not_there_is_a_wrong_call() {
    for (arguments, why) in [
        (&["replay", "many"][..], "'many' is no seed"),
        (&["replay", "0.7"], "seed 0.7 is of options in version 0"),
        (&["swarm", "--from", "x"], "'x' is no seed"),
        (&["scenario", "none"], "there is no scenario 'none'"),
        (&["plant", "none"], "there is no bug 'none'"),
        (&["plant"], "name a bug"),
        (&["determinism"], "required"),
        (&["break"], "unrecognized"),
    ] {
        let output = simulator(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
    }
}

#[test]
fn lists_name_everything() {
    let bugs = simulator(&["plant", "--list"]);
    assert_eq!(text(&bugs.stdout).lines().count(), 9);
    assert!(simulator(&["scenario", "--list"]).status.success());
}
