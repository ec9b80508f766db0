//! From a credential's description to a SAD: the holder gives the factors it asks for.

use std::collections::HashMap;

use anyhow::bail;

use crate::algorithm::Algorithm;
use crate::api::Api;
use crate::api::authorise::{Given, Outcome};
use crate::api::credential::{Authorisation, Credential, Factor, Kind};
use crate::terminal::{self, Secret};

/// The holder, who is asked once for what stays the same over several authorisations.
pub(crate) struct Holder<'a> {
    api: &'a Api,
    credential: &'a Credential,
    otp_command: Option<&'a str>,
    factors: &'a [Factor],
    remembered: HashMap<&'a str, Secret>,
}

impl<'a> Holder<'a> {
    /// Decides which factors are given, where the credential leaves a choice.
    pub(crate) fn new(
        api: &'a Api,
        credential: &'a Credential,
        otp_command: Option<&'a str>,
    ) -> anyhow::Result<Self> {
        let alternatives = match &credential.authorisation {
            Authorisation::Factors(alternatives) => alternatives,
            Authorisation::Page => bail!(
                "credential {} is authorised on the provider's own page, which this program does not open; \
                 sign in the provider's portal or app",
                credential.id
            ),
        };
        let chosen = match alternatives.as_slice() {
            [_, _, ..] => {
                terminal::choose_or_first("How do you want to authorise", &labels(alternatives))?
            }
            _ => 0,
        };
        let factors = alternatives.get(chosen).map_or(&[][..], Vec::as_slice);
        Ok(Self {
            api,
            credential,
            otp_command,
            factors,
            remembered: HashMap::new(),
        })
    }

    /// Authorises one signature for each digest, and gives the SAD.
    pub(crate) async fn authorise(
        &mut self,
        algorithm: &Algorithm,
        digests: &[Vec<u8>],
    ) -> anyhow::Result<Secret> {
        let mut given: Vec<Given> = Vec::new();
        for factor in self.factors {
            match self.value(factor).await? {
                Some(value) if value.is_empty() && factor.optional => {}
                value => given.push((factor.clone(), value)),
            }
        }
        if self.factors.is_empty() {
            terminal::note("The service may ask for your approval elsewhere.");
        }
        match self
            .api
            .authorise(self.credential, algorithm, digests, &given)
            .await?
        {
            Outcome::Authorised(sad) => Ok(sad),
            Outcome::Pending(handle) => {
                terminal::note("Waiting for your approval.");
                self.api.approval(handle).await
            }
        }
    }

    async fn value(&mut self, factor: &'a Factor) -> anyhow::Result<Option<Secret>> {
        let mut label = factor.label.clone();
        match factor.kind {
            Kind::Elsewhere => {
                terminal::note(&format!("{label}: approve on your device."));
                return Ok(None);
            }
            Kind::Secret => {
                if let Some(known) = self.remembered.get(factor.id.as_str()) {
                    return Ok(Some(known.clone()));
                }
                let value = terminal::secret(&label)?;
                self.remembered.insert(&factor.id, value.clone());
                return Ok(Some(value));
            }
            Kind::SentCode => match self.api.send_code(self.credential, factor).await? {
                Some(challenge) => label = format!("{label} ({challenge})"),
                None => terminal::note(&format!("{label}: a code was sent to you.")),
            },
            Kind::Code => {}
        }
        match self.otp_command {
            Some(command) => terminal::output_of(command).await.map(Some),
            None => terminal::secret(&label).map(Some),
        }
    }
}

fn labels(alternatives: &[Vec<Factor>]) -> Vec<String> {
    let label = |factors: &Vec<Factor>| {
        factors
            .iter()
            .map(|f| f.label.as_str())
            .collect::<Vec<_>>()
            .join(" and ")
    };
    alternatives.iter().map(label).collect()
}
