//! Who may do what: one table. No role signs, authorises, sees a secret, or sets a PIN: there is no capability for it.

use super::role::{Role, Roles};

/// How many persons an act takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persons {
    /// Who has the role, alone.
    One,
    /// A second one who has the role approves first.
    Two,
}

macro_rules! capabilities {
    ($($(#[$doc:meta])* $capability:ident $name:literal $persons:ident: $($role:ident)+;)*) => {
        /// Something that an operator may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Capability {
            $($(#[$doc])* $capability,)*
        }

        impl Capability {
            /// Every capability.
            pub const ALL: &[Self] = &[$(Self::$capability),*];

            /// The name in messages, the database and the audit log.
            pub fn name(self) -> &'static str {
                match self { $(Self::$capability => $name,)* }
            }

            /// How many persons it takes.
            pub fn persons(self) -> Persons {
                match self { $(Self::$capability => Persons::$persons,)* }
            }

            /// Whose it is.
            fn roles(self) -> &'static [Role] {
                match self { $(Self::$capability => &[$(Role::$role),+],)* }
            }
        }
    };
}

capabilities! {
    /// `slot init`
    InitSlots "init-slots" Two: SecurityOfficer;
    /// `slot rotate`, `slot destroy-old`
    RotateMasterKeys "rotate-master-keys" Two: SecurityOfficer;
    /// `operator add`
    CreateOperator "create-operator" Two: SecurityOfficer;
    /// `operator grant`
    GrantRole "grant-role" Two: SecurityOfficer;
    /// `operator remove`
    RemoveRole "remove-role" Two: SecurityOfficer;
    /// `operator list`
    ReadOperators "read-operators" One: SecurityOfficer Auditor;
    /// `holder add`
    EnrolHolder "enrol-holder" One: RaOfficer;
    /// `otp …`
    EnrolFactor "enrol-factor" One: RaOfficer;
    /// `credential add`
    EnrolCredential "enrol-credential" One: RaOfficer;
    /// `client …`
    RegisterClient "register-client" One: RaOfficer;
    /// `holder block`, `holder unblock`
    BlockHolder "block-holder" One: RaOfficer;
    /// `credential suspend`
    SuspendCredential "suspend-credential" One: RaOfficer;
    /// `credential reactivate`
    ReactivateCredential "reactivate-credential" One: RaOfficer;
    /// `credential revoke`
    RevokeCredential "revoke-credential" One: RaOfficer;
    /// `history`
    ReadHistory "read-history" One: RaOfficer Auditor;
    /// `audit …`
    ReadAudit "read-audit" One: Auditor;
}

impl Capability {
    /// The role among these that has it.
    pub(super) fn role_in(self, roles: &Roles) -> Option<Role> {
        roles.iter().find(|role| self.roles().contains(role))
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|capability| capability.name() == name)
    }
}

/// The table, in Markdown: a line a capability, a column a role; `alone`, `two`, or `-`.
pub fn table() -> String {
    let line = |first: &str, cells: [&str; 4]| format!("| {first} | {} |\n", cells.join(" | "));
    let mut table = line("capability", Role::ALL.map(Role::name)) + &line("---", ["---"; 4]);
    for capability in Capability::ALL {
        let cells = Role::ALL.map(|role| {
            match (capability.roles().contains(&role), capability.persons()) {
                (false, _) => "-",
                (true, Persons::One) => "alone",
                (true, Persons::Two) => "two",
            }
        });
        table += &line(capability.name(), cells);
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
}
