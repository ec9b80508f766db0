//! The tables that are held against the log.

use crate::{audit::Table, ca, credential, enrolment, factor, holder, oauth, operator, question};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Issuer,
    Holder,
    Client,
    Link,
    Token,
    Factor,
    PublicKey,
    Credential,
    Challenge,
    Activation,
    Signing,
    Question,
    Operator,
    Approval,
    Policy,
    Session,
}

/// Each of them; their numbers are their places here.
pub const TABLES: [&Table; 16] = {
    let [client, link] = &oauth::client::TABLES;
    let [accounts, approvals, policy] = &operator::TABLES;
    [
        &ca::TABLE,
        &holder::TABLE,
        client,
        link,
        &oauth::token::TABLE,
        &factor::TABLE,
        &enrolment::PUBLIC_KEYS,
        &credential::TABLE,
        &factor::CHALLENGES,
        &credential::ACTIVATIONS,
        &credential::SIGNINGS,
        &question::TABLE,
        accounts,
        approvals,
        policy,
        &holder::SESSIONS,
    ]
};

/// The key of a row of `signing`.
pub(super) fn signing(activation: &str, position: u32, request: &str) -> String {
    format!("{activation}/{position}/{request}")
}
