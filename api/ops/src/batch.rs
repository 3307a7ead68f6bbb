//! Many small files in one request and one commit.

use std::collections::BTreeMap;

use node_base::{Permission, Sha256, ShareId, UploadId, limits};
use raft_meta::access::Viewer;
use raft_meta::chain::Chain;
use raft_meta::command::{
    BatchFile, BatchTarget, Declared, FileDestination, ItemCommand, NewContent, NewFile, Place,
    Received, UploadCommand,
};
use raft_meta::outcome::{BatchResult, BatchStatus, Invalid, Noun};
use raft_meta::query::Denied;
use raft_meta::table::audit::Outcomes;
use raft_meta::table::item::ItemId;
use raft_meta::table::people::Tenants;
use raft_meta::{Answer, Command, Reader, Refusal, table};

use crate::call::{Call, Ops};
use crate::error::OpError;
use crate::lease::Ticket;
use crate::write::{FileWriter, Finished};

/// A file of a batch, before its content comes.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchItem {
    pub client_ref: String,
    pub target: BatchTarget,
    pub details: FileDetails,
}

/// What a file is beside its content.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileDetails {
    pub mime_type: Option<String>,
    pub client_modified_at: Option<node_base::Timestamp>,
    pub executable: bool,
}

fn content(finished: Finished, details: &FileDetails) -> NewContent {
    NewContent {
        size: finished.size,
        checksum: Some(finished.sha256),
        mime_type: details.mime_type.clone(),
        client_modified_at: details.client_modified_at,
        executable: details.executable,
        chunks: finished.chunks,
    }
}

/// Files of one request, written one after the other and committed together.
pub struct FileBatch {
    ops: Ops,
    call: Call,
    share: ShareId,
    ticket: Ticket,
    files: Vec<BatchFile>,
    rejected: BTreeMap<usize, BatchResult>,
}

/// The largest file of a batch: one whose manifest fits its version's row however it is cut.
pub const BATCH_FILE_MAX: u64 = (limits::MANIFEST_PAGE * limits::CDC_MIN) as u64;

impl Ops {
    /// Starts a batch of files in a share.
    pub fn file_batch(&self, call: &Call, share: ShareId) -> FileBatch {
        FileBatch {
            ops: self.clone(),
            call: call.clone(),
            share,
            ticket: self.lease.ticket(),
            files: Vec::new(),
            rejected: BTreeMap::new(),
        }
    }

    /// Starts writing a file that comes in one request.
    pub fn file_writer(&self, call: &Call) -> FileWriter {
        FileWriter::new(self, call.tenant(), self.lease.ticket())
    }

    /// Commits a file that came in one request.
    ///
    /// # Errors
    /// The refusal, or why nothing could be agreed.
    pub async fn commit_file(
        &self,
        call: &Call,
        destination: FileDestination,
        details: FileDetails,
        finished: Finished,
    ) -> Result<Answer, OpError> {
        // Kept until the commit is answered.
        let ticket = finished.ticket.clone();
        let answer = if finished.chunks.len() <= limits::MANIFEST_PAGE {
            let file = NewFile { destination, content: content(finished, &details) };
            self.agree(call, Command::Item(ItemCommand::CommitFile { file })).await?
        } else {
            self.commit_long(call, destination, &details, &finished).await?
        };
        drop(ticket);
        if let Answer::Committed { superfluous, .. } | Answer::Conflicted { superfluous, .. } =
            &answer
        {
            self.drop_superfluous(call.tenant(), superfluous).await;
        }
        Ok(answer)
    }

    /// Refuses early what the commit would refuse: a caller who may not make a file there need not
    /// send it. Answers how large a file may be.
    ///
    /// # Errors
    /// The refusal, or why nothing could be read.
    pub async fn may_create(&self, call: &Call, place: Place) -> Result<u64, OpError> {
        let key = call.remember.as_ref().map(|remember| remember.key.clone());
        self.ask(call, move |tables, viewer| {
            let tenant = viewer.tenant();
            // Who asks again under a key is answered as before, whatever has become of the folder.
            let is_answered = match key {
                Some(key) => table::has::<Outcomes>(tables, &(tenant, viewer.user(), key))?,
                None => false,
            };
            if !is_answered {
                require_create(tables, viewer, place)?;
            }
            let settings = table::get::<Tenants>(tables, &(tenant,))?;
            Ok(settings
                .map_or(limits::FILE_MAX_DEFAULT, |tenant| tenant.settings.max_file_size_bytes))
        })
        .await
    }

