//! What a person is here for, and what nobody may be at once.

use std::{collections::BTreeSet, fmt, str::FromStr};

/// A role (CEN EN 419 241-1, SRG_M.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Keys of the HSM, and who the operators are.
    SecurityOfficer,
    /// Holders, their credentials, and the applications they use.
    RaOfficer,
    /// Reads the audit log.
    Auditor,
    /// Runs the machine.
    SystemOperator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [
        Self::SecurityOfficer,
        Self::RaOfficer,
        Self::Auditor,
        Self::SystemOperator,
    ];

    /// The name in commands, the database and the audit log.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecurityOfficer => "security-officer",
            Self::RaOfficer => "ra-officer",
            Self::Auditor => "auditor",
            Self::SystemOperator => "system-operator",
        }
    }

    /// Whether one person may have both: an auditor has no other role, a security officer is neither RA officer nor operator
    /// (CEN EN 419 241-1, SRG_M.1; DPCM 22 February 2013, article 38).
    fn goes_with(self, other: Self) -> bool {
        let alone = |role| matches!(role, Self::Auditor | Self::SecurityOfficer);
        self == other || !(alone(self) || alone(other))
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("use one of {names}")
        })
    }
}

/// The roles of one person; incompatible ones do not meet in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

/// Two roles that one person cannot have.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("one person cannot be {} and {}", .0.name(), .1.name())]
pub struct Incompatible(Role, Role);

impl Roles {
    /// A security officer's: he has no other.
    pub fn officer() -> Self {
        Self(BTreeSet::from([Role::SecurityOfficer]))
    }

    /// These roles together.
    ///
    /// # Errors
    /// When two of them are incompatible.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Result<Self, Incompatible> {
        roles.into_iter().try_fold(Self::default(), Self::with)
    }

    /// These and one more.
    ///
    /// # Errors
    /// When it is incompatible with one of them.
    pub fn with(mut self, role: Role) -> Result<Self, Incompatible> {
        match self.0.iter().find(|other| !role.goes_with(**other)) {
            Some(other) => Err(Incompatible(role, *other)),
            None => {
                self.0.insert(role);
                Ok(self)
            }
        }
    }

    /// These but one.
    #[must_use]
    pub fn without(mut self, role: Role) -> Self {
        self.0.remove(&role);
        self
    }

    /// Whether the role is among them.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Role> {
        self.0.iter().copied()
    }

    /// As [`Display`](fmt::Display) wrote them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let names = text.split(',').filter(|name| !name.is_empty());
        Self::new(names.map(str::parse).collect::<Result<Vec<_>, _>>().ok()?).ok()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Role::name).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ra_officer_and_system_operator_meet_in_one_person() {
        for one in Role::ALL {
            for other in Role::ALL {
                let may = one == other
                    || [one, other] == [Role::RaOfficer, Role::SystemOperator]
                    || [one, other] == [Role::SystemOperator, Role::RaOfficer];
                assert_eq!(Roles::new([one, other]).is_ok(), may, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn roles_are_read_as_they_were_written() {
        for roles in [
            vec![],
            vec![Role::Auditor],
            vec![Role::SystemOperator, Role::RaOfficer],
        ] {
            let roles = Roles::new(roles).unwrap();
            assert_eq!(Roles::parse(&roles.to_string()), Some(roles));
        }
        assert_eq!(Roles::parse("auditor,ra-officer"), None);
        assert_eq!(Roles::parse("signer"), None);
    }
}
