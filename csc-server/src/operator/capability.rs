//! Who may do what: one table, in which every command stands. No role signs, authorises, sees a secret, or sets a PIN: there is no
//! capability for it.

use super::role::{Role, Roles};

/// How many persons an act takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persons {
    /// Who has the role, alone.
    One,
    /// A second one approves first.
    Two,
}

/// Whose a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An operator's who has the capability.
    Capability(Capability),
    /// Every operator's, for himself.
    Operator,
    /// The holder's: PIN, PUK and codes open it, and no operator does.
    Holder,
    /// Whoever's: what is public, what the machine does, and what comes before a session.
    Anybody,
}

macro_rules! capabilities {
    ($($capability:ident $name:literal $commands:tt by [$($does:ident)+] with [$($approves:ident)*];)*) => {
        /// Something that an operator may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is its commands, in the table")]
        pub enum Capability {
            $($capability,)*
        }

        impl Capability {
            /// Every capability.
            pub const ALL: &[Self] = &[$(Self::$capability),*];

            /// The name in messages, the database and the audit log.
            pub fn name(self) -> &'static str {
                match self { $(Self::$capability => $name,)* }
            }

            /// The commands that take it; with an option where only the command with that option does.
            pub fn commands(self) -> &'static [&'static str] {
                match self { $(Self::$capability => &$commands,)* }
            }

            fn does(self) -> &'static [Role] {
                match self { $(Self::$capability => &[$(Role::$does),+],)* }
            }

            fn approves(self) -> &'static [Role] {
                match self { $(Self::$capability => &[$(Role::$approves),*],)* }
            }
        }
    };
}

// Capability, its name, its commands, the roles that have it, and the roles that approve it where it takes two (SC-73, SC-75).
capabilities! {
    InitSlots "init-slots" ["slot init"] by [SecurityOfficer] with [SecurityOfficer];
    RotateMasterKeys "rotate-master-keys" ["slot rotate"] by [SecurityOfficer] with [SecurityOfficer];
    DestroyMasterKeys "destroy-master-keys" ["slot destroy"] by [SecurityOfficer] with [SecurityOfficer];
    EndService "end-service" ["terminate"] by [SecurityOfficer] with [SecurityOfficer];
    ReadKeyUsage "read-key-usage" ["slot rotation", "slot record"] by [SecurityOfficer SystemOperator] with [];
    ChangePolicy "change-policy" ["policy set"] by [SecurityOfficer] with [SecurityOfficer];
    CreateOperator "create-operator" ["operator add"] by [SecurityOfficer] with [SecurityOfficer];
    ResetOperator "reset-operator" ["operator reset"] by [SecurityOfficer] with [SecurityOfficer];
    GrantRole "grant-role" ["operator grant"] by [SecurityOfficer] with [SecurityOfficer];
    RemoveRole "remove-role" ["operator remove"] by [SecurityOfficer] with [SecurityOfficer];
    ReadOperators "read-operators" ["operator list"] by [SecurityOfficer Auditor] with [];
    EnrolHolder "enrol-holder" ["holder add"] by [RaOfficer] with [];
    EnrolFactor "enrol-factor" ["otp add", "otp list", "otp import", "otp assign", "otp resync", "otp unlock"] by [RaOfficer] with [];
    EnrolCredential "enrol-credential" ["credential add"] by [RaOfficer] with [];
    RegisterClient "register-client" ["client add", "client change", "client show", "client link"] by [RaOfficer] with [];
    BlockHolder "block-holder" ["holder block", "holder unblock"] by [RaOfficer] with [];
    SuspendCredential "suspend-credential" ["credential suspend"] by [RaOfficer] with [];
    ReactivateCredential "reactivate-credential" ["credential reactivate"] by [RaOfficer] with [];
    RevokeCredential "revoke-credential" ["credential revoke"] by [RaOfficer] with [];
    SuspendAll "suspend-all" ["credential suspend-all"] by [RaOfficer SecurityOfficer] with [RaOfficer SecurityOfficer];
    RevokeAll "revoke-all" ["credential revoke-all"] by [RaOfficer SecurityOfficer] with [RaOfficer SecurityOfficer];
    DestroyExpired "destroy-expired" ["credential destroy-expired"] by [SystemOperator] with [];
    ReadHistory "read-history" ["history", "audit proof"] by [RaOfficer Auditor] with [];
    VerifyAudit "verify-audit" ["audit verify"] by [Auditor SystemOperator] with [];
    ReadAudit "read-audit" ["audit export"] by [Auditor] with [];
    ReadPerson "read-person" ["audit export --holder", "audit export --credential"] by [Auditor] with [Auditor SecurityOfficer];
}

