//! Password and code, and who it is.
//!
//! The seed of an operator's app is an HMAC in the HSM over his account and the number of his app: nothing of it rests anywhere, and a new app
//! has another.

use hsm_adapter::{HsmError, MacKey};
use zeroize::Zeroizing;

use super::{
    Error, Operator, Operators, Token,
    account::{State, Stored, columns},
    permission::actor,
    session,
};
use crate::{
    audit::{self, Event},
    clock::Millis,
    ids::OperatorId,
    otp::{self, Algorithm, Otp},
    params, password,
    password::PROMPT_FAILURES,
    store::{StoreError, Tx},
};

/// What the authenticator app shows as the name of the service.
const ISSUER: &str = "Remote signing, operators";
/// Digits of a code.
const DIGITS: u32 = 6;
/// Time steps that an app may be early or late.
const DRIFT: u16 = 1;

impl Operators {
    /// Lets an operator in by password and code, both at once: nobody learns which of them was wrong. His first code makes a new account
    /// active. A code is taken once.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`] whatever was wrong; [`Error::Damaged`] when the service did not write the account.
    pub async fn log_in(
        &self,
        name: &str,
        password: &str,
        code: &Otp,
    ) -> Result<(Operator, Token), Error> {
        let (operator, right) = self.tried(name, password).await?;
        let step = self.step(&operator.id, operator.row.device, code).await?;
        let Some(step) = step.filter(|_| right) else {
            return Err(self.failed(Some(&operator)).await?);
        };
        let old_mac = operator.row.record_mac.clone();
        let active = self
            .sealed(Stored {
                state: State::Active.name().to_owned(),
                ..operator.row.clone()
            })
            .await?;
        let (session, token) = self.begin(&operator.id).await?;
        let (id, now) = (operator.id.clone(), self.clock.now());
        let taken = self
            .store
            .acting(actor(&operator, operator.any_role(), None))
            .write(async move |tx| {
                let taken = tx
                    .execute(
                        "UPDATE operator SET next_step = $2 + 1 WHERE id = $1 AND record_mac = $3 AND next_step <= $2",
                        params![&id, step, old_mac.clone()],
                    )
                    .await?;
                if taken == 0 || !active.replace(tx, &old_mac).await? {
                    return Ok(false);
                }
                forget_failures(tx, &id).await?;
                session.insert(tx).await?;
                let event = Event::OperatorLoginOk {
                    operator: id.to_string(),
                    step,
                };
                audit::record(tx, now, "", &event);
                Ok(true)
            })
            .await?;
        if taken {
            Ok((self.by_id(&operator.id).await?, token))
        } else {
            Err(self.failed(Some(&operator)).await?)
        }
    }

    /// Gives a new account a password of its owner, and him the `otpauth` URI for his app; again and again until its first code was seen.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`], [`Error::Enrolled`], or a bad password.
    pub async fn enrol(
        &self,
        name: &str,
        first: &str,
        password: &str,
    ) -> Result<Zeroizing<String>, Error> {
        let operator = self.confirmed(name, first).await?;
        if operator.row.state != State::New.name() {
            return Err(Error::Enrolled(operator.name));
        }
        if first == password {
            return Err(Error::SamePassword);
        }
        let seed = self.seed(&operator.id, operator.row.device).await?;
        let uri = otp::uri(
            ISSUER,
            &operator.name,
            Algorithm::Sha1,
            DIGITS,
            of_app(&seed),
        )?;
        let event = Event::OperatorEnrolled {
            operator: operator.id.to_string(),
        };
        self.replace_password(operator, password, event).await?;
        Ok(uri)
    }

    /// Changes the password of an operator, by the one before; his sessions end.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`], or a bad password.
    pub async fn change_password(
        &self,
        operator: &Operator,
        old: &str,
        password: &str,
    ) -> Result<(), Error> {
        let operator = self.confirmed(&operator.name, old).await?;
        let event = Event::OperatorPasswordChanged {
            operator: operator.id.to_string(),
        };
        self.replace_password(operator, password, event).await
    }

