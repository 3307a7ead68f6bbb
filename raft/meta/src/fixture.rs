//! A small founded cluster for tests: one tenant, four people, one share.
//!
//! Ann owns the project share `Work`, Bob is a contributor of it, Cleo is not a member, and Root is
//! the tenant's administrator. Everything goes through the real [`apply`].

use node_base::{Duration, IdSeed, NodeId, PartnerId, Role, ShareId, TenantId, Timestamp, UserId};

use crate::access::Viewer;
use crate::apply::apply;
use crate::caller::{Caller, Proposal, Scopes, UserCaller};
use crate::command::{Command, NewUser, People, ShareCommand, ShareSettingsChange, Upkeep};
use crate::outcome::{Answer, Outcome};
use crate::table::item::ItemId;
use crate::table::people::{AdminRole, Principal, ProvisioningSource, Tenants};
use crate::table::share::ShareKind;
use crate::table::{self};
use crate::tables::MemoryTables;

const CURSOR_KEY: [u8; 32] = [7; 32];
const NODE: Caller = Caller::Node(NodeId(1));

pub(crate) struct Fixture {
    pub(crate) tables: MemoryTables,
    /// The log index of the last command.
    pub(crate) index: u64,
    /// What the next command brings as its time.
    pub(crate) now: Timestamp,
    pub(crate) partner: PartnerId,
    pub(crate) tenant: TenantId,
    pub(crate) ann: UserId,
    pub(crate) bob: UserId,
    pub(crate) cleo: UserId,
    pub(crate) root: UserId,
    /// Ann's project share.
    pub(crate) share: ShareId,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let nobody = UserId::from(0);
        let mut fixture = Self {
            tables: MemoryTables::default(),
            index: 0,
            now: Timestamp::from_millis(1_795_442_709_000),
            partner: PartnerId::from(0),
            tenant: TenantId::from(0),
            ann: nobody,
            bob: nobody,
            cleo: nobody,
            root: nobody,
            share: ShareId::from(0),
        };
        fixture.found();
        fixture.ann = fixture.user("ann", None);
        fixture.bob = fixture.user("bob", None);
        fixture.cleo = fixture.user("cleo", None);
        fixture.root = fixture.user("root", Some(AdminRole::TenantAdmin));
        fixture.share = fixture.project(fixture.ann, "Work");
        fixture.join(fixture.share, fixture.bob, Role::Contributor);
        fixture
    }

    fn found(&mut self) {
        let found = Upkeep::Found {
            cluster: 7,
            tenant_name: "main".to_owned(),
            tenant_display_name: "Main".to_owned(),
            cursor_key: CURSOR_KEY,
        };
        let Ok(Answer::Tenant(tenant)) = self.run_node(Command::Upkeep(found)) else {
            panic!("a tenant")
        };
        let row = table::get::<Tenants>(&self.tables, &(tenant,)).expect("memory never fails");
        (self.tenant, self.partner) = (tenant, row.expect("it was founded").partner);
    }

    /// A new user, `NAME@example.org`, without a personal share.
    pub(crate) fn user(&mut self, name: &str, admin_role: Option<AdminRole>) -> UserId {
        let new = NewUser {
            tenant: self.tenant,
            email: format!("{name}@example.org"),
            name: name.to_owned(),
            display_name: name.to_owned(),
            admin_role,
            source: ProvisioningSource::Admin,
            is_service_account: true,
            subject: None,
            password: None,
        };
        match self.run_node(Command::People(People::CreateUser(new))) {
            Ok(Answer::User { user, .. }) => user,
            other => panic!("a user, not {other:?}"),
        }
    }

    /// A new project share of this user.
    pub(crate) fn project(&mut self, owner: UserId, name: &str) -> ShareId {
        let create = ShareCommand::Create {
            name: name.to_owned(),
            description: String::new(),
            kind: ShareKind::Project,
            owner: Principal::User(owner),
            is_public: false,
            quota_bytes: None,
            settings: ShareSettingsChange::default(),
        };
        match self.run(owner, Command::Share(create)) {
            Ok(Answer::Share(share)) => share,
            other => panic!("a share, not {other:?}"),
        }
    }

    /// Makes a user a member of a share of Ann's.
    pub(crate) fn join(&mut self, share: ShareId, user: UserId, role: Role) {
        let (principal, expires_at) = (Principal::User(user), None);
        let add = ShareCommand::AddMember { share, principal, role, expires_at };
        assert_eq!(self.run(self.ann, Command::Share(add)), Ok(Answer::Done));
    }

    /// The user with every scope.
    pub(crate) fn caller(&self, user: UserId) -> UserCaller {
        UserCaller {
            tenant: self.tenant,
            user,
            scopes: Scopes::ALL,
            service_account: None,
            ip: None,
            user_agent: None,
        }
    }

    pub(crate) fn viewer(&self, user: UserId) -> Viewer {
        Viewer::of(&self.tables, self.now, &self.caller(user)).expect("memory never fails")
    }

    /// Applies a command of a user who holds every scope, at the next log index.
    pub(crate) fn run(&mut self, user: UserId, command: Command) -> Outcome {
        self.run_as(Caller::User(self.caller(user)), command)
    }

    /// Applies a command of the node.
    pub(crate) fn run_node(&mut self, command: Command) -> Outcome {
        self.run_as(NODE, command)
    }

    pub(crate) fn run_as(&mut self, caller: Caller, command: Command) -> Outcome {
        let proposal = self.proposal(caller, command);
        self.apply(&proposal)
    }

    /// A proposal with ids that no other of this fixture has.
    pub(crate) fn proposal(&self, caller: Caller, command: Command) -> Proposal {
        let seed = IdSeed::new(self.now, u128::from(self.index + 1) << 32);
        Proposal { at: self.now, seed, caller, remember: None, if_revision: None, command }
    }

    pub(crate) fn apply(&mut self, proposal: &Proposal) -> Outcome {
        self.index += 1;
        apply(&mut self.tables, self.index, proposal).expect("memory never fails")
    }

    /// Lets time pass before the next command.
    pub(crate) fn pass(&mut self, span: Duration) {
        self.now = self.now.after(span);
    }

    /// What the user may do with the item, or with the root of Ann's share.
    pub(crate) fn mask(&self, user: UserId, item: Option<ItemId>) -> node_base::PermissionSet {
        let chain = match item {
            Some(item) => crate::chain::Chain::of(&self.tables, self.tenant, item),
            None => crate::chain::Chain::root(&self.tables, self.tenant, self.share),
        };
        let chain = chain.expect("memory never fails").expect("it is there");
        self.viewer(user).mask(&self.tables, &chain).expect("memory never fails")
    }
}
