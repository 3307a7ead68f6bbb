//! One story a rule.

use node_base::{Duration, Permission, sha256};

use super::drives::{Drives, declared, hash, length, opened, size};
use crate::command::{
    Command, Declared, FileDestination, ItemCommand, Place, ShareCommand, ShareSettingsChange,
    Upkeep, UploadCommand,
};
use crate::outcome::{Answer, Expired, Noun, Outcome, Refusal};
use crate::query;
use crate::table;
use crate::table::chunk::{Chunks, Condemned};
use crate::table::item::{Body, Checksum, ItemId};
use crate::table::people::Principal;
use crate::table::share::ShareKind;
use crate::table::upload::{UploadState, Uploads};

fn file(outcome: Outcome) -> crate::table::item::File {
    match outcome {
        Ok(Answer::Item(view)) => match view.item.expect("its owner reads it").body {
            Body::File(file) => file,
            Body::Folder => panic!("a file"),
        },
        other => panic!("it should complete: {other:?}"),
    }
}

fn sentence(outcome: Outcome) -> String {
    outcome.expect_err("it should be refused").to_string()
}

#[test]
fn what_the_share_has_is_not_asked_for_again_and_stays_while_the_session_is_open() {
    let mut drives = Drives::new();
    let first = drives.open("a", &[1, 2, 1]);
    assert_eq!((first.chunks, first.missing.as_slice()), (3, [0, 1].as_slice()));
    for (index, n) in [(0, 1), (1, 2)] {
        let chunk = drives.write(n, first.writer);
        assert_eq!(
            drives.receive(first.upload, index, chunk),
            Ok(Answer::Received { superfluous: Vec::new() })
        );
    }
    let second = drives.open("b", &[2, 3]);
    assert_eq!(second.missing, [1]);
    let abort = UploadCommand::Abort { upload: first.upload };
    assert_eq!(drives.upload(abort), Ok(Answer::Done));
    while drives.upkeep(Upkeep::Release { limit: 1 }) > 0 {}
    assert_eq!(drives.upkeep(Upkeep::Reap { before: u64::MAX, limit: 10 }), 1);
    drives.follow();
    drives.check();
    let chunk = drives.write(3, second.writer);
    drives.receive(second.upload, 1, chunk).expect("it is wanted");
    assert_eq!(file(drives.complete(second.upload)).size, length(&[2, 3]));
    drives.check();
}

#[test]
fn another_share_is_told_of_nothing_until_the_tenant_says_so() {
    let mut drives = Drives::new();
    let chunk = drives.write(1, drives.lease);
    let to = drives.destination("a", None);
    drives.commit(to, vec![chunk]).expect("it is new");
    let (tables, tenant) = (&mut drives.fixture.tables, drives.fixture.tenant);
    let other = node_base::ShareId::from(99);
    let visible = |tables: &crate::MemoryTables, share| {
        query::chunk::visible(tables, tenant, share, hash(1)).expect("memory").is_some()
    };
    assert!(visible(tables, drives.fixture.share) && !visible(tables, other));
    use crate::table::people::{DedupScope, Tenants};
    let row = table::get::<Tenants>(tables, &(tenant,)).expect("memory");
    let mut row = row.expect("the tenant is there");
    row.settings.dedup_scope = DedupScope::Tenant;
    table::put::<Tenants>(tables, &(tenant,), &row).expect("memory");
    assert!(visible(tables, other));
}

#[test]
fn declaring_again_from_the_same_index_declares_nothing_twice() {
    let mut drives = Drives::new();
    let chunks = [1, 2, 3, 2];
    let to = drives.destination("a", None);
    let session = opened(drives.create(to, length(&chunks), None, &chunks[..2]));
    for _ in 0..2 {
        let again = UploadCommand::Declare {
            upload: session.upload,
            first: Some(1),
            chunks: declared(&chunks[1..]),
        };
        let answer = opened(drives.upload(again));
        assert_eq!((answer.chunks, answer.missing), (4, vec![1, 2]));
        drives.check();
    }
    let differs =
        UploadCommand::Declare { upload: session.upload, first: Some(1), chunks: declared(&[5]) };
    assert_eq!(sentence(drives.upload(differs)), "chunks: another chunk is declared there");
}

