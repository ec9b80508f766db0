//! What a page that takes PIN and code says about them: how the code comes, what became of the last try, and what to do next.

use std::time::Duration;

use hsm_adapter::Pin;
use zeroize::Zeroizing;

use super::{form::Posted, page::Page, problem::Problem, texts::Texts};
use crate::{
    app::App,
    clock::Millis,
    credential::{self, Approval, Credential},
    factor::{self, Kind, Otp},
};

/// What the page says about what he did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A code is on its way.
    Sent,
    /// A code was sent just before.
    TooSoon(Duration),
    /// There is nothing to sign with.
    NoCertificate,
    /// No certificate was chosen.
    NotChosen,
    /// He has nothing that codes come from.
    NoFactor,
    /// The new PIN is too easily guessed.
    WeakPin,
    /// The new PIN is not the same twice.
    OtherPin,
    /// What he typed can be no PIN.
    NoPin,
    /// What he typed can be no code.
    NoCode,
    /// Not his PIN.
    WrongPin,
    /// Not the code.
    WrongCode,
    /// Too many wrong PINs.
    PinLocked,
    /// Too many wrong codes.
    CodesLocked,
}

/// The fields for PIN and code, and what is said above them (templates `parts/notice.html`, `parts/prove.html`).
pub(super) struct Proof {
    t: &'static Texts,
    /// What is said, where a lock goes before what he did.
    pub(super) said: Option<Said>,
    pub(super) notice: Option<Notice>,
    /// Whether it is about a certificate, and not about documents.
    life: bool,
    /// How his codes come; `None` until the certificate is settled.
    codes: Option<Kind>,
}

/// What is said above the fields.
pub(super) struct Notice {
    pub(super) class: &'static str,
    pub(super) title: &'static str,
    pub(super) text: String,
    /// The field it is about.
    field: &'static str,
}

impl Said {
    /// What of an approval that failed is for the holder to hear.
    pub(super) fn of(error: &credential::Error) -> Option<Self> {
        match error {
            credential::Error::WrongPin => Some(Self::WrongPin),
            credential::Error::WrongOtp => Some(Self::WrongCode),
            credential::Error::PinLocked => Some(Self::PinLocked),
            credential::Error::OtpLocked => Some(Self::CodesLocked),
            _ => None,
        }
    }

    /// What of a code that was not sent is for him to hear.
    pub(super) fn of_sending(error: &factor::Error) -> Option<Self> {
        match error {
            factor::Error::TooSoon { retry_after } => Some(Self::TooSoon(*retry_after)),
            factor::Error::Locked => Some(Self::CodesLocked),
            _ => None,
        }
    }
}

/// PIN and code as typed, spaces aside. What can be neither is said before anything counts.
pub(super) fn read(posted: &Posted) -> Result<Approval, Said> {
    let digits = |name| -> Zeroizing<String> {
        let text = posted.get(name).unwrap_or_default();
        Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect())
    };
    Ok(Approval {
        pin: Pin::parse(&digits("pin")).ok_or(Said::NoPin)?,
        otp: Otp::parse(&digits("code")).ok_or(Said::NoCode)?,
    })
}

impl Proof {
    /// About this credential, where it is settled which one signs.
    pub(super) async fn of(
        app: &App,
        page: &Page,
        credential: Option<&Credential>,
        said: Option<Said>,
    ) -> Result<Self, Problem> {
        Self::made(app, page, credential, said, false).await
    }

    /// About the beginning or the end of this credential.
    pub(super) async fn of_life(
        app: &App,
        page: &Page,
        credential: &Credential,
        said: Option<Said>,
    ) -> Result<Self, Problem> {
        Self::made(app, page, Some(credential), said, true).await
    }

    async fn made(
        app: &App,
        page: &Page,
        credential: Option<&Credential>,
        said: Option<Said>,
        life: bool,
    ) -> Result<Self, Problem> {
        let codes = match credential {
            Some(credential) => app.factors.find(&credential.factor).await?,
            None => None,
        };
        let tries = match credential {
            Some(credential) => Tries::of(app, credential).await?,
            None => Tries::ALL,
        };
        let mut proof = Self {
            t: page.t,
            said: tries.lock().or(said),
            notice: None,
            life,
            codes: codes.map(|factor| factor.kind),
        };
        proof.notice = proof.said.map(|said| proof.notice(app, page, &tries, said));
        Ok(proof)
    }

