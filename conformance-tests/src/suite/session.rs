//! What is found out about the server once, and what the checks share.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::Value;

use super::{
    check::{Check, Need, Version},
    context::Sad,
    keys::{Algorithm, KeyKind},
    settings::Settings,
};

/// One server, as its settings and its `info` describe it.
pub struct Session {
    /// The settings.
    pub settings: Settings,
    pub(super) facts: RefCell<BTreeMap<&'static str, Facts>>,
    /// Cookies of the person's browser.
    pub(super) cookies: RefCell<BTreeMap<String, String>>,
    /// Secrets seen on the wire, so that no report shows them.
    pub(super) secrets: RefCell<Vec<String>>,
}

/// What is known of one version.
#[derive(Clone, Default)]
pub(super) struct Facts {
    /// The answer of `info`.
    pub(super) info: Value,
    /// The metadata of the authorization server; null when it publishes none.
    pub(super) metadata: Value,
    /// Why `info` could not be had.
    pub(super) trouble: Option<String>,
    /// A service token; none for a server that takes none.
    pub(super) token: Option<String>,
    /// Whether the token belongs to a user.
    pub(super) user_token: bool,
    /// The credential under test.
    pub(super) credential: Option<Subject>,
    /// An authorization that refusals are tried on, and when it was made.
    pub(super) idle: Option<(Sad, u64)>,
}

/// The credential under test.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) id: String,
    pub(super) explicit: bool,
    pub(super) scal2: bool,
    pub(super) multisign: u64,
    pub(super) pin: Option<String>,
    pub(super) code: Option<CodeObject>,
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) key: KeyKind,
    pub(super) algorithms: Vec<String>,
    /// The algorithm that the checks sign with.
    pub(super) algorithm: Option<Algorithm>,
}

/// The one-time code that a credential asks for.
#[derive(Clone, Debug)]
pub(super) struct CodeObject {
    pub(super) id: String,
    pub(super) online: bool,
}

impl Session {
    /// A server nobody has spoken to yet.
    pub fn new(settings: Settings) -> Self {
        let secrets = settings.secrets().map(str::to_owned).collect();
        Self {
            settings,
            facts: RefCell::default(),
            cookies: RefCell::default(),
            secrets: RefCell::new(secrets),
        }
    }

    /// What the server calls itself.
    pub fn name(&self) -> String {
        let facts = self.facts.borrow();
        let mut names = facts
            .values()
            .rev()
            .filter_map(|facts| facts.info.get("name")?.as_str());
        names.next().unwrap_or("the server").to_owned()
    }

    /// Where it is.
    pub fn servers(&self) -> String {
        let bases = self
            .settings
            .versions()
            .filter_map(|version| self.settings.base(version));
        bases.collect::<Vec<_>>().join(" and ")
    }

    pub(super) fn facts(&self, version: Version) -> Facts {
        let facts = self.facts.borrow();
        facts.get(version.name()).cloned().unwrap_or_default()
    }

    pub(super) fn change(&self, version: Version, change: impl FnOnce(&mut Facts)) {
        change(self.facts.borrow_mut().entry(version.name()).or_default());
    }

    /// The authorization that refusals are tried on is in doubt: the next check gets a new one.
    pub fn doubt(&self, version: Option<Version>) {
        if let Some(version) = version {
            self.change(version, |facts| facts.idle = None);
        }
    }

    /// Why a check does not apply to this server.
    pub(super) fn unmet(&self, check: &Check) -> Option<String> {
        let versions = self.settings.versions();
        let versions: Vec<_> = match check.version {
            Some(version) => versions.filter(|served| *served == version).collect(),
            None => versions.collect(),
        };
        let Some(version) = versions.last() else {
            return Some(format!("server.{} is not set", check.version?.name()));
        };
        let facts = self.facts(*version);
        if let Some(trouble) = &facts.trouble
            && check.section != "info"
        {
            return Some(trouble.clone());
        }
        let mut needs = check.needs.iter();
        needs.find_map(|need| self.missing(*need, &facts))
    }

