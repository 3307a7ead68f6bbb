//! What happens on two sides, told in short.

use expect_test::{Expect, expect};
use node_base::NamePolicy;

use crate::model::{Model, options};
use crate::{NotHere, Options, Step};

/// Lets both sides differ from `in_step`, and tells the steps, then both sides at the end.
fn check(in_step: &[&str], differ: impl FnOnce(&mut Model), expected: &Expect) {
    let mut model = Model::default();
    for (content, path) in in_step.iter().enumerate() {
        match path.strip_suffix('/') {
            Some(folder) => model.fold_here(folder),
            None => model.write_here(path, content as u32),
        }
    }
    model.sync(&options());
    differ(&mut model);
    let steps: Vec<String> = model.sync(&options()).iter().map(told).collect();
    assert_eq!(model.listing_here(), model.listing_there());
    expected.assert_eq(&format!("{}\n= {}\n", steps.join("\n"), model.listing_here()));
}

fn told(step: &Step) -> String {
    match step {
        Step::MoveLocal { from, to } => format!("move here {from} to {to}"),
        Step::MoveRemote { from, to, .. } => format!("move there {from} to {to}"),
        Step::KeepBeside { from, to } => format!("keep {from} as {to}"),
        Step::DeleteLocalFile { path, .. } => format!("delete here {path}"),
        Step::DeleteLocalFolder { path } => format!("delete here {path}/"),
        Step::DeleteRemote { path, is_folder: true, .. } => format!("delete there {path}/"),
        Step::DeleteRemote { path, .. } => format!("delete there {path}"),
        Step::MakeLocalFolder { path, .. } => format!("make here {path}/"),
        Step::MakeRemoteFolder { path } => format!("make there {path}/"),
        Step::Adopt { path } => format!("the same {path}"),
        Step::MarkRemote { path, executable, .. } => format!("mark there {path} {executable}"),
        Step::MarkLocal { path, executable } => format!("mark here {path} {executable}"),
        Step::Download { path, .. } => format!("down {path}"),
        Step::Upload { path, replaces: None, .. } => format!("up {path}"),
        Step::Upload { path, .. } => format!("up {path} again"),
        Step::Forget { path } => format!("forget {path}"),
    }
}

