//! Limits at every level, told as short stories.

use node_base::{
    Duration, FolderId, Generation, GroupId, NodeId, Profile, Sha256, ShareId, TenantId, sha256,
};

use crate::command::{
    Command, FileDestination, ItemCommand, NewChunk, NewContent, NewFile, Place, QuotaCommand,
    Written,
};
use crate::fixture::Fixture;
use crate::outcome::{Answer, Noun, Outcome, QuotaLevel, Refusal};
use crate::query::audit::{Counter, Drift, Subject};
use crate::query::{audit, quota};
use crate::table;
use crate::table::audit::Events;
use crate::table::item::ItemId;
use crate::table::people::{AdminRole, Group, Groups, Principal, Users};
use crate::table::quota::{LimitType, Quota, QuotaTarget, Usage, Usages};
use crate::table::share::Shares;
use crate::table::upload::{Writer, Writers};

const LEASE: u64 = 1;

struct Story {
    fixture: Fixture,
    written: u64,
}

impl Story {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let lease = Writer::Lease { node: NodeId(1), opened_at: fixture.now };
        table::put::<Writers>(&mut fixture.tables, &(LEASE,), &lease).expect("memory");
        Self { fixture, written: 0 }
    }

    fn chunk(&mut self, size: u32) -> NewChunk {
        self.written += 1;
        let hash: Sha256 = sha256(&self.written.to_be_bytes());
        let generation = Generation::new(LEASE, self.written).expect("few are written");
        let profile = Profile { data: 1, parity: 0 };
        NewChunk { hash, size, written: Some(Written { generation, stored_size: size, profile }) }
    }

    fn commit(&mut self, destination: FileDestination, size: u32) -> Outcome {
        let chunks = vec![self.chunk(size)];
        let content = NewContent {
            size: u64::from(size),
            checksum: None,
            mime_type: None,
            client_modified_at: None,
            executable: false,
            chunks,
        };
        let file = NewFile { destination, content };
        let command = Command::Item(ItemCommand::CommitFile { file });
        let outcome = self.fixture.run(self.fixture.ann, command);
        let drifts = audit::recount(&self.fixture.tables, self.fixture.tenant).expect("memory");
        assert_eq!(drifts, []);
        outcome
    }

    fn put(&mut self, name: &str, size: u32) -> Outcome {
        let place = Place { share: self.fixture.share, parent: None };
        self.commit(FileDestination::New { place, name: name.to_owned() }, size)
    }

    fn share(&self) -> QuotaTarget {
        QuotaTarget::Share(self.fixture.tenant, self.fixture.share)
    }

    fn limit(&mut self, target: QuotaTarget, limit_bytes: u64, limit_type: LimitType) -> Outcome {
        let root = self.fixture.root;
        self.fixture.run(
            root,
            Command::Quota(QuotaCommand::Set {
                target,
                limit_bytes,
                limit_type,
                warning_thresholds: [70, 85, 95],
                grace_period_days: 7,
                grace_extra_percent: 10,
            }),
        )
    }

    fn promote(&mut self, role: AdminRole) {
        let key = (self.fixture.tenant, self.fixture.root);
        let row = table::get::<Users>(&self.fixture.tables, &key).expect("memory");
        let mut row = row.expect("root is there");
        row.admin_role = Some(role);
        table::put::<Users>(&mut self.fixture.tables, &key, &row).expect("memory");
    }

    fn quota(&self, target: QuotaTarget) -> Quota {
        quota::quota(&self.fixture.tables, target).expect("memory").expect("it is set")
    }

    fn used(&self, target: QuotaTarget) -> u64 {
        quota::counted(&self.fixture.tables, target).expect("memory").used_bytes
    }

    fn warnings(&self) -> Vec<String> {
        let events = table::all::<Events>(&self.fixture.tables, &(self.fixture.tenant,));
        let events = events.expect("memory").into_iter().map(|(_, event)| event);
        let raised = events.filter(|event| event.action == "quota.threshold_reached");
        raised.map(|event| event.payload[0].1.clone()).collect()
    }
}

