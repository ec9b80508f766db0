//! signatures/signHash (CSC v1 11.9, v2 11.10): the permit is spent, the HSM signs, the outcome is recorded, the answer leaves.

use hsm_adapter::{HsmError, Vault, VaultError};
use sha2::{Digest, Sha256};

use crate::{
    audit::{self, Event, HashOutcome},
    clock::Clock,
    credential::{Error, Permit, Work},
    params,
    store::{Store, StoreError},
};

/// The only thing that signs with holders' keys, and only by permit.
#[derive(Clone)]
pub struct Signer {
    store: Store,
    clock: Clock,
    vault: Vault,
}

impl Signer {
    /// Signs with the keys of this vault.
    pub fn new(store: Store, clock: Clock, vault: Vault) -> Self {
        Self {
            store,
            clock,
            vault,
        }
    }

    /// Signs every digest of the permit, or none.
    ///
    /// # Errors
    /// When the HSM fails before it can have signed, the count is given back and the SAD may be used again. When it may have
    /// signed ([`HsmError::OutcomeUnknown`]), nothing is given back.
    pub async fn sign(&self, permit: Permit) -> Result<Vec<Vec<u8>>, Error> {
        let Permit {
            key,
            activation,
            work,
            ..
        } = &permit;
        let now = self.clock.now();
        let signed = match work {
            Work::Hashes(order) => {
                self.vault
                    .sign(key, activation, order.scheme, &order.digests, now)
                    .await
            }
            Work::Documents(statements) => {
                self.vault
                    .sign_statements(key, activation, statements, now)
                    .await
            }
        };
        match signed {
            Ok(signatures) => {
                self.record_signed(&permit, &signatures).await?;
                metrics::counter!("csc_signatures_total").increment(signatures.len() as u64);
                Ok(signatures)
            }
            Err(error) => {
                self.record_failed(&permit, &error).await?;
                Err(error.into())
            }
        }
    }

    async fn record_signed(
        &self,
        permit: &Permit,
        signatures: &[Vec<u8>],
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (id, person, request) = (
            permit.id.clone(),
            permit.pseudonym.clone(),
            permit.request.clone(),
        );
        let first = permit.positions.iter().copied().min();
        let last = permit.positions.iter().copied().max();
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        let signed = permit.work.approved().into_iter().zip(&permit.positions);
        let outcomes = signed
            .zip(signatures)
            .map(|((digest, position), signature)| HashOutcome {
                position: *position,
                hash: hex::encode(digest.octets()),
                signature_hash: hex::encode(Sha256::digest(signature)),
            });
        let event = Event::SignOk {
            activation: id.to_string(),
            credential: permit.credential.to_string(),
            request: permit.request.clone(),
            signatures: outcomes.collect(),
        };
        self.store
            .write(async move |tx| {
                tx.execute(
                    "UPDATE signing SET outcome = 'signed'
                     WHERE activation = $1 AND position >= $2 AND position <= $3 AND request = $4",
                    params![&id, first, last, request.as_str()],
                )
                .await?;
                audit::record(tx, now, &person, &event);
                Ok(())
            })
            .await
    }

    async fn record_failed(&self, permit: &Permit, error: &VaultError) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (id, person, positions) = (
            permit.id.clone(),
            permit.pseudonym.clone(),
            permit.positions.clone(),
        );
        let alarm = matches!(error, VaultError::Damaged).then(|| {
            tracing::error!(credential = %permit.credential, "a sealed key or its activation fails the integrity check");
            Event::KeyIntegrityFail {
                credential: permit.credential.to_string(),
            }
        });
        let given_back = !matches!(error, VaultError::Hsm(HsmError::OutcomeUnknown(_)));
        let (credential, request, reason) = (
            permit.credential.to_string(),
            permit.request.clone(),
            error.to_string(),
        );
        self.store
            .write(async move |tx| {
                for position in &positions {
                    let sql = if given_back {
                        "DELETE FROM signing WHERE activation = $1 AND position = $2"
                    } else {
                        "UPDATE signing SET outcome = 'unknown' WHERE activation = $1 AND position = $2"
                    };
                    tx.execute(sql, params![&id, *position]).await?;
                }
                let mut version = None;
                if given_back {
                    let returned = tx
                        .find(
                            "UPDATE activation SET remaining = remaining + $2, state = 'active', version = version + 1
                             WHERE id = $1 AND (state IN ('used', 'spent') OR state = 'active' AND kind IN ('token', 'mandate')) RETURNING version",
                            params![&id, positions.len() as i64],
                        )
                        .await?;
                    version = returned.map(|mut row| row.get(0)).transpose()?;
                }
                let event = Event::SignFailed {
                    activation: id.to_string(),
                    credential: credential.clone(),
                    request: request.clone(),
                    given_back,
                    version,
                    positions: positions.clone(),
                    reason: reason.clone(),
                };
                audit::record(tx, now, &person, &event);
                if let Some(alarm) = &alarm {
                    audit::record(tx, now, &person, alarm);
                }
                Ok(())
            })
            .await
    }
}
