//! Devices that make codes from a seed: apps (TOTP) and tokens (HOTP).
//!
//! The seed rests sealed by the HSM and is open in this process for the moment of one check: tokens bound the length of HMAC keys from
//! below (SoftHSM2: 20 octets for SHA-1, 32 for SHA-256), and seeds of 16 octets are allowed.

use hsm_adapter::Place;
use totp_rs::Totp;
use zeroize::Zeroizing;

use super::{Error, Factor, Factors, Kind, claim::Proof, record::Written};
use crate::{
    holder::Holder,
    ids::FactorId,
    otp::{self, Algorithm, Otp, count_of, generator},
    params,
    store::{StoreError, Tx},
};

/// What the authenticator app shows as the name of the service.
const ISSUER: &str = "Remote signing";
/// How many codes of a token may have been made and not used (RFC 4226, 7.4).
const LOOK_AHEAD: i64 = 10;

impl Factors {
    /// Gives a holder a new seed: the factor and the `otpauth` URI for his app, shown once.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn enrol_totp(
        &self,
        holder: &Holder,
        algorithm: Algorithm,
        digits: u32,
    ) -> Result<(FactorId, Zeroizing<String>), Error> {
        // RFC 6238, 5.1: a seed as long as the HMAC.
        let random = self.vault.random::<32>().await?;
        let length = match algorithm {
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
        };
        let seed = random.get(..length).unwrap_or(random.as_slice());
        let uri = otp::uri(ISSUER, &holder.user_name, algorithm, digits, seed)?;

        let id = FactorId::random();
        let written = Written {
            holder: Some(holder.id.clone()),
            algorithm: Some(algorithm.name().to_owned()),
            seed: Some(self.vault.seal(&place(&id), seed).await?),
            ..Written::default()
        };
        let id = self
            .add(Factor::new(id, Kind::Totp, digits, written), holder)
            .await?;
        Ok((id, uri))
    }

    pub(super) async fn judge_device(&self, factor: &Factor, otp: &Otp) -> Result<Proof, Error> {
        let device = self.open_device(factor).await?;
        let counter = match factor.kind {
            Kind::Hotp => {
                let from = factor.counter;
                count_of(
                    &device,
                    otp.expose(),
                    from..=from.saturating_add(LOOK_AHEAD),
                )
            }
            _ => count_of(
                &device,
                otp.expose(),
                otp::steps(self.clock.now(), self.policy.drift),
            ),
        };
        Ok(counter.map_or(Proof::Wrong, Proof::Counter))
    }

    /// The generator of a device, its seed in memory until it is dropped.
    pub(super) async fn open_device(&self, factor: &Factor) -> Result<Totp, Error> {
        let (algorithm, sealed) = factor.device()?;
        let seed = self.vault.unseal(&place(&factor.id), sealed).await?;
        Ok(generator(algorithm, factor.digits, &seed)?)
    }
}

/// Takes a time step or count that is later than every one taken before.
pub(super) async fn take(tx: &mut Tx, factor: &FactorId, counter: i64) -> Result<bool, StoreError> {
    let taken = tx
        .execute(
            "UPDATE factor SET counter = $2 + 1 WHERE id = $1 AND counter <= $2",
            params![factor, counter],
        )
        .await?;
    Ok(taken == 1)
}

pub(super) fn place(id: &FactorId) -> Place<'_> {
    Place {
        table: "factor",
        row: id.as_str(),
        field: "seed",
    }
}
