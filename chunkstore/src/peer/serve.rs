//! What other nodes ask of this one's drives.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use chunkstore_core::shard::ChunkKey;
use node_base::{DriveId, NodeId};
use node_world::{BoxFuture, Class, Handler, Refusal};
use tokio::sync::Semaphore;

use super::wire::{self, Found, Kept, Reply, Request, Shard};
use crate::drive::index::Note;
use crate::drive::{AppendError, ReadError, Ticket, shard_record};
use crate::store::read::read_checked;
use crate::store::{Inner, Store, fresh, stats};

/// Bytes of shards that others' requests of one class have in memory.
const IN_FLIGHT: u32 = 64 << 20;

/// Answers other nodes.
pub(crate) struct Server {
    inner: Weak<Inner>,
    /// Not those of this node's own reads and writes: two nodes that wait for one another's would
    /// wait for ever.
    in_flight: Arc<Semaphore>,
}

impl Server {
    /// Answers messages about shards from now on.
    pub(crate) fn start(inner: &Arc<Inner>) {
        for class in [Class::ShardForeground, Class::ShardBackground] {
            let in_flight = Arc::new(Semaphore::new(IN_FLIGHT as usize));
            let server = Self { inner: Arc::downgrade(inner), in_flight };
            inner.world.net().serve(class, Arc::new(server));
        }
    }
}

impl Handler for Server {
    fn handle(&self, from: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
        let (inner, in_flight) = (self.inner.upgrade(), Arc::clone(&self.in_flight));
        Box::pin(async move {
            let inner = inner.ok_or_else(|| Refusal("the drives are closed".to_owned()))?;
            let len = request.len() as u64;
            let (request, shards) = inner.read_request(from, request)?;
            let bytes = u32::try_from(inner.weight(&request).max(len)).unwrap_or(IN_FLIGHT);
            // The semaphore is never closed.
            let _in_flight = in_flight.acquire_many(bytes.min(IN_FLIGHT)).await;
            Ok(inner.answer(request, shards).await)
        })
    }
}

/// Shards written, but perhaps not durable yet: their places in the order given, by drive.
type Written = Vec<(usize, Vec<usize>, Ticket)>;

impl Inner {
    fn read_request(&self, from: NodeId, message: Bytes) -> Result<(Request, Vec<Shard>), Refusal> {
        wire::request(self.settings.cluster, message).map_err(|error| {
            stats::add(&self.counts.refused_messages, 1);
            tracing::warn!(node = %from, %error, "a message about shards is refused");
            Refusal(error.to_string())
        })
    }

    /// How many bytes of shards an answer takes into memory, at most.
    fn weight(&self, request: &Request) -> u64 {
        let Request::Get { key, count, .. } = request else { return 0 };
        let sources = self.sources(&(*key).into());
        sources.iter().take(usize::from(*count)).map(|(_, held)| held.slot.record_len()).sum()
    }

    async fn answer(self: Arc<Self>, request: Request, shards: Vec<Shard>) -> Bytes {
        let cluster = self.settings.cluster;
        let (reply, shards) = match request {
            Request::Put { drives, away } => {
                if away {
                    self.want_survey();
                }
                let chunks = fresh::chunks(&shards);
                let kept = self.keep(drives, shards, true).await;
                self.note_fresh(&chunks, &kept);
                (Reply::Put(kept), Vec::new())
            }
            Request::Get { key, skip, count, check } => {
                (Reply::Get, self.hand_out(key.into(), skip, count, check).await)
            }
            Request::Find { keys } => {
                let keys: Vec<ChunkKey> = keys.into_iter().map(ChunkKey::from).collect();
                (Reply::Find(keys.iter().map(|key| self.found(key)).collect()), Vec::new())
            }
            Request::Keep { key, index, drive } => {
                (Reply::Keep(self.vouch(&key.into(), index, drive).await), Vec::new())
            }
            Request::Purge { keys } => {
                let keys = keys.into_iter().map(ChunkKey::from).collect();
                (Reply::Purge(self.end(keys).await.is_ok()), Vec::new())
            }
            Request::Trash { keys, at } => {
                let keys = keys.into_iter().map(ChunkKey::from).collect();
                (Reply::Trash(self.note(keys, Note::Trash(at)).await.is_ok()), Vec::new())
            }
            Request::Tell => {
                let stats = Store(Arc::clone(&self)).stats();
                (Reply::Told(stats.into()), Vec::new())
            }
        };
        // Copying shards into the message is work like any other.
        match shards.is_empty() {
            true => wire::encode(cluster, &reply, &[]),
            false => self.world.blocking(move || wire::encode(cluster, &reply, &shards)).await,
        }
    }

