//! The checks: one file a method, in the order of the specification.

mod account_token;
mod authorize;
mod authorize_check;
mod certified;
mod challenge;
mod credential;
mod credential_token;
mod extend;
mod info;
mod list;
mod locking;
mod login;
mod metadata;
mod oauth_authorize;
mod oauth_code;
mod oauth_details;
mod oauth_dpop;
mod oauth_order;
mod oauth_push;
mod oauth_revoke;
mod revoke;
mod sign_doc;
mod sign_hash;
mod sign_polling;
mod timestamp;
mod timestamp_token;
mod token;
mod transport;

use serde_json::Value;

use super::{
    check::{Check, Level, Need, Stop, V1, V2, Verdict, Version, boxed},
    context::{Context, set},
    refusal::Refusal,
};

/// Every check, of both versions and of the authorization server.
pub fn catalogue() -> Vec<Check> {
    let mut checks = Vec::new();
    for version in [V1, V2] {
        transport::checks(version, &mut checks);
        info::checks(version, &mut checks);
        login::checks(version, &mut checks);
        revoke::checks(version, &mut checks);
        list::checks(version, &mut checks);
        credential::checks(version, &mut checks);
        authorize::checks(version, &mut checks);
        locking::checks(version, &mut checks);
        challenge::checks(version, &mut checks);
        extend::checks(version, &mut checks);
        sign_hash::checks(version, &mut checks);
        timestamp::checks(version, &mut checks);
        timestamp_token::checks(version, &mut checks);
    }
    certified::checks(&mut checks);
    authorize_check::checks(&mut checks);
    sign_doc::checks(&mut checks);
    sign_polling::checks(&mut checks);
    metadata::checks(&mut checks);
    oauth_authorize::checks(&mut checks);
    oauth_push::checks(&mut checks);
    oauth_details::checks(&mut checks);
    account_token::checks(&mut checks);
    oauth_code::checks(&mut checks);
    credential_token::checks(&mut checks);
    oauth_dpop::checks(&mut checks);
    token::checks(&mut checks);
    oauth_revoke::checks(&mut checks);
    checks
}

/// The checks of one method.
struct Chapter<'l> {
    checks: &'l mut Vec<Check>,
    version: Option<Version>,
    section: &'static str,
    clause: String,
    needs: Vec<Need>,
}

impl<'l> Chapter<'l> {
    /// A method of the API; `clauses` are those of v1.0.4.0 and v2.0.0.2.
    fn new(
        checks: &'l mut Vec<Check>,
        version: Version,
        section: &'static str,
        clauses: (&str, &str),
    ) -> Self {
        Self {
            checks,
            version: Some(version),
            section,
            clause: version.pick(format!("v1 {}", clauses.0), format!("v2 {}", clauses.1)),
            needs: Vec::new(),
        }
    }

    /// An endpoint of the authorization server.
    fn oauth(checks: &'l mut Vec<Check>, section: &'static str, clause: &str) -> Self {
        Self {
            checks,
            version: None,
            section,
            clause: clause.to_owned(),
            needs: Vec::new(),
        }
    }

    /// What every check of this method needs.
    fn needing(mut self, needs: &[Need]) -> Self {
        self.needs.extend(needs);
        self
    }

    /// A check.
    fn check<F>(&mut self, name: &str, title: &str, run: F) -> &mut Check
    where
        F: for<'c> AsyncFn(&'c Context<'c>) -> Verdict + 'static,
    {
        let version = self.version.map_or("oauth2", Version::name);
        self.checks.push(Check {
            id: format!("{version}.{}.{name}", self.section),
            title: title.to_owned(),
            clause: self.clause.clone(),
            section: self.section,
            version: self.version,
            level: Level::Must,
            needs: self.needs.clone(),
            run: boxed(run),
        });
        let last = self.checks.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "one was just put there")]
        &mut self.checks[last]
    }

    /// A good request with one change, which must be refused.
    fn refuses<B>(
        &mut self,
        name: &str,
        title: &str,
        method: &'static str,
        good: B,
        change: Change,
        refusal: Refusal,
    ) -> &mut Check
    where
        B: for<'c> AsyncFn(&'c Context<'c>) -> Result<Value, Stop> + 'static,
    {
        let version = self.version.unwrap_or(V2);
        self.check(name, title, async move |context| {
            let mut body = good(context).await?;
            change.apply(&mut body);
            let answer = context.call(version, method, &body).await?;
            answer.refused(&refusal)
        })
    }
}

/// What is changed in a good body.
#[derive(Clone)]
struct Change(Vec<(String, Option<Value>)>);

impl Change {
    fn apply(&self, body: &mut Value) {
        for (name, value) in &self.0 {
            match value {
                Some(value) => set(body, name, value.clone()),
                None => {
                    if let Some(members) = body.as_object_mut() {
                        members.remove(name);
                    }
                }
            }
        }
    }

    /// And another change.
    fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// A member has this value.
fn with(name: &str, value: Value) -> Change {
    Change(vec![(name.to_owned(), Some(value))])
}

/// A member is not there.
fn without(name: &str) -> Change {
    Change(vec![(name.to_owned(), None)])
}