#[test]
fn a_first_sync_brings_both_together() {
    check(
        &[],
        |model| {
            model.fold_here("d");
            model.write_here("d/x", 1);
            model.write_there("y", 2);
        },
        &expect![[r#"
            make there d/
            down y
            up d/x
            = d/ d/x=1 y=2
        "#]],
    );
}

#[test]
fn the_same_content_made_on_both_sides_is_no_conflict() {
    check(
        &[],
        |model| {
            model.write_here("x", 5);
            model.write_there("x", 5);
        },
        &expect![[r#"
            the same x
            = x=5
        "#]],
    );
}

#[test]
fn two_edits_are_both_kept() {
    check(
        &["x.txt"],
        |model| {
            model.write_here("x.txt", 11);
            model.write_there("x.txt", 12);
        },
        &expect![[r#"
            keep x.txt as x (conflict).txt
            down x.txt
            up x (conflict).txt
            = x (conflict).txt=11 x.txt=12
        "#]],
    );
}

#[test]
fn an_edit_beats_a_deletion_either_way() {
    check(
        &["d/", "d/x", "y"],
        |model| {
            model.write_here("d/x", 11);
            model.remove_there("d");
            model.remove_here("y");
            model.write_there("y", 12);
        },
        &expect![[r#"
            make there d/
            down y
            up d/x
            = d/ d/x=11 y=12
        "#]],
    );
}

#[test]
fn a_deleted_folder_goes_in_one_step_there_and_bottom_up_here() {
    check(
        &["d/", "d/e/", "d/e/x", "f/", "f/y"],
        |model| {
            model.remove_here("d");
            model.remove_there("f");
        },
        &expect![[r#"
            delete here f/y
            delete here f/
            delete there d/
            = 
        "#]],
    );
}

#[test]
fn a_folder_goes_there_as_a_whole_only_if_all_of_it_was_seen_here() {
    let mut model = Model::default();
    for folder in ["d", "d/e", "d/f"] {
        model.fold_here(folder);
    }
    for (content, path) in ["d/x", "d/e/y", "d/f/z"].iter().enumerate() {
        model.write_here(path, content as u32);
    }
    model.sync(&options());
    model.fold_there("d/e/target");
    model.write_there("d/e/target/o", 11);
    model.left_there.insert("d/e/target".to_owned());
    model.remove_here("d");
    let steps: Vec<String> = model.sync(&options()).iter().map(told).collect();
    assert_eq!(steps, ["delete there d/e/y", "delete there d/x", "delete there d/f/"]);
    assert_eq!(model.listing_there(), "d/ d/e/ d/e/target/ d/e/target/o=11");
    // It comes back when something in it is to be here.
    model.write_there("d/e/new", 12);
    let steps: Vec<String> = model.sync(&options()).iter().map(told).collect();
    assert_eq!(steps, ["make here d/", "make here d/e/", "down d/e/new"]);
}

#[test]
fn a_file_does_not_take_the_place_of_a_folder_with_things_that_are_not_seen_here() {
    let mut model = Model::default();
    model.fold_here("d");
    model.write_here("d/x", 1);
    model.sync(&options());
    model.write_there("d/o", 11);
    model.left_there.insert("d/o".to_owned());
    model.remove_here("d");
    model.write_here("d", 12);
    model.sync(&options());
    assert_eq!(model.listing_there(), "d/ d (conflict)=12 d/o=11 d/x=1");
}

#[test]
fn a_folder_moved_there_is_moved_here_with_what_was_edited_in_it() {
    check(
        &["d/", "d/x", "d/y"],
        |model| {
            model.fold_there("n");
            model.move_there("d", "n/d");
            model.write_here("d/x", 11);
        },
        &expect![[r#"
            make here n/
            move here d to n/d
            up n/d/x again
            = n/ n/d/ n/d/x=11 n/d/y=2
        "#]],
    );
}

#[test]
fn a_file_moved_here_is_moved_there_and_not_sent() {
    check(
        &["d/", "x", "d/y"],
        |model| {
            model.fold_here("n");
            model.move_here("x", "n/z");
            model.move_here("d", "e");
        },
        &expect![[r#"
            move there d to e
            make there n/
            move there x to n/z
            = e/ e/y=2 n/ n/z=1
        "#]],
    );
}

#[test]
fn a_touched_file_is_not_sent() {
    check(
        &["x"],
        |model| model.write_here("x", 0),
        &expect![[r#"
        the same x
        = x=0
    "#]],
    );
}

#[test]
fn a_folder_that_became_a_file_there_meets_new_files_here() {
    check(
        &["d/", "d/x"],
        |model| {
            model.remove_there("d");
            model.write_there("d", 11);
            model.write_here("d/new", 12);
        },
        &expect![[r#"
            keep d as d (conflict)
            make there d (conflict)/
            down d
            up d (conflict)/new
            up d (conflict)/x
            = d=11 d (conflict)/ d (conflict)/new=12 d (conflict)/x=1
        "#]],
    );
}

#[test]
fn after_the_history_was_replaced_nothing_is_deleted() {
    check(
        &["x", "y", "z"],
        |model| {
            model.remove_there("x");
            model.write_there("y", 11);
            model.remove_here("z");
            model.forget_all();
        },
        &expect![[r#"
            keep y as y (conflict)
            down y
            down z
            up x
            up y (conflict)
            = x=0 y=11 y (conflict)=1 z=2
        "#]],
    );
}

#[test]
fn an_empty_side_holds_deletions_until_they_are_meant() {
    let mut model = Model::default();
    model.write_here("x", 1);
    model.sync(&options());
    model.remove_here("x");
    let careful = Options { accept_deletions: false, ..options() };
    let plan = model.plan(&careful);
    assert_eq!((plan.steps.len(), plan.held.len()), (0, 1));
    assert_eq!(model.plan(&options()).steps.len(), 1);
}

#[test]
fn what_the_share_cannot_hold_is_told_and_left_alone() {
    let mut model = Model::default();
    model.write_there("report.txt", 1);
    model.write_here("REPORT.txt", 2);
    model.fold_here("CON");
    model.write_here("CON/x", 3);
    let plan = model.plan(&Options { policy: NamePolicy::Portable, ..options() });
    let skipped: Vec<_> = plan.skipped.iter().map(|skipped| skipped.path.as_str()).collect();
    assert_eq!(skipped, ["CON", "REPORT.txt"]);
    assert_eq!(plan.skipped[1].reason, NotHere::Clash("report.txt".to_owned()));
    assert_eq!(plan.steps.iter().map(told).collect::<Vec<_>>(), ["down report.txt"]);
}

#[test]
fn what_was_renamed_to_a_name_that_the_share_cannot_hold_is_not_deleted_there() {
    let mut model = Model::default();
    model.fold_here("d");
    model.fold_here("e");
    for (content, path) in ["d/x", "e/y", "z"].iter().enumerate() {
        model.write_here(path, content as u32);
    }
    model.sync(&options());
    model.move_here("d", "CON");
    model.move_here("e/y", "e/y?");
    model.remove_here("z");
    let portable = Options { policy: NamePolicy::Portable, ..options() };
    let plan = model.plan(&portable);
    let skipped: Vec<_> = plan.skipped.iter().map(|skipped| skipped.path.as_str()).collect();
    assert_eq!(skipped, ["CON", "e/y?"]);
    assert_eq!(plan.steps.iter().map(told).collect::<Vec<_>>(), ["delete there z"]);
    // Nor with the folder that it was in.
    model.move_here("e/y?", "y?");
    model.remove_here("e");
    let plan = model.plan(&portable);
    assert_eq!(plan.steps.iter().map(told).collect::<Vec<_>>(), ["delete there z"]);
}

#[test]
fn what_this_machine_cannot_hold_is_told_and_never_deleted_there() {
    let mut model = Model::default();
    model.write_there("a", 1);
    model.write_there("A", 2);
    let plan = model.plan(&Options { folds_case: true, ..options() });
    assert_eq!(plan.skipped.len(), 1);
    assert_eq!(plan.steps.iter().map(told).collect::<Vec<_>>(), ["down A"]);
}
