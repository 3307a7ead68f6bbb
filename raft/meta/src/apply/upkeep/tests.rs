//! Upkeep, told as short stories.

use node_base::{
    DeviceId, Duration, FileId, Generation, NodeId, PermissionSet, Profile, Sha256, TenantId,
    Timestamp, UserId, sha256,
};

use crate::caller::{Caller, Remember};
use crate::command::{
    Command, FileDestination, ItemCommand, NewChunk, NewContent, NewFile, People,
    PermissionCommand, Place, Recoded, ShareCommand, SyncCommand, Upkeep, UploadCommand, Written,
};
use crate::fixture::Fixture;
use crate::outcome::{Answer, Outcome, Refusal};
use crate::query::chunk::{self, Standing};
use crate::query::{audit, quota, upkeep};
use crate::table;
use crate::table::acl::{AppliesTo, Effect, Lists, Named, Target, Trustee};
use crate::table::audit::{Events, Outcomes, OutcomesByAge};
use crate::table::chunk::{Chunks, Reaped};
use crate::table::device::{DeviceCursors, Devices, Preference, Preferences, ShareDevices};
use crate::table::identity::{Grant, GrantKind, Grants, GrantsByAge};
use crate::table::item::{Body, Checksum, ItemId, Items, Unverified, Versions};
use crate::table::people::{FavoredBy, Favorites};
use crate::table::quota::QuotaTarget;
use crate::table::share::{Members, PrincipalShares, PurgedShares, Shares};
use crate::table::upload::{Writer, Writers};

const LEASE: u64 = 1;

struct Story {
    fixture: Fixture,
}

