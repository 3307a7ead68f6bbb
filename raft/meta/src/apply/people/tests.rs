//! People: who may make whom, what an address is good for, and who may speak.

use node_base::{Duration, UserId};

use crate::caller::{Caller, Scopes};
use crate::command::{Command, NewUser, People, TenantSettingsChange};
use crate::fixture::Fixture;
use crate::outcome::{Answer, Noun, Outcome, Refusal};
use crate::query;
use crate::query::people::UserFilter;
use crate::table::acl::Target;
use crate::table::people::{
    AdminRole, DedupScope, Principal, ProvisioningSource, Standing, Tenants, UserStatus,
};
use crate::table::share::{PrincipalShares, ShareKind};
use crate::table::{self};

fn run(fixture: &mut Fixture, user: UserId, command: People) -> Outcome {
    fixture.run(user, Command::People(command))
}

fn run_node(fixture: &mut Fixture, command: People) -> Outcome {
    fixture.run_node(Command::People(command))
}

fn new_user(fixture: &Fixture, email: &str, admin_role: Option<AdminRole>) -> People {
    People::CreateUser(NewUser {
        tenant: fixture.tenant,
        email: email.to_owned(),
        name: "New".to_owned(),
        display_name: "New".to_owned(),
        admin_role,
        source: ProvisioningSource::Admin,
        is_service_account: false,
        subject: None,
        password: None,
    })
}

fn provision(fixture: &mut Fixture, subject: &str, email: &str) -> Outcome {
    let command = People::Provision {
        tenant: fixture.tenant,
        issuer: "https://id".to_owned(),
        subject: subject.to_owned(),
        email: email.to_owned(),
        name: String::new(),
    };
    run_node(fixture, command)
}

fn update(user: UserId) -> (UserId, Option<String>, Option<String>) {
    (user, None, None)
}

fn set_role(user: UserId, role: Option<AdminRole>) -> People {
    let (user, display_name, email) = update(user);
    People::UpdateUser { user, display_name, email, admin_role: Some(role) }
}

#[test]
fn the_first_sight_of_a_subject_makes_user_and_personal_share() {
    let mut fixture = Fixture::new();
    let Ok(Answer::User { user, created: true }) = provision(&mut fixture, "s1", "Dee@x.org")
    else {
        panic!("a user")
    };
    let again = provision(&mut fixture, "s1", "other@x.org");
    assert_eq!(again, Ok(Answer::User { user, created: false }));
    let views = query::share::memberships(&fixture.tables, &fixture.viewer(user)).expect("memory");
    assert_eq!(views.len(), 1);
    assert_eq!(
        (views[0].share.kind, views[0].share.owner),
        (ShareKind::Personal, Principal::User(user))
    );
    assert_eq!(views[0].share.name, "Dee@x.org", "without a name the address stands in");
    let found = query::people::user_by_email(&fixture.tables, fixture.tenant, "dee@X.ORG");
    assert_eq!(found.expect("memory").map(|(id, _)| id), Some(user));
    // The address is that user's: another subject with it is somebody else.
    assert_eq!(provision(&mut fixture, "s2", "DEE@x.org"), Err(Refusal::AlreadyExists));
}

#[test]
fn who_was_entered_by_address_is_met_at_the_first_token() {
    let mut fixture = Fixture::new();
    let root = fixture.root;
    let command = new_user(&fixture, "dee@x.org", None);
    let Ok(Answer::User { user, .. }) = run(&mut fixture, root, command) else { panic!("a user") };
    let met = Ok(Answer::User { user, created: false });
    assert_eq!(provision(&mut fixture, "s1", "Dee@x.org"), met);
    assert_eq!(provision(&mut fixture, "s2", "dee@x.org"), Err(Refusal::AlreadyExists));
    assert_eq!(provision(&mut fixture, "s1", "dee@x.org"), met);
}

