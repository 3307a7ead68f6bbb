//! The specification, and a fuzzer that takes it at its word.

use std::process::Command;

use tests::{Server, Start};

/// Where the tools in Python are: `cargo xtask ci` makes them.
fn tool(name: &str) -> std::path::PathBuf {
    let folder = std::env::var_os("SCAIDRIVE_TEST_PYTHON").expect(
        "SCAIDRIVE_TEST_PYTHON names the bin folder of a Python with schemathesis and \
         openapi-spec-validator: `cargo xtask python` makes one and prints it",
    );
    std::path::Path::new(&folder).join(name)
}

fn succeeds(mut command: Command, server: &mut Server) {
    let output = command.output().expect("the tool can be started");
    assert!(
        output.status.success(),
        "{command:?}\n{}{}\nthe node, {}: {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        if server.runs() { "which runs" } else { "which has ended" },
        server.log()
    );
}

#[test]
fn the_specification_is_valid_and_a_fuzzer_finds_no_500() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut server = Start::at(&home.path().join("data")).ready();
    let checked_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/openapi.json");
    let mut validator = Command::new(tool("openapi-spec-validator"));
    validator.arg(checked_in);
    succeeds(validator, &mut server);

    let token = server.token("fuzz@example.com");
    let mut fuzzer = Command::new(tool("schemathesis"));
    fuzzer
        .current_dir(home.path())
        .args(["run", &format!("{}/api/v1/openapi.json", server.url)])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "8", "--seed", "1", "--request-timeout", "30"])
        .args(["--exclude-path-regex", "/sync/(ws|events)|/realtime/ws|/auth/callback"])
        .args(["--no-color"]);
    succeeds(fuzzer, &mut server);
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(server.stop(), Some(0));
}