impl Story {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let lease = Writer::Lease { node: NodeId(1), opened_at: fixture.now };
        table::put::<Writers>(&mut fixture.tables, &(LEASE,), &lease).expect("memory");
        Self { fixture }
    }

    fn upkeep(&mut self, command: Upkeep) -> u32 {
        match self.fixture.run_node(Command::Upkeep(command)) {
            Ok(Answer::Worked(rows)) => rows,
            other => panic!("upkeep is never refused: {other:?}"),
        }
    }

    fn chunk(n: u8) -> NewChunk {
        let generation = Generation::new(LEASE, u64::from(n)).expect("few are written");
        let profile = Profile { data: 1, parity: 0 };
        let written = Some(Written { generation, stored_size: 5, profile });
        NewChunk { hash: sha256(&[n]), size: 10, written }
    }

    fn commit(&mut self, name: &str, chunks: &[u8]) -> FileId {
        let chunks: Vec<NewChunk> = chunks.iter().map(|n| Self::chunk(*n)).collect();
        let place = Place { share: self.fixture.share, parent: None };
        let destination = FileDestination::New { place, name: name.to_owned() };
        let content = NewContent {
            size: chunks.len() as u64 * 10,
            checksum: None,
            mime_type: None,
            client_modified_at: None,
            executable: false,
            chunks,
        };
        let command = ItemCommand::CommitFile { file: NewFile { destination, content } };
        match self.fixture.run(self.fixture.ann, Command::Item(command)) {
            Ok(Answer::Committed { view, .. }) => match view.id {
                ItemId::File(file) => file,
                ItemId::Folder(_) => panic!("a file"),
            },
            other => panic!("ann may: {other:?}"),
        }
    }

    fn purge(&mut self, file: FileId) -> Outcome {
        let command = ItemCommand::Purge { item: ItemId::File(file) };
        self.fixture.run(self.fixture.ann, Command::Item(command))
    }

    /// Bob and Ann like the share and the folder in it, Cleo is named there, and Bob's device
    /// follows.
    fn dwell_on(&mut self, item: ItemId) {
        let (share, ann, bob) = (self.fixture.share, self.fixture.ann, self.fixture.bob);
        for (user, target) in [ann, bob].into_iter().flat_map(|user| {
            [Target::Share(share), Target::Item(item)].map(|target| (user, target))
        }) {
            let like = People::SetFavorite { target, favorite: true };
            self.fixture.run(user, Command::People(like)).expect("seen");
        }
        let name = PermissionCommand::AddEntry {
            target: Target::Item(item),
            trustee: Trustee::User(self.fixture.cleo),
            effect: Effect::Allow,
            permissions: PermissionSet::READ,
            applies_to: AppliesTo::ThisAndChildren,
        };
        self.fixture.run(ann, Command::Permission(name)).expect("ann may");
        let device: DeviceId = "dev_laptop".parse().expect("it is an id");
        let register = SyncCommand::RegisterDevice {
            device: device.clone(),
            name: "laptop".to_owned(),
            platform: "linux".to_owned(),
            client_version: "1".to_owned(),
        };
        let preference = Preference::Selected(Vec::new());
        let prefer = SyncCommand::SetPreference { device: device.clone(), share, preference };
        let key = (self.fixture.tenant, share);
        let row = table::get::<Shares>(&self.fixture.tables, &key).expect("memory");
        let incarnation = row.expect("a share").incarnation;
        let told = SyncCommand::Acknowledge { device, share, incarnation, position: 1 };
        for command in [register, prefer, told] {
            self.fixture.run(bob, Command::Sync(command)).expect("bob's own device");
        }
    }

    /// How many rows say something of what [`Story::dwell_on`] speaks of.
    fn mentions(&self) -> [usize; 6] {
        let (tables, key) = (&self.fixture.tables, (self.fixture.tenant,));
        [
            table::all::<Favorites>(tables, &key).expect("memory").len(),
            table::all::<FavoredBy>(tables, &key).expect("memory").len(),
            table::all::<Named>(tables, &key).expect("memory").len(),
            table::all::<DeviceCursors>(tables, &key).expect("memory").len(),
            table::all::<Preferences>(tables, &key).expect("memory").len(),
            table::all::<ShareDevices>(tables, &key).expect("memory").len(),
        ]
    }

    fn standing(&self, n: u8) -> Standing {
        let generation = Generation::new(LEASE, u64::from(n)).expect("few are written");
        let tables = &self.fixture.tables;
        chunk::standing(tables, self.fixture.tenant, sha256(&[n]), generation).expect("memory")
    }

    fn pending(&self) -> upkeep::Pending {
        upkeep::work_pending(&self.fixture.tables, self.fixture.now).expect("memory")
    }

    fn check(&self) {
        let drifts = audit::recount(&self.fixture.tables, self.fixture.tenant).expect("memory");
        assert_eq!(drifts, []);
    }
}

#[test]
fn only_nodes_do_upkeep() {
    let mut story = Story::new();
    let (root, command) = (story.fixture.root, Command::Upkeep(Upkeep::Expire { limit: 1 }));
    assert_eq!(story.fixture.run(root, command), Err(Refusal::WrongCaller));
}

