//! A password, and who it is.

use super::{
    Error, Operator, Operators,
    account::{Stored, columns},
};
use crate::{
    audit::{self, Event},
    params,
    password::PROMPT_FAILURES,
    store::StoreError,
};

impl Operators {
    /// Lets an operator in by password. The try is counted before the password is looked at, so that parallel guesses count; an unknown
    /// name costs the same work and gets the same answer.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`] whatever was wrong; [`Error::Damaged`] when the service did not write the account.
    pub async fn log_in(&self, name: &str, password: &str) -> Result<Operator, Error> {
        let now = self.clock.now();
        let tried = name.to_owned();
        let reserved = self
            .store
            .write(async move |tx| {
                const SQL: &str = concat!(
                    "UPDATE operator SET login_failures = login_failures + 1,
                         login_after = CASE WHEN login_failures + 1 >= $2
                             THEN $3 + 60000 * (login_failures + 2 - $2) ELSE login_after END
                     WHERE name = $1 AND login_after <= $3 RETURNING ",
                    columns!()
                );
                tx.find(SQL, params![tried.as_str(), PROMPT_FAILURES, now])
                    .await
            })
            .await?;
        let Some(row) = reserved else {
            self.passwords.matches_nobody(password).await?;
            self.failed(None).await?;
            return Err(Error::NotLoggedIn);
        };
        let operator = self.genuine(Stored::read(row)?).await?;
        let owner = owner(&operator);
        if !self
            .passwords
            .matches(&owner, password, &operator.row.password)
            .await?
        {
            self.failed(Some(&operator)).await?;
            return Err(Error::NotLoggedIn);
        }
        let id = operator.id.clone();
        self.store
            .write(async move |tx| {
                tx.execute(
                    "UPDATE operator SET login_failures = 0, login_after = 0 WHERE id = $1",
                    params![&id],
                )
                .await?;
                let event = Event::OperatorLoginOk {
                    operator: id.to_string(),
                };
                audit::record(tx, now, "", &event);
                Ok(())
            })
            .await?;
        Ok(operator)
    }

    async fn failed(&self, operator: Option<&Operator>) -> Result<(), StoreError> {
        let event = Event::OperatorLoginFail {
            operator: operator.map(|operator| operator.id.to_string()),
        };
        audit::note(&self.store, self.clock.now(), "", event).await
    }
}

/// Whose a password is: no password of a holder is ever one of an operator.
pub(super) fn owner(operator: &Operator) -> String {
    owner_of(operator.id.as_str())
}

pub(super) fn owner_of(id: &str) -> String {
    format!("operator/{id}")
}