#[test]
fn what_cannot_become_the_file_is_refused_when_it_is_declared() {
    let mut drives = Drives::new();
    let mut refused = |size: u64, chunk_size: Option<u32>, chunks: &[u8]| {
        let to = drives.destination("a", None);
        sentence(drives.create(to, size, chunk_size, chunks))
    };
    assert_eq!(refused(10, None, &[7]), "chunks: the chunks are longer than the file");
    assert_eq!(refused(10, Some(1 << 15), &[]), "chunk_size: must be between 65536 and 8388608");
    assert_eq!(refused(10, Some(100_000), &[]), "chunk_size: must be a power of two");
    assert_eq!(refused(6 << 30, None, &[]), "the file is larger than 5368709120 bytes");
    let to = drives.destination("con", None);
    assert_eq!(
        sentence(drives.create(to, 1, None, &[])),
        "name: 'con' is a device name on Windows"
    );
    let to = drives.destination("a", None);
    let session = opened(drives.create(to, 1 << 30, None, &[]));
    let mut declare = |chunks: Vec<Declared>| {
        let upload = session.upload;
        sentence(drives.upload(UploadCommand::Declare { upload, first: None, chunks }))
    };
    let chunk = |size| Declared { hash: hash(1), size };
    assert_eq!(declare(vec![chunk(0)]), "chunks: must be between 1 and 8388608");
    assert_eq!(declare(vec![chunk((8 << 20) + 1)]), "chunks: must be between 1 and 8388608");
    assert_eq!(declare(vec![chunk(1), chunk(2)]), "chunks: a chunk has one size, whoever names it");
    assert_eq!(declare(vec![chunk(1); 10_001]), "chunks: at most 10000 are taken");
}

#[test]
fn a_fixed_session_takes_the_last_that_came_for_an_index() {
    let mut drives = Drives::new();
    let to = drives.destination("a", None);
    let total = length(&[1, 2, 7]);
    let session = opened(drives.create(to, total, Some(64 << 10), &[]));
    assert_eq!(session.chunks, 3);
    for (index, n) in [(0, 1), (0, 3), (2, 7), (2, 7)] {
        let chunk = drives.write(n, session.writer);
        drives.receive(session.upload, index, chunk).expect("it fits");
        drives.check();
    }
    let chunk = drives.write(7, session.writer);
    assert_eq!(
        sentence(drives.receive(session.upload, 1, chunk)),
        "size: must be between 65536 and 65536"
    );
    assert_eq!(
        sentence(drives.receive(session.upload, 3, chunk)),
        "index: must be between 0 and 2"
    );
    assert_eq!(drives.complete(session.upload), Err(Refusal::ChunksMissing { indexes: vec![1] }));
    let chunk = drives.write(2, session.writer);
    drives.receive(session.upload, 1, chunk).expect("it fits");
    let done = file(drives.complete(session.upload));
    assert_eq!(done.size, total);
    // Asked again it says the same, though the file has moved on.
    let Ok(Answer::Item(view)) = drives.complete(session.upload) else {
        panic!("the first answer")
    };
    let ItemId::File(id) = view.id else { panic!("a file") };
    let chunk = drives.write(4, drives.lease);
    let to = drives.destination("", Some(id));
    drives.commit(to, vec![chunk]).expect("it replaces");
    assert_eq!(file(drives.complete(session.upload)), done);
    drives.check();
}

