//! Cursors: how far somebody has come in a stream of changes, as an opaque text.
//!
//! ```text
//! version (1) │ stream (1) │ tenant (16) │ share, or zeros (16)
//!             │ incarnation (8) │ position (8) │ seal (16)
//! ```
//!
//! in hex. The seal is a keyed BLAKE3 of what is before it, with a key that only the cluster has: a
//! cursor that somebody made up, or that is of another share, is told from one that was given out.

use node_base::TenantId;

use super::Stream;
use crate::outcome::{Invalid, Refusal};
use crate::table;
use crate::table::cluster::Clusters;
use crate::tables::{Reader, TableError};

const VERSION: u8 = 1;
const FIELDS: usize = 50;
const SEAL: usize = 16;

/// What a cursor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) incarnation: u64,
    /// The number of the last change that was told.
    pub(super) last: u64,
}

fn seal(tables: &dyn Reader, fields: &[u8]) -> Result<[u8; SEAL], TableError> {
    let cluster = table::get::<Clusters>(tables, &())?;
    let cluster = cluster.ok_or(TableError::Invariant("a cluster was never founded"))?;
    let hash = blake3::keyed_hash(&cluster.cursor_key, fields);
    let mut seal = [0; SEAL];
    seal.copy_from_slice(&hash.as_bytes()[..SEAL]);
    Ok(seal)
}

fn fields(tenant: TenantId, stream: Stream, position: Position) -> Vec<u8> {
    let (kind, share) = match stream {
        Stream::Share(share) => (0, share.to_bytes()),
        Stream::All => (1, [0; 16]),
    };
    let mut fields = vec![VERSION, kind];
    fields.extend(tenant.to_bytes());
    fields.extend(share);
    fields.extend(position.incarnation.to_be_bytes());
    fields.extend(position.last.to_be_bytes());
    fields
}

pub(super) fn write(
    tables: &dyn Reader,
    tenant: TenantId,
    stream: Stream,
    position: Position,
) -> Result<String, TableError> {
    let mut bytes = fields(tenant, stream, position);
    let seal = seal(tables, &bytes)?;
    bytes.extend(seal);
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What a text says, if it is a cursor of this stream; refused otherwise.
pub(super) fn read(
    tables: &dyn Reader,
    tenant: TenantId,
    stream: Stream,
    text: &str,
) -> Result<Result<Position, Refusal>, TableError> {
    let wrong = |why: &str| Ok(Err(refusal(why)));
    let Some(bytes) = unhex(text) else { return wrong("is not a cursor") };
    let (given, sealed) = bytes.split_at(FIELDS);
    if blake3::Hash::from_bytes(padded(sealed))
        != blake3::Hash::from_bytes(padded(&seal(tables, given)?))
    {
        return wrong("is not a cursor");
    }
    let number = |at: usize| given[at..at + 8].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let position = Position { incarnation: number(34), last: number(42) };
    if given != fields(tenant, stream, position) {
        return wrong("is a cursor of another stream");
    }
    Ok(Ok(position))
}

/// Compared as hashes are: in constant time.
fn padded(seal: &[u8]) -> [u8; 32] {
    let mut padded = [0; 32];
    padded[..seal.len()].copy_from_slice(seal);
    padded
}

pub(super) fn refusal(why: &str) -> Refusal {
    Refusal::invalid("cursor", Invalid::Rule(why.to_owned()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * (FIELDS + SEAL) {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}