    /// Whether the service sends his codes.
    pub(super) fn is_sent(&self) -> bool {
        self.codes.is_some_and(Kind::is_sent)
    }

    /// Whether what is said is about this field.
    pub(super) fn bad(&self, field: &str) -> bool {
        self.notice
            .as_ref()
            .is_some_and(|notice| notice.field == field)
    }

    /// Where his code comes from.
    pub(super) fn code_hint(&self) -> &'static str {
        match self.codes {
            Some(Kind::Mail) if self.life => self.t.life_by_mail,
            Some(Kind::Sms) if self.life => self.t.life_by_sms,
            Some(Kind::Mail) => self.t.code_by_mail,
            Some(Kind::Sms) => self.t.code_by_sms,
            Some(Kind::Hotp) => self.t.code_of_token,
            Some(Kind::Totp) | None => self.t.code_of_app,
        }
    }

    /// Whether PIN and code are looked at now.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self.said, Some(Said::PinLocked | Said::CodesLocked))
    }

    /// What happened, how many tries are left, and what to do next.
    fn notice(&self, app: &App, page: &Page, tries: &Tries, said: Said) -> Notice {
        let (t, language) = (self.t, page.language);
        let (class, title, text, field) = match said {
            Said::Sent => {
                let minutes = app.factors.lifetime().as_secs().div_ceil(60);
                let text = match self.life {
                    true => language.life_code_sent(minutes),
                    false => language.code_sent(minutes),
                };
                ("good", t.code_sent, text, "")
            }
            Said::TooSoon(wait) => {
                let text = language.too_soon(wait.as_secs() + 1);
                ("note", t.too_soon, text, "")
            }
            Said::NoCertificate => ("bad", t.no_credential, t.no_credential_text.into(), ""),
            Said::NotChosen => ("bad", t.not_chosen, t.not_chosen_text.into(), "certificate"),
            Said::NoFactor => ("bad", t.no_factor, t.no_factor_text.into(), ""),
            Said::WeakPin => ("bad", t.weak_pin, t.weak_pin_text.into(), "pin"),
            Said::OtherPin => ("bad", t.other_pin, t.other_pin_text.into(), "again"),
            Said::NoPin => ("bad", t.no_pin, t.no_pin_text.into(), "pin"),
            Said::NoCode => ("bad", t.no_code, t.no_code_text.into(), "code"),
            Said::WrongPin => {
                let next = match self.is_sent() {
                    true => t.wrong_pin_sent,
                    false => t.wrong_pin_device,
                };
                let text = format!("{} {next}", language.pin_tries(tries.pins));
                ("bad", t.wrong_pin, text, "pin")
            }
            Said::WrongCode => {
                let next = match self.is_sent() {
                    true if self.life => t.wrong_life_code_sent,
                    true => t.wrong_code_sent,
                    false => t.wrong_code_device,
                };
                let text = format!("{} {next}", language.code_tries(tries.codes));
                ("bad", t.wrong_code, text, "code")
            }
            Said::PinLocked => ("bad", t.pin_locked, t.pin_locked_text.into(), ""),
            Said::CodesLocked => {
                let text = language.codes_locked(tries.locked_for);
                ("bad", t.codes_locked, text, "")
            }
        };
        Notice {
            class,
            title,
            text,
            field,
        }
    }
}

/// Tries that are left.
struct Tries {
    pins: u32,
    codes: u32,
    /// How long no code is looked at.
    locked_for: Millis,
}

impl Tries {
    const ALL: Self = Self {
        pins: u32::MAX,
        codes: u32::MAX,
        locked_for: 0,
    };

    async fn of(app: &App, credential: &Credential) -> Result<Self, Problem> {
        let (codes, locked_until) = app.factors.tries(&credential.factor).await?;
        Ok(Self {
            pins: app.keys.pin_tries(&credential.id).await?,
            codes,
            locked_for: locked_until - app.clock.now(),
        })
    }

    fn lock(&self) -> Option<Said> {
        match self {
            Self { pins: 0, .. } => Some(Said::PinLocked),
            Self {
                locked_for: 1.., ..
            } => Some(Said::CodesLocked),
            _ => None,
        }
    }
}
