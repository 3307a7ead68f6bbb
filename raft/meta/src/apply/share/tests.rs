//! Shares, members and invitations, by the real commands.

use node_base::{Duration, Role, ShareId, UserId};

use crate::command::{
    Command, ItemCommand, People, PermissionCommand, Place, ShareCommand, ShareSettingsChange,
    TenantSettingsChange,
};
use crate::fixture::Fixture;
use crate::outcome::{Answer, Expired, Noun, Outcome, Refusal};
use crate::query;
use crate::table::acl::{AppliesTo, Effect, Target, Trustee};
use crate::table::people::Principal;
use crate::table::share::{Members, PrincipalShares, ShareKind, Shares};
use crate::table::{self};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn run(fixture: &mut Fixture, user: UserId, command: ShareCommand) -> Outcome {
    fixture.run(user, Command::Share(command))
}

fn create(kind: ShareKind, owner: UserId) -> ShareCommand {
    ShareCommand::Create {
        name: "New".to_owned(),
        description: String::new(),
        kind,
        owner: Principal::User(owner),
        is_public: false,
        quota_bytes: None,
        settings: ShareSettingsChange::default(),
    }
}

fn update(share: ShareId, is_public: bool) -> ShareCommand {
    ShareCommand::Update {
        share,
        name: None,
        description: None,
        is_public: Some(is_public),
        settings: None,
        quota_bytes: None,
    }
}

fn visible(fixture: &Fixture, user: UserId) -> Vec<String> {
    let page = query::share::visible(&fixture.tables, &fixture.viewer(user), false, 0, 10);
    page.expect("memory").items.into_iter().map(|view| view.share.name).collect()
}

/// Each membership is found from both sides.
fn assert_mirrored(fixture: &Fixture) {
    let members = table::all::<Members>(&fixture.tables, &()).expect("memory");
    let shares = table::all::<PrincipalShares>(&fixture.tables, &()).expect("memory");
    let mut mirrored: Vec<_> = members.iter().map(|((t, s, p), _)| (*t, *p, *s)).collect();
    mirrored.sort_unstable();
    assert_eq!(mirrored, shares.into_iter().map(|(key, ())| key).collect::<Vec<_>>());
}

#[test]
fn who_may_make_which_share() {
    let mut fixture = Fixture::new();
    let (ann, bob, root) = (fixture.ann, fixture.bob, fixture.root);
    assert!(run(&mut fixture, ann, create(ShareKind::Project, ann)).is_ok());
    let for_bob = run(&mut fixture, ann, create(ShareKind::Project, bob));
    assert!(matches!(for_bob, Err(Refusal::Invalid { .. })));
    let central = create(ShareKind::Central, bob);
    assert_eq!(run(&mut fixture, ann, central.clone()), Err(Refusal::RoleMissing));
    assert!(run(&mut fixture, root, central).is_ok());
    let personal = run(&mut fixture, root, create(ShareKind::Personal, ann));
    assert!(matches!(personal, Err(Refusal::Invalid { .. })));
    let stranger = run(&mut fixture, root, create(ShareKind::Project, UserId::from(9)));
    assert!(matches!(stranger, Err(Refusal::Invalid { .. })));
    assert_eq!(visible(&fixture, bob), ["Work", "New"]);
    assert_eq!(visible(&fixture, root).len(), 3);
    assert_mirrored(&fixture);
}

#[test]
fn a_public_share_is_seen_by_all_and_changed_by_few() {
    let mut fixture = Fixture::new();
    let (ann, cleo, share) = (fixture.ann, fixture.cleo, fixture.share);
    assert_eq!(visible(&fixture, cleo), [] as [&str; 0]);
    let not_there: Outcome = Err(Refusal::NotFound(Noun::Share));
    assert_eq!(run(&mut fixture, cleo, update(share, true)), not_there);
    assert!(run(&mut fixture, ann, update(share, true)).is_ok());
    assert_eq!(visible(&fixture, cleo), ["Work"]);
    assert_eq!(run(&mut fixture, cleo, update(share, false)), Err(Refusal::PermissionDenied));
    let members = query::share::members(&fixture.tables, &fixture.viewer(cleo), share, 0, 10);
    assert_eq!(members.expect("memory"), Err(Refusal::PermissionDenied));
    assert!(run(&mut fixture, ann, update(share, false)).is_ok());
    assert_eq!(visible(&fixture, cleo), [] as [&str; 0]);
}