    async fn replace_password(
        &self,
        operator: Operator,
        password: &str,
        event: Event,
    ) -> Result<(), Error> {
        let by = actor(&operator, operator.any_role(), None);
        let old_mac = operator.row.record_mac.clone();
        let account = self
            .sealed(Stored {
                password: self.hashed(&operator.id, password).await?,
                ..operator.row
            })
            .await?;
        let now = self.clock.now();
        self.store
            .acting(by)
            .write(async move |tx| {
                if !account.replace(tx, &old_mac).await? {
                    return Err(super::changed());
                }
                session::end_all(tx, &account.id).await?;
                audit::record(tx, now, "", &event);
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// The operator of this name, by his password alone: for who proves himself once more, or has no app yet.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`], [`Error::Damaged`].
    pub(super) async fn confirmed(&self, name: &str, password: &str) -> Result<Operator, Error> {
        let (operator, right) = self.tried(name, password).await?;
        if !right {
            return Err(self.failed(Some(&operator)).await?);
        }
        let id = operator.id.clone();
        self.store
            .write(async move |tx| forget_failures(tx, &id).await)
            .await?;
        Ok(operator)
    }

    /// The account of this name, and whether this is its password. The try is counted before the password is looked at, so that parallel
    /// guesses count; an unknown name costs the same work and gets the same answer.
    async fn tried(&self, name: &str, password: &str) -> Result<(Operator, bool), Error> {
        let (tried, now) = (name.to_owned(), self.clock.now());
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
            self.seed(&OperatorId::new(""), 0).await?;
            return Err(self.failed(None).await?);
        };
        let operator = self.genuine(Stored::read(row)?).await?;
        let owner = owner(&operator.id);
        let right = self
            .passwords
            .matches(&owner, password, &operator.row.password)
            .await?;
        Ok((operator, right))
    }

    /// What rests of a new password of this operator.
    pub(super) async fn hashed(
        &self,
        id: &OperatorId,
        password: &str,
    ) -> Result<password::Hashed, password::Error> {
        self.passwords.set(&owner(id), password).await
    }

    /// The time step that has this code, about now.
    async fn step(
        &self,
        id: &OperatorId,
        device: i64,
        code: &Otp,
    ) -> Result<Option<Millis>, Error> {
        let seed = self.seed(id, device).await?;
        let app = otp::generator(Algorithm::Sha1, DIGITS, of_app(&seed))?;
        let steps = otp::steps(self.clock.now(), DRIFT);
        Ok(otp::count_of(&app, code.expose(), steps))
    }

    async fn seed(&self, id: &OperatorId, device: i64) -> Result<Zeroizing<[u8; 32]>, HsmError> {
        let parts = [id.as_str().as_bytes(), &device.to_be_bytes()];
        let seed = self.vault.mac(MacKey::OperatorCode, &parts).await?;
        Ok(Zeroizing::new(seed))
    }

    /// Records a failure; the answer to it.
    async fn failed(&self, operator: Option<&Operator>) -> Result<Error, StoreError> {
        let event = Event::OperatorLoginFail {
            operator: operator.map(|operator| operator.id.to_string()),
        };
        audit::note(&self.store, self.clock.now(), "", event).await?;
        Ok(Error::NotLoggedIn)
    }
}

/// RFC 6238, 5.1: a seed as long as the HMAC of the app, SHA-1, which every app can do.
fn of_app(seed: &[u8; 32]) -> &[u8] {
    seed.first_chunk::<20>().map_or(&[], <[u8; 20]>::as_slice)
}

/// Whose a password is: no password of a holder is ever one of an operator.
fn owner(id: &OperatorId) -> String {
    format!("operator/{id}")
}

async fn forget_failures(tx: &mut Tx, id: &OperatorId) -> Result<(), StoreError> {
    let sql = "UPDATE operator SET login_failures = 0, login_after = 0 WHERE id = $1";
    tx.execute(sql, params![id]).await.map(drop)
}