/// The commands that take no capability.
const FREE: [(Access, &[&str]); 3] = [
    (
        Access::Operator,
        &[
            "operator password",
            "approval list",
            "approval approve",
            "approval refuse",
            "logout",
        ],
    ),
    (
        Access::Holder,
        &[
            "credential change-pin",
            "credential unblock",
            "credential reset-pin",
            "mandate give",
            "mandate stop",
        ],
    ),
    (
        Access::Anybody,
        &[
            "serve",
            "slot list",
            "routes",
            "slot check",
            "ca certificate",
            "policy show",
            "operator roles",
            "operator enrol",
            "login",
            "audit key",
            "audit verify --export",
        ],
    ),
];

impl Capability {
    /// How many persons it takes.
    pub fn persons(self) -> Persons {
        match self.approves() {
            [] => Persons::One,
            _ => Persons::Two,
        }
    }

    /// The role among these that has it.
    pub(super) fn role_in(self, roles: &Roles) -> Option<Role> {
        roles.iter().find(|role| self.does().contains(role))
    }

    /// The role among these that approves it.
    pub(super) fn approver_in(self, roles: &Roles) -> Option<Role> {
        roles.iter().find(|role| self.approves().contains(role))
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|capability| capability.name() == name)
    }
}

/// Every command of the table, and whose it is.
fn rows() -> impl Iterator<Item = (Access, &'static str)> {
    let capabilities = Capability::ALL.iter().flat_map(|capability| {
        let commands = capability.commands().iter();
        commands.map(|command| (Access::Capability(*capability), *command))
    });
    let free = FREE.iter().flat_map(|(access, commands)| {
        let commands = commands.iter();
        commands.map(|command| (*access, *command))
    });
    capabilities.chain(free)
}

/// Every command of the table.
#[cfg(test)]
pub(crate) fn commands() -> impl Iterator<Item = &'static str> {
    rows().map(|(_, command)| command)
}

/// Whose this command is, given with these options: `None` when the table has no row for it, and it is nobody's.
pub fn access(command: &str, options: &[&str]) -> Option<Access> {
    let with_option = rows().find(|(_, row)| {
        row.split_once(" --")
            .is_some_and(|(name, option)| name == command && options.contains(&option))
    });
    let (access, _) = with_option.or_else(|| rows().find(|(_, row)| *row == command))?;
    Some(access)
}

/// The table, in Markdown: a line a capability, a column a role; `alone`, `two`, `approves`, or `-`.
pub fn table() -> String {
    let line = |capability: &str, commands: &str, cells: [&str; 4]| {
        format!("| {capability} | {commands} | {} |\n", cells.join(" | "))
    };
    let mut table = line("capability", "commands", Role::ALL.map(Role::name));
    table += &line("---", "---", ["---"; 4]);
    for capability in Capability::ALL {
        let cells = Role::ALL.map(|role| {
            let does = capability.does().contains(&role);
            match (does, capability.approves().contains(&role)) {
                (true, _) if capability.persons() == Persons::One => "alone",
                (true, _) => "two",
                (false, true) => "approves",
                (false, false) => "-",
            }
        });
        let commands: Vec<_> = capability
            .commands()
            .iter()
            .map(|command| format!("`{command}`"))
            .collect();
        table += &line(capability.name(), &commands.join(", "), cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_the_table_that_is_obeyed() {
        let docs = include_str!("../../../docs/operations.md");
        assert!(
            docs.contains(&table()),
            "docs/operations.md wants:\n{}",
            table()
        );
    }

    #[test]
    fn a_command_has_one_row_and_its_option_may_have_another() {
        let mut commands: Vec<_> = rows().map(|(_, command)| command).collect();
        let count = commands.len();
        commands.sort_unstable();
        commands.dedup();
        assert_eq!(commands.len(), count);
        let person = Some(Access::Capability(Capability::ReadPerson));
        let whole = Some(Access::Capability(Capability::ReadAudit));
        assert_eq!(access("audit export", &["from", "to"]), whole);
        assert_eq!(access("audit export", &["from", "holder"]), person);
        assert_eq!(access("audit", &[]), None);
    }

    #[test]
    fn what_takes_two_names_roles_that_can_do_both_parts() {
        for capability in Capability::ALL {
            let alone = capability.persons() == Persons::One;
            let who_does_can_approve = capability
                .does()
                .iter()
                .all(|role| capability.approves().contains(role));
            assert!(alone || who_does_can_approve, "{}", capability.name());
        }
    }
}