    fn missing(&self, need: Need, facts: &Facts) -> Option<String> {
        let credential = facts.credential.as_ref();
        let has = |holds: fn(&Subject) -> bool| credential.is_some_and(holds);
        let settings = &self.settings;
        let (holds, reason) = match need {
            Need::Method(method) => (facts.lists(method), format!("info does not list {method}")),
            Need::Basic => (
                facts.offers("basic") && settings.basic.is_some(),
                "authType has no basic, or the settings no [basic]".to_owned(),
            ),
            Need::Client => (
                facts.offers("oauth2client") && settings.client.is_some(),
                "authType has no oauth2client, or the settings no [client]".to_owned(),
            ),
            Need::Metadata => (
                facts.metadata.is_object(),
                "the authorization server publishes no metadata".to_owned(),
            ),
            Need::Application => (
                facts.offers("oauth2code") && settings.application.is_some(),
                "authType has no oauth2code, or the settings no [application]".to_owned(),
            ),
            Need::Dpop => {
                let listed = facts.metadata.get("dpop_signing_alg_values_supported");
                let listed = listed.and_then(Value::as_array);
                let known = |all: &Vec<Value>| all.iter().any(|name| name == "ES256");
                (
                    listed.is_some_and(known),
                    "the metadata lists no ES256 for DPoP".to_owned(),
                )
            }
            Need::Pages => (
                settings.pages.is_some(),
                "[pages] is not set: nobody answers the pages".to_owned(),
            ),
            Need::Refuse => (
                settings
                    .pages
                    .as_ref()
                    .is_some_and(|pages| pages.refuse.is_some()),
                "pages.refuse is not set".to_owned(),
            ),
            Need::V1 => (
                settings.base(Version::V1).is_some(),
                "server.v1 is not set".to_owned(),
            ),
            Need::Account => (
                settings
                    .application
                    .as_ref()
                    .is_some_and(|application| application.account.is_some()),
                "application.account is not set".to_owned(),
            ),
            Need::OtherClient => (
                settings
                    .application
                    .as_ref()
                    .is_some_and(|application| application.other.is_some()),
                "[application.other] is not set".to_owned(),
            ),
            Need::Pushed => (
                facts.lists("oauth2/pushed_authorize")
                    || facts
                        .metadata
                        .get("pushed_authorization_request_endpoint")
                        .is_some(),
                "neither info nor metadata has oauth2/pushed_authorize".to_owned(),
            ),
            Need::Details => (
                facts.info.get("supportsRar") == Some(&Value::Bool(true))
                    || facts
                        .metadata
                        .get("authorization_details_types_supported")
                        .is_some(),
                "neither info nor metadata has authorization_details".to_owned(),
            ),
            Need::UserToken => (
                facts.user_token,
                "the service token belongs to no user".to_owned(),
            ),
            Need::Token => (
                facts.token.is_some(),
                "the server takes no service token".to_owned(),
            ),
            Need::Credential => (
                credential.is_some(),
                "no credential is known: credential.id, or credentials/list".to_owned(),
            ),
            Need::Explicit => (
                has(|subject| subject.explicit),
                "the credential's mode is not explicit".to_owned(),
            ),
            Need::Factors => return self.factors(facts, credential),
            Need::Pin => (
                has(|subject| subject.pin.is_some()),
                "the credential asks for no PIN".to_owned(),
            ),
            Need::Code => (
                has(|subject| subject.code.is_some()),
                "the credential asks for no one-time code".to_owned(),
            ),
            Need::OnlineCode => (
                has(|subject| subject.code.as_ref().is_some_and(|code| code.online)),
                "the credential's codes are not sent on request".to_owned(),
            ),
            Need::Scal2 => (
                has(|subject| subject.scal2),
                "the credential is not SCAL 2".to_owned(),
            ),
            Need::Multisign(count) => (
                credential.is_some_and(|subject| subject.multisign >= count),
                format!("multisign is below {count}"),
            ),
            Need::Rsa => (
                has(|subject| subject.key == KeyKind::Rsa),
                "the key is no RSA key".to_owned(),
            ),
            Need::Sacrifice => (
                !settings.sacrifice.is_empty(),
                "[[sacrifice]] is not set: no credential may be locked".to_owned(),
            ),
            Need::WrongFactors => (
                settings.allow.wrong_factors,
                "allow.wrong_factors is not set".to_owned(),
            ),
        };
        (!holds).then_some(reason)
    }

    /// An authorization takes what the credential asks for.
    fn factors(&self, facts: &Facts, credential: Option<&Subject>) -> Option<String> {
        let settings = &self.settings;
        let Some(subject) = credential else {
            return self.missing(Need::Credential, facts);
        };
        if !facts.lists("credentials/authorize") {
            return Some("info does not list credentials/authorize".to_owned());
        }
        if subject.pin.is_some() && settings.credential.pin.is_none() {
            return Some("credential.pin is not set".to_owned());
        }
        if subject.code.is_some() && settings.otp.is_none() {
            return Some("[otp] is not set".to_owned());
        }
        None
    }
}

impl Facts {
    pub(super) fn lists(&self, method: &str) -> bool {
        self.strings("methods").any(|listed| listed == method)
    }

    pub(super) fn offers(&self, auth_type: &str) -> bool {
        self.strings("authType").any(|offered| offered == auth_type)
    }

    fn strings(&self, member: &str) -> impl Iterator<Item = &str> {
        let list = self.info.get(member).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }
}