#[test]
fn a_suspended_user_is_refused_at_once_and_a_deleted_one_for_good() {
    let mut fixture = Fixture::new();
    let (root, ann) = (fixture.root, fixture.ann);
    let Ok(Answer::User { user, .. }) = provision(&mut fixture, "s1", "dee@x.org") else {
        panic!("a user")
    };
    let favorite = People::SetFavorite { target: Target::Share(fixture.share), favorite: false };
    assert_eq!(run(&mut fixture, user, favorite.clone()), Ok(Answer::Done));
    let suspend = |suspended| People::SetSuspended { user, suspended };
    assert_eq!(run(&mut fixture, ann, suspend(true)), Err(Refusal::RoleMissing));
    assert!(run(&mut fixture, root, suspend(true)).is_ok());
    assert_eq!(run(&mut fixture, user, favorite.clone()), Err(Refusal::Suspended));
    assert_eq!(provision(&mut fixture, "s1", "dee@x.org"), Err(Refusal::Suspended));
    assert!(run(&mut fixture, root, suspend(false)).is_ok());
    assert_eq!(run(&mut fixture, user, favorite.clone()), Ok(Answer::Done));
    assert_eq!(run(&mut fixture, root, People::DeleteUser { user }), Ok(Answer::Done));
    assert_eq!(run(&mut fixture, user, favorite), Err(Refusal::NotFound(Noun::User)));
    assert_eq!(provision(&mut fixture, "s1", "dee@x.org"), Err(Refusal::Suspended));
    assert!(matches!(provision(&mut fixture, "s3", "dee@x.org"), Ok(Answer::User { .. })));
    let all = |status| {
        let filter = UserFilter { search: Some("DEE".to_owned()), status, is_admin: None };
        let page = query::people::users(&fixture.tables, fixture.tenant, &filter, 0, 10);
        page.expect("memory").total
    };
    assert_eq!((all(None), all(Some(UserStatus::Deleted))), (1, 1));
    // Its own share stays its own, for administrators to give away.
    let prefix = (fixture.tenant, Principal::User(user));
    let rows = table::all::<PrincipalShares>(&fixture.tables, &prefix).expect("memory");
    assert_eq!(rows.len(), 1);
}

#[test]
fn addresses_are_one_persons_however_they_are_written() {
    let mut fixture = Fixture::new();
    let (root, ann, bob) = (fixture.root, fixture.ann, fixture.bob);
    let taken = new_user(&fixture, "ANN@example.org", None);
    assert_eq!(run(&mut fixture, root, taken), Err(Refusal::AlreadyExists));
    let set = |user, email: &str| People::UpdateUser {
        user,
        display_name: None,
        email: Some(email.to_owned()),
        admin_role: None,
    };
    assert_eq!(run(&mut fixture, root, set(bob, "Ann@Example.org")), Err(Refusal::AlreadyExists));
    assert!(run(&mut fixture, root, set(ann, "Ann@Example.org")).is_ok());
    assert!(run(&mut fixture, root, set(ann, "lee@example.org")).is_ok());
    assert!(run(&mut fixture, root, set(bob, "ann@example.org")).is_ok(), "it is free again");
    assert!(matches!(run(&mut fixture, root, set(bob, "nowhere")), Err(Refusal::Invalid { .. })));
}

#[test]
fn a_role_needs_a_scope_and_no_role_is_given_above_ones_own() {
    let mut fixture = Fixture::new();
    let (root, ann, bob) = (fixture.root, fixture.ann, fixture.bob);
    let promote = set_role(ann, Some(AdminRole::TenantAdmin));
    assert_eq!(run(&mut fixture, bob, promote.clone()), Err(Refusal::RoleMissing));
    let mut caller = fixture.caller(root);
    caller.scopes = Scopes::DEFAULT;
    let outcome = fixture.run_as(Caller::User(caller), Command::People(promote.clone()));
    assert_eq!(outcome, Err(Refusal::ScopeMissing(crate::Scope::TenantAdmin)));
    assert!(run(&mut fixture, root, promote).is_ok());
    let super_admin = set_role(bob, Some(AdminRole::SuperAdmin));
    assert_eq!(run(&mut fixture, root, super_admin.clone()), Err(Refusal::RoleMissing));
    assert!(run_node(&mut fixture, super_admin).is_ok());
    let demote = set_role(bob, None);
    assert_eq!(run(&mut fixture, root, demote), Err(Refusal::RoleMissing));
    let suspend = People::SetSuspended { user: root, suspended: true };
    assert!(matches!(run(&mut fixture, root, suspend), Err(Refusal::Invalid { .. })));
}

#[test]
fn a_suspended_tenant_is_silent() {
    let mut fixture = Fixture::new();
    let (tenant, root) = (fixture.tenant, fixture.root);
    let set = |standing, settings| People::UpdateTenant {
        tenant,
        display_name: None,
        standing,
        settings,
    };
    let broken = TenantSettingsChange { max_versions: Some(Some(0)), ..Default::default() };
    let outcome = run(&mut fixture, root, set(None, Some(broken)));
    assert!(matches!(outcome, Err(Refusal::Invalid { .. })));
    let suspend = set(Some(Standing::Suspended), None);
    assert_eq!(run(&mut fixture, root, suspend.clone()), Err(Refusal::RoleMissing));
    assert!(run_node(&mut fixture, suspend).is_ok());
    assert_eq!(run(&mut fixture, root, set(None, None)), Err(Refusal::Suspended));
}

