//! A credential that a holder has made for himself, by an application: on the provider's terms, with the PIN he chooses.

use super::{Enrolment, Error, NewPin, Request, Terms};
use crate::{
    config::PukPolicy,
    credential::{Mode, Status},
    holder::Holder,
    ids::{CredentialId, FactorId},
};
use hsm_adapter::KeyAlgorithm;

/// Makes credentials that wait for their application.
pub struct ByHolder {
    /// What makes them.
    pub enrolment: Enrolment,
    /// Key type.
    pub algorithm: KeyAlgorithm,
    /// Most signatures of one authorisation.
    pub multisign: u32,
    /// Country of the subject, ISO 3166-1 alpha-2.
    pub country: String,
    /// What he accepts by choosing a PIN, and where it can be read.
    pub terms: Option<(Terms, String)>,
}

impl ByHolder {
    /// Makes one, without a PUK: a page that goes on by itself is no place to keep one from.
    ///
    /// # Errors
    /// As [`Enrolment::credential`].
    pub async fn make(
        &self,
        holder: &Holder,
        pin: &NewPin,
        id: CredentialId,
        factor: FactorId,
    ) -> Result<(), Error> {
        let request = Request {
            id,
            status: Status::Issued,
            algorithm: self.algorithm,
            mode: Mode::Code,
            factor,
            description: format!("{} {}", holder.given_name, holder.surname),
            multisign: self.multisign,
            country: self.country.clone(),
            puk: PukPolicy::Strict,
            terms: self.terms.as_ref().map(|(terms, _)| terms.clone()),
        };
        self.enrolment.credential(holder, pin, request).await?;
        Ok(())
    }
}
