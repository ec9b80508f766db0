//! TOTP (RFC 6238): SHA-1, 30 s, 6 digits, one step of drift either way; what every authenticator app can do.

use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

use super::{Error, Factor, Factors, Kind, Otp, Proof};
use crate::{
    holder::Holder,
    ids::FactorId,
    params,
    sealed::SealedColumn,
    store::{StoreError, Tx},
};

/// What the authenticator app shows as the name of the service.
const ISSUER: &str = "Remote signing";

/// The seeds.
pub static SEEDS: SealedColumn = SealedColumn {
    table: "factor",
    field: "seed",
    select: "SELECT id, seed FROM factor WHERE store = $1 AND id > $2 ORDER BY id LIMIT $3",
    update: "UPDATE factor SET seed = $3, store = $4 WHERE id = $1 AND seed = $2",
};

impl Factors {
    /// Gives a holder a new seed: the factor and the `otpauth` URI for his app, shown once.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn enrol_totp(
        &self,
        holder: &Holder,
    ) -> Result<(FactorId, Zeroizing<String>), Error> {
        let id = FactorId::random();
        let seed = self.vault.random::<20>().await?;
        let sealed = self
            .vault
            .seal(&SEEDS.place(id.as_str()), seed.as_slice())
            .await?;
        let uri = generator(seed.as_slice(), &holder.user_name)?.to_url();
        let uri = uri.map_err(|_| StoreError::Corrupt("a user name that fits no otpauth URI"))?;
        self.insert(id.clone(), Kind::Totp, Some(sealed), holder)
            .await?;
        Ok((id, Zeroizing::new(uri)))
    }

    pub(super) async fn judge_totp(&self, factor: &Factor, otp: &Otp) -> Result<Proof, Error> {
        let sealed = factor
            .seed
            .as_deref()
            .ok_or(StoreError::Corrupt("a TOTP factor without a seed"))?;
        let seed = self
            .vault
            .unseal(&SEEDS.place(factor.id.as_str()), sealed)
            .await?;
        let seconds = u64::try_from(self.clock.now() / 1000).unwrap_or_default();
        let step = generator(&seed, "")?.check(&otp.0, seconds);
        Ok(step
            .and_then(|step| i64::try_from(step).ok())
            .map_or(Proof::Wrong { challenge: None }, Proof::Step))
    }
}

/// Takes a step that is later than every step taken before.
pub(super) async fn take(
    tx: &mut Tx,
    factor: &FactorId,
    step: i64,
    max_failures: i64,
) -> Result<bool, StoreError> {
    let taken = tx
        .execute(
            "UPDATE factor SET last_step = $2 WHERE id = $1 AND last_step < $2 AND failures < $3",
            params![factor, step, max_failures],
        )
        .await?;
    Ok(taken == 1)
}

fn generator(seed: &[u8], account: &str) -> Result<Totp, StoreError> {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(30)
        .with_secret(seed.to_vec())
        .with_issuer(Some(ISSUER))
        .with_account_name(account)
        .build()
        .map_err(|_| StoreError::Corrupt("the seed of a TOTP factor"))
}
