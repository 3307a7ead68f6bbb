//! The simulator as people call it.

mod calls;
mod determinism;

use std::process::Output;

#[expect(clippy::disallowed_types, reason = "the binary is what is asked")]
fn simulator(arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_simulator");
    std::process::Command::new(binary).args(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
