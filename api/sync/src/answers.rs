//! Comparing contents, where a plan needs to know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use api_sync_core::{Compare, Local, Question, Remote};
use futures_util::{StreamExt, stream};

use crate::cutting::{self, SMALL_MAX};
use crate::disk;
use crate::engine::{Engine, TransferError};
use crate::failure::Failure;
use crate::state::{Chunk, State};
use crate::sync::{Pair, Round};

/// Contents that turned out to be the server's, in pieces.
pub(crate) type Known = BTreeMap<String, Vec<Chunk>>;

const IN_FLIGHT: usize = 4;

/// Answers all questions, in the local tree of the round. What cannot be read is left out of it.
pub(crate) async fn find(
    engine: &Engine,
    pair: &Pair,
    state: &Arc<State>,
    round: &mut Round,
    asked: Vec<Question>,
) -> Result<Known, Failure> {
    let mut known = Known::new();
    let shared: &Round = round;
    let compare = |question: Question| async move {
        let same = one(engine, pair, state, shared, &question).await;
        (question, same)
    };
    let found: Vec<_> =
        stream::iter(asked).map(compare).buffer_unordered(IN_FLIGHT).collect().await;
    let mut unreadable = BTreeSet::new();
    for (question, compared) in found {
        let same = match compared? {
            Compared::Same(chunks) => Some(chunks),
            Compared::Differs => None,
            Compared::Unreadable(failure) => {
                round.scan.problems.push(failure);
                unreadable.insert(question.path);
                continue;
            }
        };
        let Some(Local::File(file)) = round.trees.local.get_mut(&question.path) else { continue };
        match question.with {
            Compare::Base => file.same_as_base = Some(same.is_some()),
            Compare::Remote => {
                file.same_as_remote = Some(same.is_some());
                if let Some(chunks) = same {
                    known.insert(question.path, chunks);
                }
            }
        }
    }
    round.leave_out(&unreadable);
    Ok(known)
}

/// What a comparison found.
enum Compared {
    /// With the pieces that the local file consists of.
    Same(Vec<Chunk>),
    Differs,
    Unreadable(Failure),
}

async fn one(
    engine: &Engine,
    pair: &Pair,
    state: &Arc<State>,
    round: &Round,
    question: &Question,
) -> Result<Compared, Failure> {
    let chunks = match question.with {
        Compare::Base => state.chunks(&question.path)?,
        Compare::Remote => match theirs(engine, round, &question.path).await {
            Err(error) if error.ends_the_run() => return Err(error.into()),
            Err(error) => return Ok(Compared::Unreadable(error.of(&question.path))),
            Ok(chunks) => chunks,
        },
    };
    let Some(chunks) = chunks else { return Ok(Compared::Differs) };
    let path = pair.root.join(round.scan.on_disk(&question.path));
    Ok(compared(engine, path, chunks).await)
}

async fn compared(engine: &Engine, path: PathBuf, chunks: Vec<Chunk>) -> Compared {
    let file = path;
    let work = move || match cutting::consists_of(&file, &chunks) {
        Ok(true) => Compared::Same(chunks),
        Ok(false) => Compared::Differs,
        // Gone meanwhile: not the same.
        Err(_) if matches!(disk::look(&file), Ok(None)) => Compared::Differs,
        Err(error) => Compared::Unreadable(Failure::file("reading", &file, &error)),
    };
    engine.world.blocking(work).await
}

/// The pieces that the server's file consists of.
async fn theirs(
    engine: &Engine,
    round: &Round,
    path: &str,
) -> Result<Option<Vec<Chunk>>, TransferError> {
    let Some(Remote::File(file)) = round.trees.remote.get(path) else { return Ok(None) };
    match (file.size, file.checksum) {
        (0, _) => return Ok(Some(Vec::new())),
        (size, Some(hash)) if size <= SMALL_MAX => {
            return Ok(Some(vec![Chunk { hash, size: size as u32 }]));
        }
        _ => {}
    }
    match engine.client.manifest(&file.id, None).await {
        Ok(manifest) => {
            let pieces = manifest.chunks.iter();
            Ok(Some(pieces.map(|chunk| Chunk { hash: chunk.sha256.0, size: chunk.size }).collect()))
        }
        Err(error) if matches!(error.status(), Some(404 | 410)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