    /// A manifest too long for one commit is staged in a session of its own.
    async fn commit_long(
        &self,
        call: &Call,
        destination: FileDestination,
        details: &FileDetails,
        finished: &Finished,
    ) -> Result<Answer, OpError> {
        // The session would be judged by how things are now, before the key is looked at.
        if let Some(answer) = self.recalled(call).await? {
            return Ok(answer);
        }
        let staging = Call { remember: None, if_revision: None, ..call.clone() };
        let create = UploadCommand::Create {
            destination,
            size: finished.size,
            chunk_size: None,
            chunks: Vec::new(),
            mime_type: details.mime_type.clone(),
            checksum: Some(finished.sha256),
            client_modified_at: details.client_modified_at,
            executable: details.executable,
        };
        let session: raft_meta::outcome::UploadAnswer =
            self.agree(&staging, Command::Upload(create)).await?;
        let upload = session.upload;
        let answer = self.fill_and_complete(call, &staging, upload, finished).await;
        if matches!(answer, Err(OpError::Refused(_))) {
            // Nobody knows of the session: it would hold its chunks for a day.
            let abort = Command::Upload(UploadCommand::Abort { upload });
            let _ = self.agree::<Answer>(&staging, abort).await;
        }
        answer
    }

    async fn fill_and_complete(
        &self,
        call: &Call,
        staging: &Call,
        upload: UploadId,
        finished: &Finished,
    ) -> Result<Answer, OpError> {
        let mut first = 0;
        for page in finished.chunks.chunks(limits::DECLARED_CHUNKS_MAX / 4) {
            let declared = page.iter().map(|chunk| Declared { hash: chunk.hash, size: chunk.size });
            let chunks = declared.collect();
            let declare = UploadCommand::Declare { upload, first: Some(first), chunks };
            self.agree::<Answer>(staging, Command::Upload(declare)).await?;
            let indexed = page.iter().zip(first..);
            let chunks = indexed.map(|(chunk, index)| Received { index, chunk: *chunk }).collect();
            let receive = UploadCommand::Receive { upload, chunks };
            let answer = self.agree(staging, Command::Upload(receive)).await?;
            if let Answer::Received { superfluous } = answer {
                self.drop_superfluous(call.tenant(), &superfluous).await;
            }
            first += page.len() as u64;
        }
        let complete =
            UploadCommand::Complete { upload, computed: Some(finished.sha256), declared: None };
        self.agree(call, Command::Upload(complete)).await
    }
}

impl FileBatch {
    /// A writer for the next file's content.
    pub fn writer(&self) -> FileWriter {
        FileWriter::new(&self.ops, self.call.tenant(), self.ticket.clone())
    }

    /// Adds a file whose content is written.
    pub fn add(&mut self, item: BatchItem, finished: Finished) {
        self.files.push(BatchFile {
            client_ref: item.client_ref,
            target: item.target,
            content: content(finished, &item.details),
        });
    }

    /// Adds a file that was refused before its content was looked at.
    pub fn reject(&mut self, client_ref: String, refusal: Refusal) {
        let at = self.files.len() + self.rejected.len();
        let status = BatchStatus::Rejected(refusal);
        self.rejected.insert(at, BatchResult { client_ref, status });
    }

    /// Adds a file that is too large for a batch.
    pub fn reject_too_large(&mut self, client_ref: String) {
        let most = Invalid::Rule(format!(
            "a file of more than {BATCH_FILE_MAX} bytes goes through an upload session"
        ));
        self.reject(client_ref, Refusal::invalid("content", most));
    }

    /// Commits all of them, each judged on its own; the results are in the order of adding. `said`
    /// is the digest of what the caller asked for: an idempotency key stands for that.
    ///
    /// # Errors
    /// Why nothing could be agreed.
    pub async fn commit(mut self, said: Sha256) -> Result<Vec<BatchResult>, OpError> {
        let mut results = Vec::new();
        if !self.files.is_empty() {
            let place = Place { share: self.share, parent: None };
            let files = std::mem::take(&mut self.files);
            let command = Command::Item(ItemCommand::CommitFiles { place, files });
            let call = self.call.clone().covering(said);
            match self.ops.agree(&call, command).await? {
                Answer::CommittedBatch { results: committed, superfluous } => {
                    self.ops.drop_superfluous(self.call.tenant(), &superfluous).await;
                    results = committed;
                }
                Answer::Batch(committed) => results = committed,
                _ => return Err(OpError::Unknown),
            }
        }
        for (at, rejected) in self.rejected {
            results.insert(at.min(results.len()), rejected);
        }
        Ok(results)
    }
}

fn require_create(tables: &dyn Reader, viewer: &Viewer, place: Place) -> Result<(), Denied> {
    let tenant = viewer.tenant();
    let (chain, noun) = match place.parent {
        None => (Chain::root(tables, tenant, place.share)?, Noun::Share),
        Some(folder) => (Chain::of(tables, tenant, ItemId::Folder(folder))?, Noun::Folder),
    };
    let chain = chain.filter(|chain| chain.share_id == place.share);
    let chain = chain.ok_or(Refusal::NotFound(noun))?;
    let mask = viewer.mask(tables, &chain)?;
    if mask.is_empty() {
        return Err(Refusal::NotFound(noun).into());
    }
    if !mask.contains(Permission::Create) {
        return Err(Refusal::PermissionDenied.into());
    }
    if chain.is_trashed() {
        return Err(Refusal::Trashed.into());
    }
    Ok(())
}
