//! Who acts, as the audit log names him.

use serde::Serialize;

/// Whose hands a privileged act is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Actor {
    /// Who installs: two security officers, who have no accounts before.
    Installation,
    /// An operator.
    Operator {
        /// His identifier.
        id: String,
        /// The role that lets him; none when he has none that does.
        role: Option<&'static str>,
        /// The request that a second officer approved, where it takes two.
        #[serde(skip_serializing_if = "Option::is_none")]
        approval: Option<String>,
    },
}