#[test]
fn a_chunk_goes_from_written_to_deleted_in_steps_that_can_be_seen() {
    let mut story = Story::new();
    assert_eq!(story.standing(1), Standing::Written);
    let file = story.commit("a", &[1]);
    assert_eq!(story.standing(1), Standing::Recorded);
    let tenant = QuotaTarget::Tenant(story.fixture.tenant);
    let physical = |story: &Story| {
        quota::counted(&story.fixture.tables, tenant).expect("memory").physical_bytes
    };
    assert_eq!(physical(&story), 5);
    assert_eq!(story.pending(), upkeep::Pending::default());
    story.purge(file).expect("ann may");
    let at = story.fixture.index;
    assert_eq!(story.pending().condemned, Some(at));
    let condemned = chunk::condemned(&story.fixture.tables, at + 1, 10).expect("memory");
    assert_eq!(condemned.iter().map(|one| one.hash).collect::<Vec<_>>(), [sha256(&[1])]);
    assert_eq!(chunk::condemned(&story.fixture.tables, at, 10).expect("memory"), []);
    assert_eq!(story.upkeep(Upkeep::Reap { before: at, limit: 10 }), 0);
    assert_eq!((story.standing(1), physical(&story)), (Standing::Recorded, 5));
    assert_eq!(story.upkeep(Upkeep::Reap { before: at + 1, limit: 10 }), 1);
    assert_eq!((story.standing(1), physical(&story)), (Standing::Orphaned, 0));
    let reaped = story.fixture.index;
    assert_eq!(story.pending().reaped, Some(reaped));
    let departing = |story: &Story, behind| {
        chunk::reaped(&story.fixture.tables, behind, u64::MAX, 10).expect("memory").len()
    };
    assert_eq!((departing(&story, reaped - 1), departing(&story, reaped)), (1, 0));
    assert_eq!(story.upkeep(Upkeep::ForgetReaped { up_to: reaped - 1 }), 0);
    assert_eq!(story.upkeep(Upkeep::ForgetReaped { up_to: reaped }), 1);
    assert_eq!(table::all::<Reaped>(&story.fixture.tables, &()).expect("memory"), []);
    story.check();
}

#[test]
fn a_chunk_is_coded_anew_once_and_only_from_the_copy_that_stands() {
    let mut story = Story::new();
    let file = story.commit("a", &[1, 2]);
    let tenant = story.fixture.tenant;
    let striped = Profile { data: 2, parity: 1 };
    let recoded = |from: u64, to: u64| {
        let generation = |n| Generation::new(LEASE, n).expect("few are written");
        let written = Written { generation: generation(to), stored_size: 9, profile: striped };
        Recoded { hash: sha256(&[1]), from: generation(from), written }
    };
    let recode = |story: &mut Story, chunk: Recoded| {
        let command = Upkeep::Recode { tenant, chunks: vec![chunk] };
        match story.fixture.run_node(Command::Upkeep(command)) {
            Ok(Answer::Received { superfluous }) => superfluous.is_empty(),
            other => panic!("it is not refused: {other:?}"),
        }
    };
    let coding = chunk::Coding { wanted: striped, is_short: false };
    let wrong = |story: &Story| {
        let page = chunk::wrongly_coded(&story.fixture.tables, coding, None, 10).expect("memory");
        page.chunks.len()
    };
    assert_eq!(wrong(&story), 2);
    assert!(!recode(&mut story, recoded(7, 50)), "that copy does not stand");
    assert!(recode(&mut story, recoded(1, 51)));
    assert!(recode(&mut story, recoded(1, 51)), "a command may come twice");
    assert!(!recode(&mut story, recoded(1, 52)), "somebody was first");
    assert_eq!(wrong(&story), 1);
    let standing = |number: u64| {
        let generation = Generation::new(LEASE, number).expect("few are written");
        chunk::standing(&story.fixture.tables, tenant, sha256(&[1]), generation).expect("memory")
    };
    assert_eq!(standing(51), Standing::Recorded);
    assert_eq!([1, 50, 52].map(standing), [Standing::Orphaned; 3]);
    let at = story.fixture.index;
    let reaped = chunk::reaped(&story.fixture.tables, 0, at, 10).expect("memory");
    let reaped: Vec<_> = reaped.iter().map(|chunk| chunk.generation).collect();
    assert_eq!(reaped, [Generation::new(LEASE, 1).expect("few are written")]);
    let coded = chunk::coded(&story.fixture.tables).expect("memory");
    assert_eq!(coded.into_values().collect::<Vec<_>>(), [1, 1]);
    story.check();
    story.purge(file).expect("ann may");
    assert!(!recode(&mut story, recoded(51, 53)), "it is condemned");
    story.upkeep(Upkeep::Reap { before: u64::MAX, limit: 10 });
    assert_eq!(chunk::coded(&story.fixture.tables).expect("memory").len(), 0);
    story.check();
}

