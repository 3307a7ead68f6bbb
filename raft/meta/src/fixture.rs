//! A small founded cluster for tests: one tenant, four people, one share.
//!
//! Ann owns the project share `Work`, Bob is a contributor of it, Cleo is not a member, and Root is
//! the tenant's administrator. Everything goes through the real [`apply`].

use node_base::{Duration, IdSeed, NodeId, PartnerId, Role, ShareId, TenantId, Timestamp, UserId};

use crate::apply::apply;
use crate::caller::{Caller, Proposal, Scopes, UserCaller};
use crate::command::Command;
use crate::outcome::Outcome;
use crate::table::cluster::{Cluster, Clusters};
use crate::table::item::ItemId;
use crate::table::people::{
    AdminRole, Partner, Partners, Principal, ProvisioningSource, Standing, Tenant, TenantSettings,
    Tenants, User, UserStatus, Users,
};
use crate::table::share::{
    Member, Members, PrincipalShares, Share, ShareKind, ShareSettings, Shares,
};
use crate::table::{self};
use crate::tables::MemoryTables;

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
        let mut fixture = Self {
            tables: MemoryTables::default(),
            index: 1,
            now: Timestamp::from_millis(1_795_442_709_000),
            partner: PartnerId::from(1),
            tenant: TenantId::from(2),
            ann: UserId::from(11),
            bob: UserId::from(12),
            cleo: UserId::from(13),
            root: UserId::from(14),
            share: ShareId::from(21),
        };
        fixture.found();
        for (user, name, role) in [
            (fixture.ann, "ann", None),
            (fixture.bob, "bob", None),
            (fixture.cleo, "cleo", None),
            (fixture.root, "root", Some(AdminRole::TenantAdmin)),
        ] {
            fixture.seed_user(user, name, role);
        }
        fixture.seed_share();
        fixture
    }

    fn found(&mut self) {
        let (partner, tenant, created_at) = (self.partner, self.tenant, self.now);
        let cluster = Cluster {
            id: 7,
            created_at,
            log_time: self.now,
            first_tenant: Some(tenant),
            cursor_key: [7; 32],
        };
        table::put::<Clusters>(&mut self.tables, &(), &cluster).expect("memory never fails");
        let row = Partner {
            name: "main".to_owned(),
            display_name: "Main".to_owned(),
            standing: Standing::Active,
            created_at,
        };
        table::put::<Partners>(&mut self.tables, &(partner,), &row).expect("memory never fails");
        let row = Tenant {
            partner,
            name: "main".to_owned(),
            display_name: "Main".to_owned(),
            standing: Standing::Active,
            created_at,
            settings: TenantSettings::default(),
        };
        table::put::<Tenants>(&mut self.tables, &(tenant,), &row).expect("memory never fails");
    }

    fn seed_user(&mut self, user: UserId, name: &str, admin_role: Option<AdminRole>) {
        let row = User {
            email: format!("{name}@example.org"),
            name: name.to_owned(),
            display_name: name.to_owned(),
            avatar_url: None,
            status: UserStatus::Active,
            admin_role,
            source: ProvisioningSource::Admin,
            is_service_account: false,
            created_at: self.now,
            last_login_at: None,
            personal_share: None,
            revision: 1,
        };
        table::put::<Users>(&mut self.tables, &(self.tenant, user), &row)
            .expect("memory never fails");
    }

    fn seed_share(&mut self) {
        let (tenant, share, now) = (self.tenant, self.share, self.now);
        let row = Share {
            name: "Work".to_owned(),
            description: String::new(),
            kind: ShareKind::Project,
            owner: Principal::User(self.ann),
            is_public: false,
            trashed: None,
            purging: false,
            settings: ShareSettings::default(),
            created_by: self.ann,
            created_at: now,
            modified_at: now,
            revision: 1,
            incarnation: 1,
        };
        table::put::<Shares>(&mut self.tables, &(tenant, share), &row).expect("memory never fails");
        for (user, role) in [(self.ann, Role::Owner), (self.bob, Role::Contributor)] {
            let (member, added_by) = (Principal::User(user), self.ann);
            let row = Member { role, expires_at: None, added_by, added_at: now };
            table::put::<Members>(&mut self.tables, &(tenant, share, member), &row)
                .expect("memory never fails");
            table::put::<PrincipalShares>(&mut self.tables, &(tenant, member, share), &())
                .expect("memory never fails");
        }
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
        let viewer = crate::access::Viewer::of(&self.tables, self.now, &self.caller(user));
        let viewer = viewer.expect("memory never fails");
        viewer.mask(&self.tables, &chain).expect("memory never fails")
    }
}

#[cfg(test)]
mod tests {
    use super::Fixture;

    #[test]
    fn a_command_of_nobody_in_particular_is_answered() {
        let mut fixture = Fixture::new();
        let command = crate::Command::Upkeep(crate::command::Upkeep::Expire { limit: 0 });
        let _ = fixture.run_node(command);
        assert_eq!(fixture.index, 2);
        assert!(fixture.mask(fixture.ann, None).contains(node_base::Permission::Read));
    }
}
