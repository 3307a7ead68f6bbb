//! The project's own files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A text file of the project.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    /// Relative to the project's root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    pub(crate) fn planted(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// `path:line` of the first line that begins with the word `word`, else the path.
    pub(crate) fn place_of(&self, word: &str) -> String {
        let begins = |line: &str| {
            let rest = line.trim_start().strip_prefix(word)?;
            Some(!rest.starts_with(|next: char| next.is_alphanumeric() || "-_".contains(next)))
        };
        match self.text.lines().position(|line| begins(line) == Some(true)) {
            Some(index) => format!("{}:{}", self.path, index + 1),
            None => self.path.clone(),
        }
    }
}

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 5] = [".git", "target", "scaidrive-data", "node_modules", ".venv"];
/// Files that tools write.
const GENERATED: [&str; 3] =
    ["Cargo.lock", "deploy/openapi.json", "deploy/monitoring/dashboard.json"];

/// The folder that holds the workspace's Cargo.toml.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this package is two folders below the root").to_owned()
}

/// One file by its path below the root.
#[track_caller]
pub(crate) fn file(path: &str) -> TextFile {
    let text = fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("{path} must be there: {error}"));
    TextFile { path: path.to_owned(), text }
}

/// Every text file that people write here, in the order of their paths.
pub(crate) fn files() -> &'static [TextFile] {
    static FILES: OnceLock<Vec<TextFile>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut files = Vec::new();
        collect(&root(), &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    })
}

fn collect(folder: &Path, files: &mut Vec<TextFile>) {
    for entry in fs::read_dir(folder).expect("a folder of the project can be listed") {
        let entry = entry.expect("its entries can be read");
        let (path, name) = (entry.path(), entry.file_name());
        if SKIPPED.iter().any(|skipped| name == *skipped) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
            continue;
        }
        let root = root();
        let short = path.strip_prefix(&root).expect("it lies below the root");
        let short = short.to_string_lossy().replace('\\', "/");
        if GENERATED.contains(&short.as_str()) {
            continue;
        }
        // What is not UTF-8 is no text: golden files, pictures.
        if let Ok(text) = fs::read_to_string(&path) {
            files.push(TextFile { path: short, text });
        }
    }
}

#[test]
fn the_tree_is_seen() {
    let paths: Vec<&str> = files().iter().map(|file| file.path.as_str()).collect();
    for expected in ["Cargo.toml", "ARCHITECTURE.md", "node/base/src/lib.rs", ".ci/run"] {
        assert!(paths.contains(&expected), "{expected} is not among the files found");
    }
    assert!(!paths.iter().any(|path| path.starts_with("target/")), "built files are not ours");
}