#[test]
fn what_is_condemned_after_a_hold_began_waits_until_it_ends() {
    let mut story = Story::new();
    let (first, second) = (story.commit("a", &[1]), story.commit("b", &[2]));
    story.purge(first).expect("ann may");
    let hold = |story: &mut Story, hold: Option<u64>, seconds: u32| {
        let command = Upkeep::Hold { hold, seconds };
        match story.fixture.run_node(Command::Upkeep(command)) {
            Ok(Answer::Lease(number)) => Some(number),
            other => {
                assert_eq!(other, Err(Refusal::WriterClosed));
                None
            }
        }
    };
    let held = hold(&mut story, None, 60);
    story.purge(second).expect("ann may");
    let reap = Upkeep::Reap { before: u64::MAX, limit: 10 };
    assert!(story.pending().condemned.is_some());
    assert_eq!(story.upkeep(reap.clone()), 1, "what was condemned before");
    assert_eq!((story.standing(1), story.standing(2)), (Standing::Orphaned, Standing::Recorded));
    assert_eq!(story.pending().condemned, None, "nothing to be done");
    story.fixture.pass(Duration::from_secs(50));
    assert_eq!(hold(&mut story, held, 60), held);
    story.fixture.pass(Duration::from_secs(50));
    assert_eq!(story.upkeep(reap.clone()), 0);
    story.fixture.pass(Duration::from_secs(11));
    assert_eq!(hold(&mut story, held, 60), None, "it has ended");
    assert!(story.pending().expire && story.pending().condemned.is_some());
    assert_eq!(story.upkeep(reap), 1);
    story.upkeep(Upkeep::Expire { limit: 10 });
    assert!(!story.pending().expire);
    story.check();
}

#[test]
fn while_a_node_is_out_only_what_is_less_safe_is_coded_anew() {
    let profile = |data, parity| Profile { data, parity };
    for (wanted, is_short, of, wrong) in [
        (profile(2, 1), false, profile(1, 0), true),
        (profile(2, 1), true, profile(1, 0), true),
        (profile(1, 1), true, profile(2, 1), false),
        (profile(1, 1), false, profile(2, 1), true),
        (profile(1, 0), true, profile(2, 1), false),
        (profile(2, 1), false, profile(2, 1), false),
    ] {
        assert_eq!(chunk::Coding { wanted, is_short }.is_wrong(of), wrong, "{of} for {wanted}");
    }
}

#[test]
fn a_condemned_chunk_that_is_needed_again_stays() {
    let mut story = Story::new();
    let file = story.commit("a", &[1]);
    story.purge(file).expect("ann may");
    story.commit("b", &[1]);
    assert_eq!(story.pending().condemned, None);
    assert_eq!(story.upkeep(Upkeep::Reap { before: u64::MAX, limit: 10 }), 0);
    assert_eq!(story.standing(1), Standing::Recorded);
    story.check();
}