#[test]
fn chunks_are_taken_only_as_they_were_declared_and_written() {
    let mut drives = Drives::new();
    let session = drives.open("a", &[1, 2]);
    let other = drives.open("b", &[1]);
    let wrong = drives.write(2, session.writer);
    assert_eq!(drives.receive(session.upload, 0, wrong), Err(Refusal::ChecksumMismatch));
    assert_eq!(
        sentence(drives.receive(session.upload, 2, wrong)),
        "index: no chunk is declared there"
    );
    let foreign = drives.write(1, other.writer);
    assert_eq!(drives.receive(session.upload, 0, foreign), Err(Refusal::WriterClosed));
    assert_eq!(
        drives.receive(session.upload, 0, Drives::name(1)),
        Err(Refusal::ChunksGone { hashes: vec![hash(1)] })
    );
    let leased = drives.write(1, drives.lease);
    drives.rotate_lease();
    assert_eq!(drives.receive(session.upload, 0, leased), Err(Refusal::WriterClosed));
    let leased = drives.write(1, drives.lease);
    drives.receive(session.upload, 0, leased).expect("leases are for everybody");
    let second = drives.write(1, session.writer);
    let generation = second.written.expect("it is written").generation;
    assert_eq!(
        drives.receive(session.upload, 0, second),
        Ok(Answer::Received { superfluous: vec![(hash(1), generation)] })
    );
    assert_eq!(
        drives.receive(session.upload, 0, leased),
        Ok(Answer::Received { superfluous: Vec::new() })
    );
    drives.check();
}

#[test]
fn a_copy_that_was_superfluous_is_never_taken_up() {
    let mut drives = Drives::new();
    let first = drives.write(1, drives.lease);
    let to = drives.destination("a", None);
    drives.commit(to, vec![first]).expect("it is new");
    let second = drives.write(1, drives.lease);
    let session = drives.open("b", &[1]);
    drives.receive(session.upload, 0, second).expect("it is harmless");
    drives.upload(UploadCommand::Abort { upload: session.upload }).expect("it is open");
    let purge = ItemCommand::Purge { item: ItemId::File(drives.files()[0]) };
    drives.item(purge).expect("ann may");
    while drives.upkeep(Upkeep::Release { limit: 10 }) > 0 {}
    drives.upkeep(Upkeep::Reap { before: u64::MAX, limit: 10 });
    drives.follow();
    for late in [first, second] {
        let to = drives.destination("c", None);
        let gone = Err(Refusal::ChunksGone { hashes: vec![hash(1)] });
        assert_eq!(drives.commit(to, vec![late]), gone);
    }
}

#[test]
fn sessions_are_their_owners_alone_and_end() {
    let mut drives = Drives::new();
    let session = drives.open("a", &[1]);
    let upload = session.upload;
    let complete = UploadCommand::Complete { upload, computed: None, declared: None };
    let (ann, bob) = (drives.fixture.ann, drives.fixture.bob);
    let by_bob = drives.fixture.run(bob, Command::Upload(complete.clone()));
    assert_eq!(by_bob, Err(Refusal::NotFound(Noun::Upload)));
    drives.fixture.pass(Duration::from_secs(23 * 3600));
    let chunk = drives.write(1, session.writer);
    drives.receive(session.upload, 0, chunk).expect("it is open");
    drives.fixture.pass(Duration::from_secs(23 * 3600));
    assert_eq!(drives.upkeep(Upkeep::Expire { limit: 10 }), 1);
    drives.check();
    drives.fixture.pass(Duration::from_secs(3600));
    let over = Err(Refusal::Expired(Expired::Upload));
    assert_eq!(drives.fixture.run(ann, Command::Upload(complete.clone())), over);
    let key = (drives.fixture.tenant, session.upload);
    let state = |drives: &Drives| {
        let row = table::get::<Uploads>(&drives.fixture.tables, &key).expect("memory");
        row.map(|row| row.state)
    };
    assert_eq!(drives.upkeep(Upkeep::Expire { limit: 10 }), 1);
    assert_eq!(state(&drives), Some(UploadState::Expired));
    assert_eq!(drives.fixture.run(ann, Command::Upload(complete)), over);
    drives.fixture.pass(Duration::from_secs(24 * 3600));
    assert_eq!(drives.upkeep(Upkeep::Expire { limit: 10 }), 1);
    assert_eq!(state(&drives), None);
    drives.check();
}

