//! What is under deploy/ fits the product: the example of a settings file, the manifests, the
//! alerts and the dashboard, the runbooks and their commands.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::{Ran, Server, Start, binary};

use crate::cluster::node;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A mistake: a file below deploy/, what stands in it, what it is replaced by, and what is then
/// said about it.
const MISTAKES: [[&str; 4]; 10] = [
    ["monitoring/alerts.yaml", "scaidrive_chunks_lost", "scaidrive_chunks_gone", "no node tells"],
    ["monitoring/alerts.yaml", "state=\"out\"", "stat=\"out\"", "has no {'stat'}"],
    ["monitoring/alerts.yaml", "runbooks/upgrade.md", "runbooks/up.md", "the runbook"],
    ["monitoring/alerts.yaml", "#elections-again-and-again", "#elections", "has no #elections"],
    ["monitoring/alerts.yaml", "[30m])) > 10", "[30m]) > 10", "is no PromQL"],
    ["monitoring/dashboard.json", "scaidrive_raft_log_bytes", "scaidrive_log", "no node tells"],
    ["kubernetes/scaidrive.yaml", "maxUnavailable: 1", "maxUnavailable: [1]", "maxUnavailable"],
    ["kubernetes/scaidrive.yaml", "path: /api/v1/ready", "path: /readyz", "which no node answers"],
    ["container/compose.yaml", "stop_grace_period", "stop_grace", "stop_grace"],
    ["runbooks/lost-node.md", "scaidrived join-token", "scaidrived token-join", "is no command"],
];

/// What the check says of the project in this folder: nothing, when nothing is wrong.
fn said(root: &Path, server: &Server) -> String {
    let folder = std::env::var_os("SCAIDRIVE_TEST_PYTHON").expect(
        "SCAIDRIVE_TEST_PYTHON names the bin folder of a Python with what tests/xtask/python.txt \
         lists: `cargo xtask python` makes one and prints it",
    );
    let metrics = server.ready["metrics_listen"].as_str().expect("an address");
    let output = Command::new(Path::new(&folder).join("python"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deployment.py"))
        .args([root.as_os_str(), server.url.as_ref()])
        .arg(format!("http://{metrics}/metrics"))
        .arg(binary("scaidrived"))
        .output()
        .expect("python can be started");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{errors}");
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("it can be read");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a file can be copied");
        }
    }
}

#[test]
fn what_is_deployed_fits_the_product_and_mistakes_are_found() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Start::at(&home.path().join("data")).ready();
    assert_eq!(said(Path::new(ROOT), &server), "");
    for (number, [file, right, wrong, told]) in MISTAKES.iter().enumerate() {
        let root = home.path().join(number.to_string());
        copy(&Path::new(ROOT).join("deploy"), &root.join("deploy"));
        let path = root.join("deploy").join(file);
        let text = fs::read_to_string(&path).expect("it is there");
        assert!(text.contains(right), "{file} has no '{right}'");
        fs::write(&path, text.replace(right, wrong)).expect("writable");
        let said = said(&root, &server);
        assert!(said.contains(told), "'{wrong}' in {file}: '{told}' is not in: {said}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_example_of_a_settings_file_is_what_the_program_writes() {
    let output = Command::new(binary("scaidrived"))
        .args(["settings", "--example"])
        .output()
        .expect("the binary can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = String::from_utf8_lossy(&output.stdout);
    let checked_in = fs::read_to_string(Path::new(ROOT).join("deploy/example.toml"));
    assert!(
        checked_in.expect("it is there") == written,
        "deploy/example.toml is another: `scaidrived settings --example > deploy/example.toml` \
         writes it"
    );
}

/// Runs the script that containers start with, for this node.
fn enter(start: &Start, founds: &str, via: &str, token_file: &Path) -> Ran {
    let folder = binary("scaidrived").parent().expect("it lies in a folder").to_owned();
    let found_before = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder).chain(std::env::split_paths(&found_before));
    let script = Path::new(ROOT).join("deploy/container/enter.sh");
    let mut command = Command::new("sh");
    command
        .arg(script)
        .env("PATH", std::env::join_paths(folders).expect("no colons in them"))
        .env("SCAIDRIVE_DATA_DIRS", &start.data_dirs[0])
        .env("SCAIDRIVE_LISTEN", &start.listen)
        .env("SCAIDRIVE_CLUSTER_LISTEN", &start.cluster_listen)
        .env("SCAIDRIVE_LOG", "warn,openraft=off")
        .env("ENTER_FOUND", founds)
        .env("ENTER_VIA", via)
        .env("ENTER_TOKEN_FILE", token_file);
    Ran::of(&mut command)
}

#[test]
fn containers_found_once_and_join_afterwards() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let token_file = home.path().join("token");
    let (first, second) = (node(home.path(), 4), node(home.path(), 5));
    let via = format!("127.0.0.1:1 {}", first.cluster_listen);
    for _ in 0..2 {
        let ran = enter(&first, "yes", &via, &token_file);
        // What `init` prints is secret, and what a container prints is not.
        assert_eq!((ran.code, ran.output.as_str()), (Some(0), ""), "{}", ran.errors);
    }
    let server = first.ready();
    let token = server.command(&["join-token"]);
    fs::write(&token_file, &token).expect("writable");
    for _ in 0..2 {
        let ran = enter(&second, "no", &via, &token_file);
        assert_eq!(ran.code, Some(0), "{}", ran.errors);
        assert!(!(ran.output + &ran.errors).contains(token.trim()));
    }
    let nodes = server.status()["cluster"]["nodes"].as_array().map(Vec::len);
    assert_eq!(nodes, Some(2));
    // A founder that lost its data founds no second cluster: there is a token, even if used up.
    let lost = Start { data_dirs: vec![home.path().join("empty")], ..node(home.path(), 6) };
    let ran = enter(&lost, "yes", &via, &token_file);
    assert_eq!(ran.code, Some(3), "{}", ran.errors);
    assert_eq!(server.stop(), Some(0));
}