#[test]
fn the_bytes_say_whether_a_client_told_the_right_checksum() {
    let checksum_after = |before: Checksum| {
        let mut story = Story::new();
        let file = story.commit("a", &[1, 2]);
        let (tenant, tables) = (story.fixture.tenant, &mut story.fixture.tables);
        let row = table::get::<Versions>(tables, &(tenant, file, 1)).expect("memory");
        let mut row = row.expect("it was committed");
        row.checksum = before;
        table::put::<Versions>(tables, &(tenant, file, 1), &row).expect("memory");
        let (number, sha256) = (1, sha256(b"bytes"));
        table::put::<Unverified>(tables, &(tenant, file, 1), &()).expect("memory");
        let version = row.id;
        let other = Upkeep::SetChecksum { tenant, file, number, version: 0.into(), sha256 };
        assert_eq!(story.upkeep(other), 0);
        let set = Upkeep::SetChecksum { tenant, file, number, version, sha256 };
        assert_eq!(story.upkeep(set.clone()), 1);
        assert_eq!(story.upkeep(set), 0);
        let gone = Upkeep::SetChecksum { tenant, file, number: 2, version, sha256 };
        assert_eq!(story.upkeep(gone), 0);
        let left = upkeep::unverified(&story.fixture.tables, None, 10).expect("memory");
        assert_eq!(left, []);
        let tables = &story.fixture.tables;
        let key = (tenant, ItemId::File(file));
        let item = table::get::<Items>(tables, &key).expect("memory").expect("it is there");
        let Body::File(body) = item.body else { panic!("a file") };
        let events = table::all::<Events>(tables, &(tenant,)).expect("memory").into_iter();
        let told = events.filter(|(_, event)| event.action == "file.checksum_mismatch").count();
        (body.checksum, told)
    };
    let (right, wrong) = (sha256(b"bytes"), sha256(b"others"));
    assert_eq!(checksum_after(Checksum::Unknown), (Checksum::Verified(right), 0));
    assert_eq!(checksum_after(Checksum::Pending(right)), (Checksum::Verified(right), 0));
    assert_eq!(checksum_after(Checksum::Pending(wrong)), (Checksum::Mismatch(right), 1));
}

#[test]
fn outcomes_and_grants_are_forgotten_when_their_time_is_over() {
    let mut story = Story::new();
    let (tenant, ann) = (story.fixture.tenant, story.fixture.ann);
    let caller = Caller::User(story.fixture.caller(ann));
    let place = Place { share: story.fixture.share, parent: None };
    let create = ItemCommand::CreateFolder { place, name: "folder".to_owned() };
    let mut proposal = story.fixture.proposal(caller, Command::Item(create));
    proposal.remember = Some(Remember { key: "k".to_owned(), request: sha256(b"r") });
    story.fixture.apply(&proposal).expect("ann may");
    let secret: Sha256 = sha256(b"secret");
    let grant = |user: Option<(TenantId, UserId)>, expires_at: Timestamp| Grant {
        kind: GrantKind::Session,
        client_id: "web".to_owned(),
        scope: String::new(),
        expires_at,
        user,
    };
    let at = story.fixture.now.after(Duration::from_secs(3600));
    let row = grant(Some((tenant, ann)), at);
    table::put::<Grants>(&mut story.fixture.tables, &(secret,), &row).expect("memory");
    table::put::<GrantsByAge>(&mut story.fixture.tables, &(at, secret), &()).expect("memory");
    let counts = |story: &Story| {
        let tables = &story.fixture.tables;
        (
            table::all::<Outcomes>(tables, &()).expect("memory").len(),
            table::all::<OutcomesByAge>(tables, &()).expect("memory").len(),
            table::all::<Grants>(tables, &()).expect("memory").len(),
            table::all::<GrantsByAge>(tables, &()).expect("memory").len(),
        )
    };
    assert_eq!(story.upkeep(Upkeep::Expire { limit: 10 }), 0);
    assert_eq!(counts(&story), (1, 1, 1, 1));
    story.fixture.pass(Duration::from_secs(3600));
    assert!(story.pending().expire);
    assert_eq!(story.upkeep(Upkeep::Expire { limit: 10 }), 1);
    assert_eq!(counts(&story), (1, 1, 0, 0));
    story.fixture.pass(Duration::from_secs(23 * 3600));
    assert_eq!(story.upkeep(Upkeep::Expire { limit: 10 }), 1);
    assert_eq!(counts(&story), (0, 0, 0, 0));
    assert!(!story.pending().expire);
}