#[test]
fn a_file_of_one_chunk_or_none_has_its_checksum_for_free() {
    let mut drives = Drives::new();
    let to = drives.destination("empty", None);
    let session = opened(drives.create(to, 0, None, &[]));
    let empty = file(drives.complete(session.upload));
    assert_eq!(empty.checksum, Checksum::Verified(sha256(&[])));
    let session = drives.open("one", &[1]);
    let chunk = drives.write(1, session.writer);
    drives.receive(session.upload, 0, chunk).expect("it is wanted");
    let one = file(drives.complete(session.upload));
    assert_eq!(one.checksum, Checksum::Verified(hash(1)));
    drives.check();
}

#[test]
fn a_declared_checksum_is_compared_or_pending() {
    let mut drives = Drives::new();
    let mut complete = |name: &str, computed| {
        let create = UploadCommand::Create {
            destination: drives.destination(name, None),
            size: length(&[1, 1]),
            chunk_size: None,
            chunks: declared(&[1, 1]),
            mime_type: None,
            checksum: Some(hash(42)),
            client_modified_at: None,
            executable: false,
        };
        let session = opened(drives.upload(create));
        let chunk = drives.write(1, session.writer);
        drives.receive(session.upload, 0, chunk).expect("it is declared");
        let upload = session.upload;
        drives.upload(UploadCommand::Complete { upload, computed, declared: None })
    };
    assert_eq!(complete("a", Some(hash(43))), Err(Refusal::ChecksumMismatch));
    assert_eq!(file(complete("a", None)).checksum, Checksum::Pending(hash(42)));
    assert_eq!(file(complete("b", Some(hash(42)))).checksum, Checksum::Verified(hash(42)));
    drives.check();
}

#[test]
fn a_long_file_is_one_small_commit_and_says_what_it_lacks() {
    let mut drives = Drives::new();
    let chunks: Vec<u8> = (0..1300).map(|n| [1, 2, 3, 4][n % 4]).collect();
    let session = drives.open("long", &chunks);
    assert_eq!(session.missing, [0, 1, 2, 3]);
    for (index, n) in [(0, 1), (5, 2), (3, 4)] {
        let chunk = drives.write(n, session.writer);
        drives.receive(session.upload, index, chunk).expect("it is wanted");
    }
    drives.check();
    let status = query::upload::status(
        &drives.fixture.tables,
        drives.fixture.now,
        (drives.fixture.tenant, drives.fixture.ann),
        session.upload,
        0,
        10,
    );
    let status = status.expect("memory").expect("it is ann's");
    assert_eq!((status.chunks, status.received, status.missing), (1300, 975, vec![2]));
    assert_eq!(drives.complete(session.upload), Err(Refusal::ChunksMissing { indexes: vec![2] }));
    let chunk = drives.write(3, session.writer);
    drives.receive(session.upload, 2, chunk).expect("it is wanted");
    let before = drives.fixture.tables.clone();
    assert_eq!(file(drives.complete(session.upload)).size, length(&chunks));
    let rows = |tables: &crate::MemoryTables| {
        tables.rows().map(|(key, value)| (key.to_vec(), value.to_vec())).collect::<Vec<_>>()
    };
    let before = rows(&before);
    let changed = rows(&drives.fixture.tables).into_iter().filter(|row| !before.contains(row));
    assert!(changed.map(|(_, value)| value.len()).sum::<usize>() < 4_000);
    drives.check();
}

#[test]
fn the_right_to_write_is_asked_for_at_the_start_and_at_the_end() {
    let mut drives = Drives::new();
    let (cleo, bob) = (drives.fixture.cleo, drives.fixture.bob);
    let create = |drives: &Drives| {
        Command::Upload(UploadCommand::Create {
            destination: drives.destination("a", None),
            size: 0,
            chunk_size: None,
            chunks: Vec::new(),
            mime_type: None,
            checksum: None,
            client_modified_at: None,
            executable: false,
        })
    };
    let command = create(&drives);
    let refused = drives.fixture.run(cleo, command);
    assert_eq!(refused, Err(Refusal::NotFound(Noun::Share)));
    let command = create(&drives);
    let session = opened(drives.fixture.run(bob, command));
    let (tenant, share) = (drives.fixture.tenant, drives.fixture.share);
    use crate::table::share::{Member, Members};
    let key = (tenant, share, Principal::User(bob));
    let row = table::get::<Members>(&drives.fixture.tables, &key).expect("memory");
    let row = Member { role: node_base::Role::Reader, ..row.expect("bob is a member") };
    table::put::<Members>(&mut drives.fixture.tables, &key, &row).expect("memory");
    assert!(!drives.fixture.mask(bob, None).contains(Permission::Create));
    let upload = session.upload;
    let complete = UploadCommand::Complete { upload, computed: None, declared: None };
    let refused = drives.fixture.run(bob, Command::Upload(complete));
    assert_eq!(refused, Err(Refusal::PermissionDenied));
}

