//! Comparing contents, where a plan needs to know.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use api_sync_core::{Compare, Local, Question, Remote};
use futures_util::{StreamExt, stream};

use crate::cutting::{self, SMALL_MAX};
use crate::disk;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::state::{Chunk, State};
use crate::sync::{Pair, Round};

/// Contents that turned out to be the server's, in pieces.
pub(crate) type Known = BTreeMap<String, Vec<Chunk>>;

const IN_FLIGHT: usize = 4;

/// Answers all questions, in the local tree of the round.
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
    for (question, same) in found {
        let same = same?;
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
    Ok(known)
}

/// The pieces that the local file consists of, if it is the same.
async fn one(
    engine: &Engine,
    pair: &Pair,
    state: &Arc<State>,
    round: &Round,
    question: &Question,
) -> Result<Option<Vec<Chunk>>, Failure> {
    let chunks = match question.with {
        Compare::Base => state.chunks(&question.path)?,
        Compare::Remote => theirs(engine, round, &question.path).await?,
    };
    let Some(chunks) = chunks else { return Ok(None) };
    let path = pair.root.join(round.scan.on_disk(&question.path));
    compared(engine, path, chunks).await
}

async fn compared(
    engine: &Engine,
    path: PathBuf,
    chunks: Vec<Chunk>,
) -> Result<Option<Vec<Chunk>>, Failure> {
    let file = path.clone();
    let work = move || match cutting::consists_of(&file, &chunks) {
        Ok(same) => Ok(same.then_some(chunks)),
        // Gone meanwhile: not the same.
        Err(_) if matches!(disk::look(&file), Ok(None)) => Ok(None),
        Err(error) => Err(error),
    };
    let compared = engine.world.blocking(work).await;
    compared.map_err(|error| Failure::file("reading", &path, &error))
}

/// The pieces that the server's file consists of.
async fn theirs(engine: &Engine, round: &Round, path: &str) -> Result<Option<Vec<Chunk>>, Failure> {
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
