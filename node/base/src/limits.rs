//! A limit on everything that comes from outside, with the proof of how they relate.

use crate::time::Duration;

/// The largest chunk.
pub const CHUNK_MAX: usize = 8 << 20;
/// The sizes content-defined cutting aims at: least, average, most.
pub const CDC_MIN: usize = 64 << 10;
pub const CDC_AVG: usize = 256 << 10;
pub const CDC_MAX: usize = 1 << 20;
/// Fixed cutting: the smallest and the default chunk.
pub const FIXED_CHUNK_MIN: usize = 64 << 10;
pub const FIXED_CHUNK_DEFAULT: usize = 4 << 20;
/// Chunks at least this large are striped; smaller ones are kept as whole copies.
pub const STRIPE_MIN: usize = 64 << 10;

/// Chunks named by one page of a manifest, and by a version's own row.
pub const MANIFEST_PAGE: usize = 128;
/// Chunks declared by one call to an upload session.
pub const DECLARED_CHUNKS_MAX: usize = 10_000;
/// Chunks of one upload: as many as this, and one more for each so many bytes of the file.
pub const UPLOAD_CHUNKS_MIN: u64 = 100_000;
pub const UPLOAD_BYTES_PER_CHUNK: u64 = 4_096;
/// A media type, in bytes.
pub const MIME_TYPE_MAX: usize = 255;
/// Bytes in one batch of chunks, and in one batch of small files.
pub const BATCH_BYTES_MAX: usize = 64 << 20;
/// Files in one batch, changes in one apply.
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// What a client calls an entry of a list, in bytes.
pub const CLIENT_REF_MAX: usize = 255;

/// A name, in bytes after normalisation.
pub const NAME_MAX: usize = 255;
/// A path, in bytes.
pub const PATH_MAX: usize = 4_096;
/// Folders above an item.
pub const DEPTH_MAX: usize = 128;
/// Entries of permission on one item.
pub const ACL_ENTRIES_MAX: usize = 1_000;

/// Members of one share, groups of one user.
pub const SHARE_MEMBERS_MAX: usize = 10_000;
pub const USER_GROUPS_MAX: usize = 1_000;
/// Invitations of one share that nobody has answered.
pub const INVITATIONS_MAX: usize = 1_000;
/// An e-mail address, an issuer's `sub`, a display name, a description or a message, in bytes.
pub const EMAIL_MAX: usize = 254;
pub const SUBJECT_MAX: usize = 512;
pub const DISPLAY_NAME_MAX: usize = 255;
pub const DESCRIPTION_MAX: usize = 4_096;
/// An idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;

/// A JSON body, and one that carries lists of chunks or changes.
pub const JSON_MAX: usize = 4 << 20;
pub const JSON_LIST_MAX: usize = 16 << 20;
/// Items of one page: ordinary lists, a folder's children, changes.
pub const PAGE_MAX: u32 = 100;
pub const PAGE_DEFAULT: u32 = 50;
pub const CHILDREN_PAGE_MAX: u32 = 1_000;
pub const CHANGES_PAGE_MAX: u32 = 5_000;
pub const CHANGES_PAGE_DEFAULT: u32 = 1_000;
/// Ranges of one request for content.
pub const RANGES_MAX: usize = 16;

/// A tenant's largest file, unless set otherwise.
pub const FILE_MAX_DEFAULT: u64 = 5 << 30;
/// An upload session ends this long after its last activity.
pub const UPLOAD_IDLE_MAX: Duration = Duration::from_secs(24 * 3600);
/// An outcome is remembered under its idempotency key for this long.
pub const OUTCOME_KEPT: Duration = Duration::from_secs(24 * 3600);
/// The body of an answer that is kept beside its outcome: what a full batch is told fits, however
/// long its paths are. What is longer is read anew.
pub const ANSWER_KEPT_MAX: usize = 12 << 20;
/// Changes are kept at least this long, and at least this many of a share.
pub const CHANGES_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
pub const CHANGES_KEPT_MIN: u64 = 1_000_000;
/// A long poll waits at most this long.
pub const LONG_POLL_MAX: Duration = Duration::from_secs(60);

/// A command, encoded.
pub const COMMAND_MAX: usize = 16 << 20;
/// A message between nodes.
pub const MESSAGE_MAX: usize = 32 << 20;

const _: () = assert!(CDC_MIN <= CDC_AVG && CDC_AVG <= CDC_MAX && CDC_MAX <= CHUNK_MAX);
const _: () = assert!(CDC_MIN.is_multiple_of(2) && CDC_AVG.is_multiple_of(2), "fastcdc 5 asks it");
const _: () = assert!(FIXED_CHUNK_MIN <= FIXED_CHUNK_DEFAULT && FIXED_CHUNK_DEFAULT <= CHUNK_MAX);
const _: () = assert!(CHUNK_MAX < BATCH_BYTES_MAX, "the largest chunk fits a batch");
const _: () = assert!(JSON_LIST_MAX <= COMMAND_MAX, "what is declared in one call is one command");
const _: () = assert!(COMMAND_MAX < MESSAGE_MAX && CHUNK_MAX < MESSAGE_MAX);
const _: () = assert!(ANSWER_KEPT_MAX + (64 << 10) <= COMMAND_MAX, "keeping is one command");
const _: () = assert!(BATCH_ITEMS_MAX * 2 * PATH_MAX < ANSWER_KEPT_MAX, "with all that is shown");
const _: () =
    assert!(DEPTH_MAX * 2 < PATH_MAX, "the deepest path of shortest names can be written");
const _: () = assert!(UPLOAD_BYTES_PER_CHUNK <= CDC_MIN as u64, "cutting never meets the limit");
