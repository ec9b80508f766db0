//! One check: what it is called, which clause it holds the server to, and when it applies.

use std::{fmt, future::Future, pin::Pin, rc::Rc};

use super::context::Context;

/// A version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// v1.0.4.0
    V1,
    /// v2.0 to 2.2
    V2,
}
pub(super) use Version::{V1, V2};

impl Version {
    /// `v1` or `v2`.
    pub fn name(self) -> &'static str {
        self.pick("v1", "v2")
    }

    /// One of two things, by version.
    pub fn pick<T>(self, v1: T, v2: T) -> T {
        match self {
            V1 => v1,
            V2 => v2,
        }
    }

    /// The name of the list of hashes.
    pub fn hashes(self) -> &'static str {
        self.pick("hash", "hashes")
    }

    /// The name of the hash algorithm.
    pub fn hash_algorithm(self) -> &'static str {
        self.pick("hashAlgo", "hashAlgorithmOID")
    }
}

/// How binding a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The specification is silent; this is what we found safest. Reported as a note.
    Silent,
    /// The specification recommends it, or gives the text without demanding it. Reported as a warning.
    Should,
    /// The specification demands it. Reported as a failure.
    Must,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "silent",
            Self::Should => "should",
            Self::Must => "must",
        })
    }
}

/// Why a check ended before its end.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    /// The server does not do what the clause says.
    Finding(Level, String),
    /// The check does not apply here, and why.
    Skip(String),
}

/// What a check says.
pub(super) type Verdict = Result<(), Stop>;

/// What must hold for a check to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// `info` lists the method.
    Method(&'static str),
    /// HTTP Basic: `authType` has it and the settings have name and password.
    Basic,
    /// OAuth client credentials: `authType` has it and the settings have a client.
    Client,
    /// The authorization server publishes its metadata.
    Metadata,
    /// The code flow: `authType` has it and the settings have an application.
    Application,
    /// Tokens may be bound to a key by DPoP, with ES256.
    Dpop,
    /// Somebody answers the pages, as the settings describe.
    Pages,
    /// The settings say which button says no.
    Refuse,
    /// v1 is served as well.
    V1,
    /// The application may name an account.
    Account,
    /// The application and another client.
    OtherClient,
    /// Requests may be pushed.
    Pushed,
    /// Requests may have `authorization_details`.
    Details,
    /// A service token that belongs to a user.
    UserToken,
    /// A service token of any kind; a server that takes none has nothing to check here.
    Token,
    /// A credential that the settings or credentials/list name.
    Credential,
    /// The credential's mode is explicit.
    Explicit,
    /// An authorization can be given: the settings hold what the credential asks for.
    Factors,
    /// The credential asks for a PIN.
    Pin,
    /// The credential asks for a one-time code.
    Code,
    /// The one-time code is sent on request.
    OnlineCode,
    /// The credential is SCAL 2.
    Scal2,
    /// One authorization may allow so many signatures.
    Multisign(u64),
    /// The key is an RSA key.
    Rsa,
    /// A credential that may be locked for good.
    Sacrifice,
    /// `allow.wrong_factors` is set.
    WrongFactors,
}

/// The future of a check.
pub(super) type Running<'c> = Pin<Box<dyn Future<Output = Verdict> + 'c>>;

/// A check.
pub struct Check {
    /// `v2.signHash.S3.empty-hashes`: version or `oauth2`, method, rule, case.
    pub id: String,
    /// What is checked, in a sentence.
    pub title: String,
    /// Where the specification says so.
    pub clause: String,
    /// The method, as the section is called on the command line.
    pub section: &'static str,
    /// The version of the API; none for the authorization server.
    pub version: Option<Version>,
    /// How binding the rule is.
    pub level: Level,
    pub(super) needs: Vec<Need>,
    pub(super) run: Box<dyn for<'c> Fn(&'c Context<'c>) -> Running<'c>>,
}

impl Check {
    /// The specification is silent about this.
    pub(super) fn silent(&mut self) -> &mut Self {
        self.level = Level::Silent;
        self
    }

    /// The specification only recommends this.
    pub(super) fn should(&mut self) -> &mut Self {
        self.level = Level::Should;
        self
    }

    /// Something more that must hold for this check to apply.
    pub(super) fn needs(&mut self, need: Need) -> &mut Self {
        self.needs.push(need);
        self
    }

    /// Another clause than the chapter's.
    pub(super) fn clause(&mut self, clause: &str) -> &mut Self {
        clause.clone_into(&mut self.clause);
        self
    }
}

/// Puts an asynchronous function into a check.
pub(super) fn boxed<F>(run: F) -> Box<dyn for<'c> Fn(&'c Context<'c>) -> Running<'c>>
where
    F: for<'c> AsyncFn(&'c Context<'c>) -> Verdict + 'static,
{
    let run = Rc::new(run);
    Box::new(move |context| {
        let run = Rc::clone(&run);
        Box::pin(async move { run(context).await })
    })
}

/// Ends the check with a failure when the condition does not hold.
macro_rules! must {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::suite::check::Stop::Finding($crate::suite::check::Level::Must, format!($($text)+)));
        }
    };
}

/// Ends the check with a warning when the condition does not hold.
macro_rules! should {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::suite::check::Stop::Finding($crate::suite::check::Level::Should, format!($($text)+)));
        }
    };
}
pub(super) use {must, should};

/// A failure.
pub(super) fn broken(text: impl Into<String>) -> Stop {
    Stop::Finding(Level::Must, text.into())
}