#[test]
fn a_purged_share_goes_with_all_that_is_in_it_and_said_of_it() {
    let mut story = Story::new();
    let (tenant, share, ann) = (story.fixture.tenant, story.fixture.share, story.fixture.ann);
    let trashed = story.commit("trashed", &[1, 2]);
    story.commit("live", &[2, 3]);
    let place = Place { share, parent: None };
    let folder = Command::Item(ItemCommand::CreateFolder { place, name: "f".to_owned() });
    let Ok(Answer::Item(view)) = story.fixture.run(ann, folder) else { panic!("ann may") };
    let ItemId::Folder(folder) = view.id else { panic!("a folder") };
    let place = Place { share, parent: Some(folder) };
    let below = Command::Item(ItemCommand::CreateFolder { place, name: "g".to_owned() });
    story.fixture.run(ann, below).expect("ann may");
    let delete = ItemCommand::Delete { item: ItemId::File(trashed) };
    story.fixture.run(ann, Command::Item(delete)).expect("ann may");
    story.dwell_on(view.id);
    assert_eq!(story.mentions(), [4, 4, 1, 1, 1, 1]);
    let open = UploadCommand::Create {
        destination: FileDestination::New { place, name: "late".to_owned() },
        size: 0,
        chunk_size: None,
        chunks: Vec::new(),
        mime_type: None,
        checksum: None,
        client_modified_at: None,
        executable: false,
    };
    story.fixture.run(ann, Command::Upload(open)).expect("ann may");
    for command in [ShareCommand::Delete { share }, ShareCommand::Purge { share }] {
        story.fixture.run(ann, Command::Share(command)).expect("ann owns it");
    }
    assert!(story.pending().release);
    let mut steps = 0;
    while story.pending().release {
        assert!(story.upkeep(Upkeep::Release { limit: 3 }) <= 4);
        story.check();
        steps += 1;
        assert!(steps < 100, "it ends");
    }
    let tables = &story.fixture.tables;
    assert!(!table::has::<Shares>(tables, &(tenant, share)).expect("memory"));
    assert_eq!(table::all::<Items>(tables, &(tenant,)).expect("memory"), []);
    assert_eq!(table::all::<Members>(tables, &(tenant,)).expect("memory"), []);
    assert_eq!(table::all::<PrincipalShares>(tables, &(tenant,)).expect("memory"), []);
    assert_eq!(table::all::<PurgedShares>(tables, &()).expect("memory"), []);
    assert_eq!(story.mentions(), [0; 6]);
    story.fixture.pass(Duration::from_secs(25 * 3600));
    story.upkeep(Upkeep::Expire { limit: 10 });
    while story.upkeep(Upkeep::Release { limit: 3 }) > 0 {}
    assert_eq!(story.upkeep(Upkeep::Reap { before: u64::MAX, limit: 10 }), 3);
    assert_eq!(table::all::<Chunks>(&story.fixture.tables, &()).expect("memory"), []);
    story.check();
}

#[test]
fn a_purged_folder_is_nobodys_favorite_and_names_nobody() {
    let mut story = Story::new();
    let (ann, place) = (story.fixture.ann, Place { share: story.fixture.share, parent: None });
    let folder = Command::Item(ItemCommand::CreateFolder { place, name: "f".to_owned() });
    let Ok(Answer::Item(view)) = story.fixture.run(ann, folder) else { panic!("ann may") };
    story.dwell_on(view.id);
    let purge = Command::Item(ItemCommand::Purge { item: view.id });
    story.fixture.run(ann, purge).expect("ann may");
    // Two favorites and the folder itself: one row a step.
    for rows in [1, 1, 1, 0] {
        assert_eq!(story.upkeep(Upkeep::Release { limit: 1 }), rows);
        story.check();
    }
    // What is said of the share stays.
    assert_eq!(story.mentions(), [2, 2, 0, 1, 1, 1]);
}