#[test]
fn members_come_change_and_go() {
    let mut fixture = Fixture::new();
    let (ann, bob, cleo, share) = (fixture.ann, fixture.bob, fixture.cleo, fixture.share);
    let who = Principal::User(cleo);
    let add =
        |role, expires_at| ShareCommand::AddMember { share, principal: who, role, expires_at };
    assert_eq!(run(&mut fixture, bob, add(Role::Reader, None)), Err(Refusal::PermissionDenied));
    for (role, end) in [(Role::Owner, None), (Role::Reader, Some(fixture.now))] {
        let outcome = run(&mut fixture, ann, add(role, end));
        assert!(matches!(outcome, Err(Refusal::Invalid { .. })), "{outcome:?}");
    }
    let end = fixture.now.after(DAY);
    assert_eq!(run(&mut fixture, ann, add(Role::Reader, Some(end))), Ok(Answer::Done));
    assert_eq!(run(&mut fixture, ann, add(Role::Admin, None)), Err(Refusal::AlreadyExists));
    assert_eq!(visible(&fixture, cleo), ["Work"]);
    fixture.pass(DAY);
    assert_eq!(visible(&fixture, cleo), [] as [&str; 0], "it has expired");
    assert_eq!(run(&mut fixture, ann, add(Role::Admin, None)), Ok(Answer::Done));
    let remove = |principal| ShareCommand::RemoveMember { share, principal };
    let owner = run(&mut fixture, cleo, remove(Principal::User(ann)));
    assert!(matches!(owner, Err(Refusal::Invalid { .. })), "the owner's entry stays");
    assert_eq!(run(&mut fixture, bob, remove(who)), Err(Refusal::PermissionDenied));
    assert_eq!(run(&mut fixture, bob, remove(Principal::User(bob))), Ok(Answer::Done));
    assert_eq!(visible(&fixture, bob), [] as [&str; 0], "everybody may leave");
    assert_eq!(run(&mut fixture, ann, remove(who)), Ok(Answer::Done));
    assert_eq!(run(&mut fixture, ann, remove(who)), Err(Refusal::NotFound(Noun::Member)));
    assert_mirrored(&fixture);
}

#[test]
fn a_share_goes_to_the_trash_and_for_good() {
    let mut fixture = Fixture::new();
    let (ann, bob, root, share) = (fixture.ann, fixture.bob, fixture.root, fixture.share);
    let purge = ShareCommand::Purge { share };
    assert!(matches!(run(&mut fixture, ann, purge.clone()), Err(Refusal::Invalid { .. })));
    let delete = ShareCommand::Delete { share };
    assert_eq!(run(&mut fixture, bob, delete.clone()), Err(Refusal::OwnerOnly));
    assert!(run(&mut fixture, ann, delete).is_ok());
    assert_eq!(visible(&fixture, bob), [] as [&str; 0]);
    assert_eq!(run(&mut fixture, ann, update(share, true)), Err(Refusal::Trashed));
    assert!(run(&mut fixture, root, ShareCommand::Restore { share }).is_ok());
    assert_eq!(visible(&fixture, bob), ["Work"]);
    assert!(run(&mut fixture, root, ShareCommand::Delete { share }).is_ok());
    assert_eq!(run(&mut fixture, ann, purge), Ok(Answer::Done));
    let gone: Outcome = Err(Refusal::NotFound(Noun::Share));
    assert_eq!(run(&mut fixture, ann, ShareCommand::Restore { share }), gone);
}

fn invite(fixture: &mut Fixture, email: &str) -> Outcome {
    let (ann, share) = (fixture.ann, fixture.share);
    let (email, role, message) = (email.to_owned(), Role::Contributor, None);
    run(fixture, ann, ShareCommand::Invite { share, email, role, message, days: 7 })
}

#[test]
fn an_invitation_is_answered_once_by_whom_it_is_for() {
    let mut fixture = Fixture::new();
    let (bob, cleo, share) = (fixture.bob, fixture.cleo, fixture.share);
    assert_eq!(invite(&mut fixture, "bob@example.org"), Err(Refusal::AlreadyExists));
    let Ok(Answer::Invitation { invitation, .. }) = invite(&mut fixture, "CLEO@example.org") else {
        panic!("an invitation")
    };
    assert_eq!(invite(&mut fixture, "cleo@example.org"), Err(Refusal::AlreadyExists));
    let mine = query::share::my_invitations(&fixture.tables, &fixture.viewer(cleo));
    assert_eq!(mine.expect("memory")[0].share_name, "Work");
    let answer = |accept| ShareCommand::AnswerInvitation { invitation, accept };
    let unknown: Outcome = Err(Refusal::NotFound(Noun::Invitation));
    assert_eq!(run(&mut fixture, bob, answer(true)), unknown);
    assert_eq!(run(&mut fixture, cleo, answer(true)), Ok(Answer::Invitation { share, invitation }));
    assert_eq!(run(&mut fixture, cleo, answer(true)), Err(Refusal::AlreadyExists));
    assert_eq!(visible(&fixture, cleo), ["Work"]);
    assert_mirrored(&fixture);
}

