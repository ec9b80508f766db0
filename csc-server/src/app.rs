//! Everything a request may use, built once. There is no bare HSM in it: [`Signer`] signs by permit only, [`Keys`] authorises and
//! cannot sign.

use std::{ops::Deref, sync::Arc, time::Duration};

use hsm_adapter::{Cost, Issuer, Stretcher, Vault};
use tokio::sync::Semaphore;

use crate::{
    authorization::{self, Authorizations},
    clock::Clock,
    config::{self, Config},
    credential::{self, Keys},
    enrolment::ByHolder,
    factor::{self, Factors},
    holder::{Accounts, Sessions},
    oauth::{client::Clients, token::Tokens},
    operation::Operations,
    question::{self, Questions},
    rates::Rates,
    signing::Signer,
    store::Store,
    timekeeper::TimeTrust,
    timestamp::Tsa,
};

/// Bounds of a request, checked before any work is done.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of a body.
    pub body: usize,
    /// Octets of a body with documents.
    pub document_body: usize,
    /// Documents of a call.
    pub documents: usize,
    /// Hashes of a call.
    pub hashes: usize,
    /// How long a result is kept when the client does not say.
    pub validity: Duration,
    /// The longest it may say.
    pub longest_validity: Duration,
    /// How long a request may take.
    pub time: Duration,
    /// How long a request of CSC v1 waits for a holder.
    pub wait: Duration,
}

/// The service. Every layer of a request has a clone: it is one count.
#[derive(Clone)]
pub struct App(Arc<Services>);

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

/// What it is made of.
#[expect(missing_docs, reason = "each field is its type")]
pub struct Services {
    pub store: Store,
    pub clock: Clock,
    pub accounts: Accounts,
    pub sessions: Sessions,
    pub clients: Clients,
    pub tokens: Tokens,
    pub factors: Factors,
    pub keys: Keys,
    pub signer: Signer,
    pub questions: Questions,
    pub operations: Operations,
    pub tsa: Tsa,
    pub authorizations: Authorizations,
    /// Makes the credentials that holders have made for themselves.
    pub by_holder: Arc<ByHolder>,
    pub time: TimeTrust,
    pub rates: Rates,
    pub limits: Limits,
    /// Turns of requests with documents.
    pub turns: Arc<Semaphore>,
    /// What `info` says.
    pub info: Arc<config::Info>,
    /// Where clients reach the service, without a slash at the end.
    pub public_url: Arc<str>,
    /// The CA certificate, DER: the rest of every chain.
    pub ca_certificate: Arc<[u8]>,
}

/// What the readiness of the service depends on.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is its type")]
pub struct Dependencies {
    pub store: Store,
    pub vault: Vault,
    pub issuer: Issuer,
    pub time: TimeTrust,
}

impl App {
    /// Puts the parts together as the configuration says.
    #[expect(clippy::too_many_arguments, reason = "the parts")]
    pub fn new(
        config: &Config,
        clock: Clock,
        store: Store,
        vault: Vault,
        stretcher: Stretcher,
        time: TimeTrust,
        tsa: Tsa,
        by_holder: ByHolder,
    ) -> Self {
        let factors = Factors::new(
            store.clone(),
            clock.clone(),
            vault.clone(),
            factor_policy(config),
        );
        let accounts = Accounts::new(store.clone(), clock.clone(), vault.clone(), stretcher);
        let clients = Clients::new(store.clone(), clock.clone(), vault.clone());
        let keys = Keys::new(
            store.clone(),
            clock.clone(),
            vault.clone(),
            factors.clone(),
            credential_policy(config),
        );
        let public_url: Arc<str> = config
            .server
            .public_url
            .as_str()
            .trim_end_matches('/')
            .into();
        let parts = authorization::Parts {
            accounts: accounts.clone(),
            clients: clients.clone(),
            tokens: Tokens::new(
                store.clone(),
                clock.clone(),
                vault.clone(),
                config.lifetime.access_token,
                config.lifetime.refresh_token,
            ),
            keys: keys.clone(),
            factors: factors.clone(),
            store: store.clone(),
            clock: clock.clone(),
            vault: vault.clone(),
        };
        Self(Arc::new(Services {
            questions: Questions {
                store: store.clone(),
                clock: clock.clone(),
                vault: vault.clone(),
                keys: keys.clone(),
                factors: factors.clone(),
                accounts: accounts.clone(),
                clients: clients.clone(),
                policy: question::Policy {
                    lifetime: config.question.lifetime,
                    max_per_hour: config.question.max_per_hour,
                },
                channel: Arc::new(question::Mail {
                    public_url: public_url.to_string(),
                }),
            },
            sessions: Sessions::new(
                store.clone(),
                clock.clone(),
                vault.clone(),
                config.lifetime.session_idle,
                config.lifetime.session,
            ),
            tokens: parts.tokens.clone(),
            authorizations: Authorizations::new(
                parts,
                authorization_policy(config),
                public_url.clone(),
            ),
            accounts,
            clients,
            keys,
            signer: Signer::new(store.clone(), clock.clone(), vault.clone()),
            factors,
            operations: Operations::new(store.clone(), clock.clone(), vault.clone()),
            tsa,
            time,
            rates: Rates::new(store.clone(), clock.clone(), config.rate.clone()),
            limits: Limits {
                body: config.server.max_body_bytes,
                document_body: config.document.max_body_bytes,
                documents: config.document.max_documents as usize,
                hashes: config.credential.max_hashes as usize,
                validity: config.lifetime.result,
                longest_validity: config.lifetime.longest_result,
                time: config.server.request_timeout,
                wait: config
                    .question
                    .wait
                    .min(config.server.request_timeout * 4 / 5),
            },
            turns: Arc::new(Semaphore::new(config.document.at_once as usize)),
            info: Arc::new(config.info.clone()),
            public_url,
            ca_certificate: by_holder.enrolment.ca.certificate().into(),
            by_holder: Arc::new(by_holder),
            store,
            clock,
        }))
    }
}

/// The policy of `[otp]` and `[lifetime]`.
pub fn factor_policy(config: &Config) -> factor::Policy {
    factor::Policy {
        max_failures: config.otp.max_failures,
        lock: config.otp.lock,
        longest_lock: config.otp.longest_lock,
        lifetime: config.lifetime.otp,
        resend_after: config.otp.resend_after,
        max_per_hour: config.otp.max_per_hour,
        drift: config.otp.drift,
    }
}

/// The policy of `[lifetime]` for authorization requests.
pub fn authorization_policy(config: &Config) -> authorization::Policy {
    authorization::Policy {
        request_lifetime: config.lifetime.request,
        push_lifetime: Duration::from_secs(60),
        code_lifetime: config.lifetime.code,
        documents: config.credential.multisign as usize,
    }
}

/// The policy of `[pin]` and `[lifetime]`.
pub fn credential_policy(config: &Config) -> credential::Policy {
    credential::Policy {
        max_pin_failures: config.pin.max_failures,
        sad_lifetime: config.lifetime.sad,
        authorization_lifetime: config.lifetime.authorization,
        code_lifetime: config.lifetime.code,
        algorithms: config.algorithms,
    }
}

/// The stretcher of `[pin]`: one for the process, so that its bound holds for PINs and passwords together.
pub fn stretcher(config: &Config) -> Stretcher {
    let config::Argon2 {
        memory,
        passes,
        lanes,
    } = config.pin.argon2;
    Stretcher::new(
        Cost {
            memory,
            passes,
            lanes,
        },
        config.pin.parallel,
        config.pin.queue,
    )
}