#[test]
fn what_can_never_fit_is_refused_before_a_byte_is_sent() {
    use crate::table::quota::{Quota, QuotaTarget, Quotas};
    let mut drives = Drives::new();
    let target = QuotaTarget::Share(drives.fixture.tenant, drives.fixture.share);
    let quota = Quota::hard(node_base::QuotaId::from(1), 1_000);
    table::put::<Quotas>(&mut drives.fixture.tables, &(target,), &quota).expect("memory");
    let to = drives.destination("a", None);
    assert_eq!(sentence(drives.create(to.clone(), 1_001, None, &[])), "a quota would be passed");
    drives.create(to, 1_000, None, &[]).expect("it fits");
    assert_eq!(size(1), 65_536);
    let chunk = drives.write(1, drives.lease);
    let to = drives.destination("b", None);
    assert!(matches!(
        drives.commit(to, vec![chunk]),
        Err(Refusal::QuotaExceeded { limit_bytes: 1_000, used_bytes: 0, .. })
    ));
    assert!(
        !table::has::<Chunks>(&drives.fixture.tables, &(drives.fixture.tenant, hash(1)))
            .expect("memory")
    );
}

#[test]
fn a_chunk_that_is_needed_is_not_reaped_whatever_the_list_says() {
    let mut drives = Drives::new();
    let chunk = drives.write(1, drives.lease);
    let to = drives.destination("a", None);
    drives.commit(to, vec![chunk]).expect("it is new");
    let stale = (1, drives.fixture.tenant, hash(1));
    table::put::<Condemned>(&mut drives.fixture.tables, &stale, &()).expect("memory");
    assert_eq!(drives.upkeep(Upkeep::Reap { before: u64::MAX, limit: 10 }), 1);
    drives.follow();
    drives.check();
}

#[test]
fn a_copy_of_a_long_file_holds_its_chunks_when_the_file_goes() {
    let mut drives = Drives::new();
    let chunks: Vec<u8> = (0..300).map(|n| [1, 2, 3][n % 3]).collect();
    let session = drives.open("long", &chunks);
    for (index, n) in [(0, 1), (1, 2), (2, 3)] {
        let chunk = drives.write(n, session.writer);
        drives.receive(session.upload, index, chunk).expect("it is wanted");
    }
    drives.complete(session.upload).expect("it is whole");
    let item = ItemId::File(drives.files()[0]);
    let to = Place { share: drives.fixture.share, parent: None };
    let copy = ItemCommand::Copy { item, to, name: Some("copy".to_owned()) };
    drives.item(copy).expect("ann may");
    drives.check();
    drives.item(ItemCommand::Purge { item }).expect("ann may");
    while drives.upkeep(Upkeep::Release { limit: 100 }) > 0 {}
    assert_eq!(drives.upkeep(Upkeep::Reap { before: u64::MAX, limit: 10 }), 0);
    drives.check();
    let copy = ItemId::File(drives.files()[0]);
    drives.item(ItemCommand::Purge { item: copy }).expect("ann may");
    while drives.upkeep(Upkeep::Release { limit: 100 }) > 0 {
        drives.check();
    }
    assert_eq!(drives.upkeep(Upkeep::Reap { before: u64::MAX, limit: 10 }), 3);
    drives.follow();
    drives.check();
    assert_eq!(drives.bytes(), 0);
}