#[test]
fn an_invitation_expires_is_sent_anew_and_revoked() {
    let mut fixture = Fixture::new();
    let (ann, cleo, share) = (fixture.ann, fixture.cleo, fixture.share);
    let Ok(Answer::Invitation { invitation, .. }) = invite(&mut fixture, "cleo@example.org") else {
        panic!("an invitation")
    };
    fixture.pass(7 * DAY);
    let answer = |accept| ShareCommand::AnswerInvitation { invitation, accept };
    let late: Outcome = Err(Refusal::Expired(Expired::Invitation));
    assert_eq!(run(&mut fixture, cleo, answer(true)), late);
    let resend = ShareCommand::ResendInvitation { share, invitation };
    assert!(run(&mut fixture, ann, resend).is_ok());
    fixture.pass(6 * DAY);
    let revoke = ShareCommand::RevokeInvitation { share, invitation };
    assert_eq!(run(&mut fixture, ann, revoke), Ok(Answer::Done));
    let unknown: Outcome = Err(Refusal::NotFound(Noun::Invitation));
    assert_eq!(run(&mut fixture, cleo, answer(true)), unknown);
    let Ok(Answer::Invitation { invitation, .. }) = invite(&mut fixture, "cleo@example.org") else {
        panic!("an invitation")
    };
    let decline = ShareCommand::AnswerInvitation { invitation, accept: false };
    assert!(run(&mut fixture, cleo, decline).is_ok());
    assert_eq!(visible(&fixture, cleo), [] as [&str; 0]);
}

#[test]
fn what_is_shared_below_a_closed_root_is_found() {
    let mut fixture = Fixture::new();
    let (ann, cleo, share) = (fixture.ann, fixture.cleo, fixture.share);
    let mut parent = None;
    for name in ["a", "b", "c"] {
        let create =
            ItemCommand::CreateFolder { place: Place { share, parent }, name: name.into() };
        let Ok(Answer::Item(view)) = fixture.run(ann, Command::Item(create)) else {
            panic!("a folder")
        };
        let crate::table::item::ItemId::Folder(folder) = view.id else { panic!("a folder") };
        parent = Some(folder);
        let permissions = node_base::PermissionSet::READ;
        let applies_to = match name {
            "a" => AppliesTo::ChildrenOnly,
            _ => AppliesTo::ThisAndChildren,
        };
        let (target, trustee, effect) = (Target::Item(view.id), Trustee::User(cleo), Effect::Allow);
        let open = PermissionCommand::AddEntry { target, trustee, effect, permissions, applies_to };
        assert!(fixture.run(ann, Command::Permission(open)).is_ok());
    }
    let items = |fixture: &Fixture, user| {
        let page = query::share::shared_items(&fixture.tables, &fixture.viewer(user), 0, 10);
        page.expect("memory").items.len()
    };
    assert_eq!(items(&fixture, cleo), 1, "b, for c lies in it and a is closed");
    assert_eq!(items(&fixture, ann), 0, "nothing is closed to the owner");
    assert_eq!(visible(&fixture, cleo), [] as [&str; 0]);
    let search = |user| {
        let viewer = fixture.viewer(user);
        query::people::search_principals(&fixture.tables, &viewer, "AN", (true, true), 10)
    };
    assert_eq!(search(ann).expect("memory").map(|found| found.len()), Ok(1));
    assert_eq!(search(cleo).expect("memory"), Err(Refusal::PermissionDenied));
    let favorite = People::SetFavorite { target: Target::Share(share), favorite: true };
    let outcome = fixture.run(cleo, Command::People(favorite));
    assert_eq!(outcome, Err(Refusal::NotFound(Noun::Share)));
}

/// Two who saw the same settings change different ones: neither is lost. What the tenant has become
/// tighter than does not stand in the way of another change.
#[test]
fn settings_that_are_not_named_stay_as_they_are() {
    let mut fixture = Fixture::new();
    let (ann, root, tenant, share) = (fixture.ann, fixture.root, fixture.tenant, fixture.share);
    let set = |fixture: &mut Fixture, change| {
        let update = match update(share, false) {
            ShareCommand::Update { share, name, description, is_public, quota_bytes, .. } => {
                let settings = Some(change);
                ShareCommand::Update { share, name, description, is_public, settings, quota_bytes }
            }
            other => other,
        };
        run(fixture, ann, update)
    };
    let nothing = ShareSettingsChange::default;
    let days = |days| ShareSettingsChange { version_retention_days: Some(days), ..nothing() };
    let versions = |most| ShareSettingsChange { max_versions: Some(most), ..nothing() };
    let kept = |fixture: &Fixture| {
        let row = table::get::<Shares>(&fixture.tables, &(tenant, share)).expect("memory");
        let settings = row.expect("it is there").settings;
        (settings.version_retention_days, settings.max_versions)
    };
    for (change, expected) in [
        (days(Some(300)), (Some(300), None)),
        (versions(Some(5)), (Some(300), Some(5))),
        (days(None), (None, Some(5))),
        (days(Some(200)), (Some(200), Some(5))),
    ] {
        set(&mut fixture, change).expect("ann may");
        assert_eq!(kept(&fixture), expected);
    }
    let tighter = TenantSettingsChange { version_retention_days: Some(100), ..Default::default() };
    let (display_name, standing, settings) = (None, None, Some(tighter));
    let tenant = People::UpdateTenant { tenant, display_name, standing, settings };
    fixture.run(root, Command::People(tenant)).expect("root may");
    assert!(matches!(set(&mut fixture, days(Some(200))), Err(Refusal::Invalid { .. })));
    set(&mut fixture, versions(None)).expect("ann may");
    assert_eq!(kept(&fixture), (Some(200), None));
}
