//! Makes backups of the cluster while others work, restores each into folders of its own, and has
//! them checked: what was copied at one moment is a whole cluster.

use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use node_assembly::backup::{self, Writing};
use node_assembly::{Settings, check};
use node_base::NodeId;
use node_world::World;
use raft_meta::restore::Needed;
use serde_json::{Value, json};

use super::ground::Actor;

/// Chunks that are asked for together.
const TOGETHER: usize = 20;
/// How long a hold lasts that nobody ends.
const HELD_SECONDS: u32 = 120;
const FOLDER: &str = "backup";

/// `may_lose_bytes`: a backup may lack what is nowhere any more, and is not made then.
pub(crate) async fn run(actor: Actor, may_lose_bytes: bool) {
    let mut made = 0;
    loop {
        // There is something to save, and it has changed, each time.
        for _ in 0..6 {
            if !actor.rest().await {
                return;
            }
        }
        let Some(saved) = Box::pin(save(&actor)).await else { continue };
        match saved {
            Ok(()) => {
                made += 1;
                if let Err(why) = Box::pin(restore(&actor, made)).await {
                    actor.ground.recorder.garbled(format!("backup {made}: {why}"));
                }
            }
            Err(_) if may_lose_bytes => {}
            Err(why) => actor.ground.recorder.garbled(format!("backup {}: {why}", made + 1)),
        }
    }
}

/// Makes one backup. Nothing where no node answered to the end: then it is made another time, and
/// what was copied is not copied again.
async fn save(actor: &Actor) -> Option<Result<(), String>> {
    let nodes = actor.client.cluster.nodes();
    let node = *actor.pick(&nodes)?;
    let held = order(actor, node, "POST", "/backup/hold", json!({"seconds": HELD_SECONDS})).await?;
    let hold = serde_json::from_slice::<Value>(&held).ok()?["hold"].as_u64()?;
    let saved = Box::pin(save_held(actor, node, hold)).await;
    for node in nodes {
        let end = json!({"hold": hold, "seconds": 0});
        if order(actor, node, "POST", "/backup/hold", end).await.is_some() {
            break;
        }
    }
    saved
}

/// What is there under a hold.
async fn save_held(actor: &Actor, node: NodeId, hold: u64) -> Option<Result<(), String>> {
    let world = actor.client.cluster.machine();
    let inner = world.clone();
    let begun = move || Writing::begin(&inner, Path::new(FOLDER));
    let mut writing = match world.blocking(begun).await {
        Ok(writing) => writing,
        Err(error) => return Some(Err(error.to_string())),
    };
    let tables = order(actor, node, "GET", "/backup/tables", Value::Null).await?;
    let mut wanted = match writing.tables(&tables).and_then(|()| writing.tables_done()) {
        Ok(wanted) => wanted,
        Err(error) => return Some(Err(error.to_string())),
    };
    while let Some(first) = wanted.first() {
        let tenant = first.tenant;
        let of_tenant = wanted.iter().take_while(|chunk| chunk.tenant == tenant);
        let group: Vec<Needed> = of_tenant.take(TOGETHER).copied().collect();
        let hashes: Vec<String> = group.iter().map(|chunk| chunk.hash.to_string()).collect();
        let asked = json!({"tenant": tenant.to_string(), "hashes": hashes});
        let answer = order(actor, node, "POST", "/backup/chunks", asked).await?;
        match take(&mut writing, answer, &group) {
            Ok(taken) => drop(wanted.drain(..taken)),
            Err(why) => {
                // A clock that jumped may have ended the hold; then it is no wonder.
                let on = json!({"hold": hold, "seconds": HELD_SECONDS});
                order(actor, node, "POST", "/backup/hold", on).await?;
                return Some(Err(why));
            }
        }
    }
    Some(writing.finish(2).map(drop).map_err(|error| error.to_string()))
}

/// The chunks of an answer: length, chunk, length, chunk. How many there were.
fn take(writing: &mut Writing, mut answer: Bytes, group: &[Needed]) -> Result<usize, String> {
    let mut taken = 0;
    while !answer.is_empty() {
        let chunk = group.get(taken).ok_or("more chunks come than were asked for")?;
        let len = answer.try_get_u32_le().map_err(|_| "an answer is cut off")?;
        if len == u32::MAX {
            return Err(format!("{} is gone, though it is held", chunk.hash));
        }
        if len as usize > answer.len() {
            return Err("an answer is cut off".to_owned());
        }
        let body = answer.split_to(len as usize);
        writing.chunk(chunk.hash, &body).map_err(|error| error.to_string())?;
        taken += 1;
    }
    if taken == 0 { Err("no chunk came".to_owned()) } else { Ok(taken) }
}

/// Asks a node on its own machine; nothing where it does not answer, or cannot now.
async fn order(
    actor: &Actor,
    node: NodeId,
    method: &str,
    path: &str,
    body: Value,
) -> Option<Bytes> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body)
        .expect("it is well-formed");
    let answered = Box::pin(actor.client.cluster.order(node, request)).await.ok()?;
    answered.status().is_success().then(|| answered.into_body())
}

/// Restores the newest backup, and has all that is there then looked through.
async fn restore(actor: &Actor, number: u64) -> Result<(), String> {
    let world: World = actor.client.cluster.machine();
    let mut settings = Settings {
        data_dirs: (0..2).map(|n| PathBuf::from(format!("restored-{number}-{n}"))).collect(),
        ..Settings::default()
    };
    settings.chunks.reserve_bytes = 1 << 20;
    let (from, as_whom) = (Path::new(FOLDER), (NodeId(1), "node-1"));
    let restored = backup::restore(&world, &settings, from, None, as_whom, |_, _| ());
    Box::pin(restored).await.map_err(|error| chain(&error))?;
    let found = Box::pin(check::check(&world, &settings, true, |_, _| ())).await;
    let found = found.map_err(|error| chain(&error))?;
    if found.is_sound() {
        return Ok(());
    }
    let (drifts, chunks) = (found.drifts, found.chunks);
    Err(format!("what is restored is not sound: {drifts:?}, {chunks:?}"))
}

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}