#[test]
fn a_hard_limit_of_any_level_stops_the_write_that_would_pass_it() {
    let mut story = Story::new();
    story.promote(AdminRole::SuperAdmin);
    let (tenant, group) = (story.fixture.tenant, GroupId::from(31));
    let row =
        Group { name: "all".to_owned(), description: String::new(), created_at: story.fixture.now };
    table::put::<Groups>(&mut story.fixture.tables, &(tenant, group), &row).expect("memory");
    let key = (tenant, story.fixture.share);
    let row = table::get::<Shares>(&story.fixture.tables, &key).expect("memory");
    let mut row = row.expect("the share is there");
    row.owner = Principal::Group(group);
    table::put::<Shares>(&mut story.fixture.tables, &key, &row).expect("memory");
    let targets = [
        (story.share(), QuotaLevel::Share),
        (QuotaTarget::User(tenant, story.fixture.ann), QuotaLevel::User),
        (QuotaTarget::Group(tenant, group), QuotaLevel::Group),
        (QuotaTarget::Tenant(tenant), QuotaLevel::Tenant),
        (QuotaTarget::Partner(story.fixture.partner), QuotaLevel::Partner),
    ];
    story.put("first", 60).expect("there is room");
    for (target, level) in targets {
        story.limit(target, 100, LimitType::Hard).expect("root may");
        let refused = Refusal::QuotaExceeded { level, limit_bytes: 100, used_bytes: 60 };
        assert_eq!(story.put("second", 41), Err(refused));
        let remove = Command::Quota(QuotaCommand::Remove { target });
        assert_eq!(story.fixture.run(story.fixture.root, remove), Ok(Answer::Done));
    }
    story.limit(targets[3].0, 100, LimitType::Hard).expect("root may");
    story.put("second", 40).expect("it fills the limit to the byte");
    let bytes = targets.map(|(target, _)| story.used(target));
    assert_eq!(bytes, [100; 5]);
}

#[test]
fn a_soft_limit_gives_way_for_its_grace_and_no_longer() {
    let mut story = Story::new();
    let target = story.share();
    story.limit(target, 1_000, LimitType::Soft).expect("root may");
    story.put("a", 1_000).expect("it is the limit");
    assert_eq!(story.quota(target).grace_started_at, None);
    assert!(story.put("b", 101).is_err());
    story.put("b", 50).expect("it is within the grace");
    let started = story.quota(target).grace_started_at;
    assert_eq!(started, Some(story.fixture.now));
    story.fixture.pass(Duration::from_secs(7 * 24 * 3600 - 1));
    story.put("c", 50).expect("it is the last second");
    assert_eq!(story.quota(target).grace_started_at, started);
    story.fixture.pass(Duration::from_secs(1));
    assert!(story.put("d", 1).is_err());
    story.limit(target, 1_100, LimitType::Soft).expect("root may");
    assert_eq!(story.quota(target).grace_started_at, None);
    story.put("d", 1).expect("a new grace begins");
}

#[test]
fn an_exempt_target_is_counted_and_not_stopped() {
    let mut story = Story::new();
    let target = story.share();
    story.limit(target, 10, LimitType::Hard).expect("root may");
    let exempt = |exempt| {
        let reason = Some("audit".to_owned());
        Command::Quota(QuotaCommand::SetExempt { target, exempt, reason })
    };
    story.fixture.run(story.fixture.root, exempt(true)).expect("root may");
    story.put("a", 100).expect("it is exempt");
    assert_eq!(story.used(target), 100);
    story.fixture.run(story.fixture.root, exempt(false)).expect("root may");
    assert_eq!(story.quota(target).exempt_reason, None);
    assert!(story.put("b", 1).is_err());
}

#[test]
fn each_threshold_is_told_once_each_time_it_is_reached() {
    let mut story = Story::new();
    story.limit(story.share(), 1_000, LimitType::Hard).expect("root may");
    story.put("a", 699).expect("there is room");
    assert_eq!(story.warnings(), Vec::<String>::new());
    story.put("b", 151).expect("there is room");
    story.put("c", 1).expect("there is room");
    assert_eq!(story.warnings(), ["70", "85"]);
    assert!(story.put("d", 500).is_err());
    assert_eq!(story.warnings(), ["70", "85"]);
}

