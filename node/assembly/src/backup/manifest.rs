//! The manifest of a backup.
//!
//! ```text
//! scaidrive backup 1
//! cluster 0123…        of whose tables it is a copy
//! at 1795442709000     milliseconds of whoever made it
//! commands 4711        how many the tables had applied
//! tables BYTES BLAKE3
//! chunks COUNT BYTES
//! pack NUMBER BYTES BLAKE3-OF-ITS-LIST
//! …
//! end BLAKE3-OF-ALL-LINES-ABOVE
//! ```

use std::path::Path;

use super::{BackupError, damaged};

const FIRST: &str = "scaidrive backup ";
const VERSION: u32 = 1;

/// A pack that a backup needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u32,
    pub(super) bytes: u64,
    pub(super) hash: [u8; 32],
}

/// What a backup is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) number: u32,
    pub(super) cluster: u128,
    pub(super) at_ms: i64,
    pub(super) commands: u64,
    pub(super) tables_bytes: u64,
    pub(super) tables_hash: [u8; 32],
    pub(super) chunks: u64,
    pub(super) chunk_bytes: u64,
    pub(super) packs: Vec<Listed>,
}

pub(super) fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}

impl Manifest {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{FIRST}{VERSION}\ncluster {:032x}\nat {}\ncommands {}\ntables {} {}\nchunks {} {}\n",
            self.cluster,
            self.at_ms,
            self.commands,
            self.tables_bytes,
            hex(&self.tables_hash),
            self.chunks,
            self.chunk_bytes,
        );
        for Listed { number, bytes, hash } in &self.packs {
            text.push_str(&format!("pack {number} {bytes} {}\n", hex(hash)));
        }
        let end = blake3::hash(text.as_bytes());
        text.push_str(&format!("end {}\n", end.to_hex()));
        text
    }

    pub(super) fn parse(path: &Path, number: u32, bytes: &[u8]) -> Result<Self, BackupError> {
        let wrong = || damaged(path, "it is not the manifest that was written");
        let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
        let version = text.strip_prefix(FIRST).and_then(|rest| rest.split('\n').next());
        match version.and_then(|version| version.parse::<u32>().ok()) {
            Some(VERSION) => {}
            Some(_) => return Err(BackupError::Newer { path: path.to_owned() }),
            None => return Err(wrong()),
        }
        let body = text.rfind("end ").map(|at| text.split_at(at)).ok_or_else(wrong)?;
        let end = format!("end {}\n", blake3::hash(body.0.as_bytes()).to_hex());
        if body.1 != end {
            return Err(wrong());
        }
        Self::read_lines(number, body.0).ok_or_else(wrong)
    }

    fn read_lines(number: u32, body: &str) -> Option<Self> {
        let mut lines = body.lines().skip(1);
        let mut line = |what: &str| lines.next()?.strip_prefix(what)?.strip_prefix(' ');
        let cluster = u128::from_str_radix(line("cluster")?, 16).ok()?;
        let at_ms = line("at")?.parse().ok()?;
        let commands = line("commands")?.parse().ok()?;
        let (tables_bytes, tables_hash) = line("tables")?.split_once(' ')?;
        let (chunks, chunk_bytes) = line("chunks")?.split_once(' ')?;
        let packs = lines.map(|line| {
            let mut parts = line.strip_prefix("pack ")?.split(' ');
            let number = parts.next()?.parse().ok()?;
            let bytes = parts.next()?.parse().ok()?;
            Some(Listed { number, bytes, hash: unhex(parts.next()?)? })
        });
        Some(Self {
            number,
            cluster,
            at_ms,
            commands,
            tables_bytes: tables_bytes.parse().ok()?,
            tables_hash: unhex(tables_hash)?,
            chunks: chunks.parse().ok()?,
            chunk_bytes: chunk_bytes.parse().ok()?,
            packs: packs.collect::<Option<Vec<_>>>()?,
        })
    }
}