#[test]
fn what_is_said_of_shares_goes_with_its_device_and_its_user() {
    let mut story = Story::new();
    let (ann, bob, root) = (story.fixture.ann, story.fixture.bob, story.fixture.root);
    let place = Place { share: story.fixture.share, parent: None };
    let folder = Command::Item(ItemCommand::CreateFolder { place, name: "f".to_owned() });
    let Ok(Answer::Item(view)) = story.fixture.run(ann, folder) else { panic!("ann may") };
    story.dwell_on(view.id);
    let device: DeviceId = "dev_laptop".parse().expect("it is an id");
    let (share, preference) = (place.share, Preference::All);
    let all = SyncCommand::SetPreference { device: device.clone(), share, preference };
    story.fixture.run(bob, Command::Sync(all)).expect("bob's own device");
    assert_eq!(story.mentions(), [4, 4, 1, 1, 0, 1]);
    let remove = SyncCommand::RemoveDevice { device };
    story.fixture.run(bob, Command::Sync(remove)).expect("bob's own device");
    assert_eq!(story.mentions(), [4, 4, 1, 0, 0, 0]);
    let delete = People::DeleteUser { user: bob };
    story.fixture.run(root, Command::People(delete)).expect("root may");
    assert_eq!(story.mentions(), [2, 2, 1, 0, 0, 0]);
    story.check();
}

/// Cleo is named in lists, one of them in a share that goes for good; Bob in one, and his device
/// follows the share. Both are deleted.
#[test]
fn a_deleted_user_leaves_no_device_and_is_named_nowhere() {
    let mut story = Story::new();
    let (ann, bob, cleo, root) =
        (story.fixture.ann, story.fixture.bob, story.fixture.cleo, story.fixture.root);
    let place = Place { share: story.fixture.share, parent: None };
    let gone = Place { share: story.fixture.project(ann, "Gone"), parent: None };
    let [kept, trashed, purged, away] = [place, place, place, gone].map(|place| {
        let name = story.fixture.index.to_string();
        let make = Command::Item(ItemCommand::CreateFolder { place, name });
        let Ok(Answer::Item(view)) = story.fixture.run(ann, make) else { panic!("ann may") };
        view.id
    });
    story.dwell_on(kept);
    let entry = |target, user| PermissionCommand::AddEntry {
        target,
        trustee: Trustee::User(user),
        effect: Effect::Deny,
        permissions: PermissionSet::READ,
        applies_to: AppliesTo::ThisAndChildren,
    };
    for command in [
        entry(Target::Item(kept), bob),
        entry(Target::Item(trashed), cleo),
        entry(Target::Item(purged), cleo),
        entry(Target::Item(away), cleo),
        entry(Target::Share(place.share), cleo),
    ] {
        story.fixture.run(ann, Command::Permission(command)).expect("ann may");
    }
    for command in [ItemCommand::Delete { item: trashed }, ItemCommand::Purge { item: purged }] {
        story.fixture.run(ann, Command::Item(command)).expect("ann may");
    }
    let share = gone.share;
    for command in [ShareCommand::Delete { share }, ShareCommand::Purge { share }] {
        story.fixture.run(ann, Command::Share(command)).expect("ann owns it");
    }
    assert_eq!(story.mentions(), [4, 4, 6, 1, 1, 1]);
    for user in [cleo, bob] {
        story.fixture.run(root, Command::People(People::DeleteUser { user })).expect("root may");
    }
    story.check();
    assert!(story.pending().release);
    let mut steps = 0;
    while story.pending().release {
        assert!(story.upkeep(Upkeep::Release { limit: 10 }) <= 12);
        story.check();
        steps += 1;
        assert!(steps < 20, "it ends");
    }
    assert_eq!(story.mentions(), [2, 2, 0, 0, 0, 0]);
    let (tables, tenant) = (&story.fixture.tables, story.fixture.tenant);
    assert_eq!(table::all::<Devices>(tables, &(tenant,)).expect("memory"), []);
    assert_eq!(table::all::<Lists>(tables, &(tenant,)).expect("memory"), []);
    // Who is not told of a list of its own is not looked at closer either.
    let item = table::get::<Items>(tables, &(tenant, kept)).expect("memory").expect("it is there");
    assert!(!item.has_own_entries);
}