    /// Makes shards durable on this node's drives; says of each what became of it.
    pub(crate) async fn keep(
        self: &Arc<Self>,
        drives: Vec<DriveId>,
        shards: Vec<Shard>,
        check: bool,
    ) -> Vec<Kept> {
        let inner = Arc::clone(self);
        let write = move || inner.write_shards(&drives, shards, check);
        let (mut kept, written) = self.world.blocking(write).await;
        let commits = written.into_iter().map(|(drive, places, ticket)| {
            let drive = Arc::clone(&self.drives[drive]);
            async move { (places, drive.commit(ticket).await) }
        });
        for (places, result) in futures_util::future::join_all(commits).await {
            if result.is_err() {
                places.into_iter().for_each(|place| kept[place] = Kept::Failed);
            }
        }
        kept
    }

    fn write_shards(
        &self,
        drives: &[DriveId],
        shards: Vec<Shard>,
        check: bool,
    ) -> (Vec<Kept>, Written) {
        let mut kept = Vec::with_capacity(shards.len());
        let mut by_drive: BTreeMap<usize, (Vec<usize>, Vec<_>)> = BTreeMap::new();
        for (place, ((header, body), id)) in shards.into_iter().zip(drives).enumerate() {
            kept.push(Kept::Durable);
            let Some(drive) = self.drive(*id) else {
                kept[place] = Kept::NoSuchDrive;
                continue;
            };
            if check && !header.matches(&body) {
                kept[place] = Kept::Torn;
                continue;
            }
            let (places, records) = by_drive.entry(drive).or_default();
            places.push(place);
            records.push(shard_record(header, body));
        }
        let mut written = Vec::with_capacity(by_drive.len());
        for (drive, (places, records)) in by_drive {
            match self.drives[drive].append(&records, false) {
                Ok(ticket) => written.push((drive, places, ticket)),
                Err(error) => {
                    let is_full = matches!(error, AppendError::Full);
                    let became = if is_full { Kept::Full } else { Kept::Failed };
                    places.into_iter().for_each(|place| kept[place] = became);
                }
            }
        }
        (kept, written)
    }

    /// Reads shards for another node. Damage that is met is mended in the background.
    async fn hand_out(
        self: &Arc<Self>,
        key: ChunkKey,
        skip: Vec<u8>,
        count: u8,
        check: bool,
    ) -> Vec<Shard> {
        let inner = Arc::clone(self);
        let read = move || inner.read_some(&key, &skip, usize::from(count), check);
        let (shards, is_damaged) = self.world.blocking(read).await;
        if is_damaged {
            self.mend_soon(key);
        }
        shards
    }

    /// Up to `count` shards of a chunk on this node's drives, and whether damage was met; blocks.
    pub(crate) fn read_some(
        &self,
        key: &ChunkKey,
        skip: &[u8],
        count: usize,
        check: bool,
    ) -> (Vec<Shard>, bool) {
        let (mut shards, mut is_damaged) = (Vec::<Shard>::new(), false);
        for (at, held) in self.sources(key) {
            let index = held.print.index();
            if shards.len() == count {
                break;
            }
            if skip.contains(&index) || shards.iter().any(|(header, _)| header.index == index) {
                continue;
            }
            let drive = &self.drives[at];
            let result = if check {
                read_checked(drive, &held)
            } else {
                let mut body = Vec::new();
                let out = &mut body;
                let read = drive.read(held.print, move |header| {
                    out.resize(header.shape.shard_len(), 0);
                    Some(&mut out[..])
                });
                read.map(|header| (header, body))
            };
            match result {
                Ok((header, body)) => shards.push((header, Bytes::from(body))),
                Err(error) => {
                    if matches!(error, ReadError::Rotten) {
                        drive.mark_rotten(held.print, held.slot);
                    }
                    is_damaged = true;
                }
            }
        }
        (shards, is_damaged)
    }

    /// The shards of a chunk on this node's drives.
    pub(crate) fn found(&self, key: &ChunkKey) -> Vec<Found> {
        let on = |drive: &Arc<crate::drive::Drive>| {
            let drive = Arc::clone(drive);
            let found = drive.find(key).into_iter();
            found
                .map(move |held| Found {
                    index: held.print.index(),
                    drive: drive.id,
                    is_sound: !held.is_rotten,
                    is_trashed: drive.is_trashed(held.print),
                })
                .collect::<Vec<_>>()
        };
        self.drives.iter().flat_map(on).collect()
    }
}