/// Two administrators who saw the same settings change different ones: neither is lost.
#[test]
fn settings_that_are_not_named_stay_as_they_are() {
    let mut fixture = Fixture::new();
    let (tenant, root) = (fixture.tenant, fixture.root);
    let mut set = |change| {
        let (display_name, standing, settings) = (None, None, Some(change));
        let update = People::UpdateTenant { tenant, display_name, standing, settings };
        run(&mut fixture, root, update).expect("root may");
        let row = table::get::<Tenants>(&fixture.tables, &(tenant,)).expect("memory");
        let settings = row.expect("it is there").settings;
        (settings.trash_retention_days, settings.max_versions, settings.dedup_scope)
    };
    let nothing = TenantSettingsChange::default;
    let days = TenantSettingsChange { trash_retention_days: Some(7), ..nothing() };
    assert_eq!(set(days), (7, None, DedupScope::Share));
    let versions = TenantSettingsChange { max_versions: Some(Some(3)), ..nothing() };
    assert_eq!(set(versions), (7, Some(3), DedupScope::Share));
    let scope = TenantSettingsChange { dedup_scope: Some(DedupScope::Tenant), ..nothing() };
    assert_eq!(set(scope), (7, Some(3), DedupScope::Tenant));
    let clear = TenantSettingsChange { max_versions: Some(None), ..nothing() };
    assert_eq!(set(clear), (7, None, DedupScope::Tenant));
}

#[test]
fn nodes_and_users_keep_to_what_is_theirs() {
    let mut fixture = Fixture::new();
    let root = fixture.root;
    let group = People::CreateGroup { name: "crew".to_owned(), description: String::new() };
    assert_eq!(run_node(&mut fixture, group), Err(Refusal::WrongCaller));
    let seen = People::Provision {
        tenant: fixture.tenant,
        issuer: "i".to_owned(),
        subject: "s".to_owned(),
        email: "x@y".to_owned(),
        name: "x".to_owned(),
    };
    assert_eq!(run(&mut fixture, root, seen), Err(Refusal::WrongCaller));
    let expire = Command::Upkeep(crate::command::Upkeep::Expire { limit: 1 });
    assert_eq!(fixture.run(root, expire), Err(Refusal::WrongCaller));
}

#[test]
fn events_are_chained_and_a_changed_one_shows() {
    use crate::query::audit_log::{EventFilter, Verified, events, verify};
    use crate::table::audit::Events;
    let mut fixture = Fixture::new();
    fixture.pass(Duration::from_secs(1));
    let (root, tenant, since) = (fixture.root, fixture.tenant, fixture.now);
    let group = People::CreateGroup { name: "crew".to_owned(), description: String::new() };
    assert!(run(&mut fixture, root, group).is_ok());
    let filter = EventFilter {
        action: Some("group".to_owned()),
        user: Some(root),
        from: Some(since),
        ..EventFilter::default()
    };
    let page = events(&fixture.tables, tenant, &filter, 0, 10).expect("memory");
    assert_eq!((page.total, page.items[0].1.action.as_str()), (1, "group.created"));
    let check = |fixture: &Fixture, limit| {
        verify(&fixture.tables, tenant, 0, [0; 32], limit).expect("memory")
    };
    let Verified::Whole { events } = check(&fixture, 1_000) else { panic!("a whole chain") };
    assert!(events > 3);
    let Verified::Upto { number: 2, head } = check(&fixture, 2) else { panic!("a part of it") };
    let rest = verify(&fixture.tables, tenant, 2, head, 1_000).expect("memory");
    assert_eq!(rest, Verified::Whole { events });
    let whole = fixture.tables.clone();
    let row = table::get::<Events>(&whole, &(tenant, 2)).expect("memory").expect("there");
    let altered = crate::table::audit::Event { action: "nothing.happened".to_owned(), ..row };
    table::put::<Events>(&mut fixture.tables, &(tenant, 2), &altered).expect("memory");
    assert_eq!(check(&fixture, 1_000), Verified::Broken { number: 2 });
    table::delete::<Events>(&mut fixture.tables, &(tenant, 2)).expect("memory");
    assert_eq!(check(&fixture, 1_000), Verified::Broken { number: 2 });
    fixture.tables = whole;
    table::delete::<Events>(&mut fixture.tables, &(tenant, events)).expect("memory");
    assert_eq!(check(&fixture, 1_000), Verified::Broken { number: events });
}