#[test]
fn a_proposal_that_is_applied_twice_leaves_the_session_as_it_is() {
    let mut drives = Drives::new();
    let command = Command::Upload(UploadCommand::Create {
        destination: drives.destination("a", None),
        size: length(&[1, 2]),
        chunk_size: None,
        chunks: declared(&[1, 2]),
        mime_type: None,
        checksum: None,
        client_modified_at: None,
        executable: false,
    });
    let ann = drives.fixture.ann;
    let caller = crate::Caller::User(drives.fixture.caller(ann));
    let proposal = drives.fixture.proposal(caller, command);
    let session = opened(drives.fixture.apply(&proposal));
    let chunk = drives.write(1, session.writer);
    drives.receive(session.upload, 0, chunk).expect("it is wanted");
    assert_eq!(drives.fixture.apply(&proposal), Err(Refusal::AlreadyExists));
    drives.check();
}

#[test]
fn a_file_ends_in_the_share_that_its_folder_was_moved_to() {
    for many in [3, 300] {
        let mut drives = Drives::new();
        let (ann, share) = (drives.fixture.ann, drives.fixture.share);
        let create = ItemCommand::CreateFolder {
            place: Place { share, parent: None },
            name: "folder".to_owned(),
        };
        let Ok(Answer::Item(view)) = drives.item(create) else { panic!("ann may") };
        let ItemId::Folder(folder) = view.id else { panic!("a folder") };
        let chunks: Vec<u8> = (0..many).map(|n| [1, 2, 3][n % 3]).collect();
        let place = Place { share, parent: Some(folder) };
        let to = FileDestination::New { place, name: "a".to_owned() };
        let session = opened(drives.create(to, length(&chunks), None, &chunks));
        for (index, n) in [(0, 1), (1, 2), (2, 3)] {
            let chunk = drives.write(n, session.writer);
            drives.receive(session.upload, index, chunk).expect("it is wanted");
        }
        let other = ShareCommand::Create {
            name: "Other".to_owned(),
            description: String::new(),
            kind: ShareKind::Project,
            owner: Principal::User(ann),
            is_public: false,
            quota_bytes: None,
            settings: ShareSettingsChange::default(),
        };
        let Ok(Answer::Share(other)) = drives.run(Command::Share(other)) else { panic!("ann may") };
        let to = Place { share: other, parent: None };
        let item = ItemId::Folder(folder);
        drives.item(ItemCommand::Move { item, to, name: None }).expect("ann may");
        assert_eq!(file(drives.complete(session.upload)).size, length(&chunks));
        drives.check();
        let told = |share| {
            let (tables, tenant) = (&drives.fixture.tables, drives.fixture.tenant);
            query::chunk::visible(tables, tenant, share, hash(1)).expect("memory").is_some()
        };
        // A long manifest stays counted where it was uploaded.
        assert_eq!((told(share), told(other)), (many > 128, many <= 128));
    }
}

#[test]
fn what_is_missing_of_a_fixed_session_is_found_across_pages_that_are_not_there() {
    let mut drives = Drives::new();
    let chunks = [1; 400];
    let to = drives.destination("a", None);
    let session = opened(drives.create(to, length(&chunks), Some(64 << 10), &[]));
    for index in [150, 399] {
        let chunk = drives.write(1, session.writer);
        drives.receive(session.upload, index, chunk).expect("it fits");
    }
    let status = |from, limit| {
        let who = (drives.fixture.tenant, drives.fixture.ann);
        let (tables, now) = (&drives.fixture.tables, drives.fixture.now);
        let status = query::upload::status(tables, now, who, session.upload, from, limit);
        status.expect("memory").expect("it is ann's")
    };
    let expected: Vec<u64> = (100..150).chain(151..161).collect();
    assert_eq!(status(100, 60).missing, expected);
    assert_eq!(status(397, 60).missing, [397, 398]);
    assert_eq!(status(500, 60).missing, [0; 0]);
    assert_eq!((status(0, 1_000).missing.len(), status(0, 0).received), (398, 2));
}