#[test]
fn limits_are_set_by_who_administers_the_level() {
    let mut story = Story::new();
    let tenant = story.fixture.tenant;
    let set = |story: &mut Story, target| story.limit(target, 10, LimitType::Hard);
    let share = story.share();
    assert_eq!(set(&mut story, share), Ok(Answer::Done));
    assert_eq!(set(&mut story, QuotaTarget::Tenant(tenant)), Err(Refusal::RoleMissing));
    let partner = QuotaTarget::Partner(story.fixture.partner);
    assert_eq!(set(&mut story, partner), Err(Refusal::RoleMissing));
    story.promote(AdminRole::PartnerAdmin);
    assert_eq!(set(&mut story, QuotaTarget::Tenant(tenant)), Ok(Answer::Done));
    assert_eq!(set(&mut story, partner), Err(Refusal::RoleMissing));
    story.promote(AdminRole::SuperAdmin);
    assert_eq!(set(&mut story, partner), Ok(Answer::Done));
    let foreign = QuotaTarget::Share(TenantId::from(77), story.fixture.share);
    assert_eq!(set(&mut story, foreign), Err(Refusal::NotFound(Noun::Share)));
    let unknown = QuotaTarget::Share(tenant, ShareId::from(77));
    assert_eq!(set(&mut story, unknown), Err(Refusal::NotFound(Noun::Share)));
    let unset = QuotaTarget::User(tenant, story.fixture.ann);
    let remove = Command::Quota(QuotaCommand::Remove { target: unset });
    let root = story.fixture.root;
    assert_eq!(story.fixture.run(root, remove.clone()), Err(Refusal::NotFound(Noun::Quota)));
    let ann = story.fixture.ann;
    assert_eq!(story.fixture.run(ann, remove), Err(Refusal::RoleMissing));
}

#[test]
fn trash_is_shown_apart_and_counts_until_it_is_gone() {
    let mut story = Story::new();
    let (ann, share) = (story.fixture.ann, story.fixture.share);
    let place = |parent: Option<FolderId>| Place { share, parent };
    let create = ItemCommand::CreateFolder { place: place(None), name: "folder".to_owned() };
    let Ok(Answer::Item(view)) = story.fixture.run(ann, Command::Item(create)) else {
        panic!("ann may")
    };
    let ItemId::Folder(folder) = view.id else { panic!("a folder") };
    let to = FileDestination::New { place: place(Some(folder)), name: "below".to_owned() };
    let Ok(Answer::Committed { view: below, .. }) = story.commit(to, 100) else {
        panic!("there is room")
    };
    let ItemId::File(file) = below.id else { panic!("a file") };
    story.commit(FileDestination::Replace { file, base: None }, 20).expect("it is the next");
    story.put("beside", 7).expect("there is room");
    let delete = Command::Item(ItemCommand::Delete { item: view.id });
    story.fixture.run(ann, delete).expect("ann may");
    let targets = [
        story.share(),
        QuotaTarget::User(story.fixture.tenant, ann),
        QuotaTarget::Tenant(story.fixture.tenant),
        QuotaTarget::Partner(story.fixture.partner),
    ];
    for target in targets {
        let used = quota::usage(&story.fixture.tables, target).expect("memory");
        let found = (used.usage.used_bytes, used.usage.version_bytes, used.trash_bytes);
        assert_eq!(found, (127, 100, 120), "{target:?}");
        assert_eq!((used.usage.file_count, used.usage.folder_count), (2, 1));
    }
    let purge = Command::Item(ItemCommand::Purge { item: view.id });
    story.fixture.run(ann, purge).expect("ann may");
    let release = crate::command::Upkeep::Release { limit: 100 };
    story.fixture.run_node(Command::Upkeep(release)).expect("nodes may");
    let used = quota::usage(&story.fixture.tables, story.share()).expect("memory");
    assert_eq!((used.usage.used_bytes, used.trash_bytes), (7, 0));
    assert_eq!(used.usage.folder_count, 0);
}

#[test]
fn a_recount_says_what_is_kept_wrong_and_by_how_much() {
    let mut story = Story::new();
    story.put("a", 100).expect("there is room");
    let (tables, tenant) = (&mut story.fixture.tables, story.fixture.tenant);
    let target = QuotaTarget::User(tenant, story.fixture.ann);
    let usage = quota::counted(tables, target).expect("memory");
    let usage = Usage { used_bytes: 90, ..usage };
    table::put::<Usages>(tables, &(target,), &usage).expect("memory");
    let drift =
        Drift { subject: Subject::Usage(target, Counter::UsedBytes), stored: 90, counted: 100 };
    assert_eq!(audit::recount(tables, tenant).expect("memory"), [drift]);
}
