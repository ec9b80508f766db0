//! What the messages say, in Italian and English. A text names the act, so that nobody approves what he did not start.

use std::fmt;

use zeroize::Zeroizing;

use super::approval::Approval;

/// A message to a holder. `Debug` shows its kind only.
pub enum Message {
    /// A code that approves a signature.
    Code {
        /// The code.
        code: Zeroizing<String>,
        /// What the holder calls the certificate that will sign.
        credential: String,
        /// The application that asks.
        client: String,
        /// How long the code may be used, in minutes.
        valid_minutes: u64,
    },
    /// A code that approves one order of signatures, on a page of ours.
    Approval(Approval),
    /// A code that approves another PIN, not a signature.
    PinCode {
        /// The code.
        code: Zeroizing<String>,
        /// What the holder calls the certificate.
        credential: String,
        /// How long the code may be used, in minutes.
        valid_minutes: u64,
    },
    /// A code that approves a mandate: from then on an application signs without the holder.
    MandateCode {
        /// The code.
        code: Zeroizing<String>,
        /// What the holder calls the certificate.
        credential: String,
        /// The application that will sign.
        client: String,
        /// How long the code may be used, in minutes.
        valid_minutes: u64,
    },
    /// A code that approves the beginning or the end of a certificate.
    LifeCode {
        /// The code.
        code: Zeroizing<String>,
        /// What the holder calls the certificate.
        credential: String,
        /// The application that asks for it.
        client: String,
        /// Whether it is the end.
        ends: bool,
        /// How long the code may be used, in minutes.
        valid_minutes: u64,
    },
    /// A certificate that an application asked for is in use.
    Created {
        /// What the holder calls the certificate.
        credential: String,
    },
    /// An application asks for signatures; the holder answers on a page.
    Question {
        /// What the holder calls the certificate.
        credential: String,
        /// The application that asks.
        client: String,
        /// How many signatures.
        count: u32,
        /// What page and application show of the documents.
        verification: String,
        /// Where the page is.
        link: String,
        /// How long it waits, in minutes.
        minutes: u64,
    },
    /// The PIN of a certificate was changed.
    PinChanged {
        /// What the holder calls the certificate.
        credential: String,
    },
    /// A certificate was suspended.
    Suspended {
        /// What the holder calls the certificate.
        credential: String,
    },
    /// A suspended certificate signs again.
    Reactivated {
        /// What the holder calls the certificate.
        credential: String,
    },
    /// A certificate was revoked, and its key destroyed.
    Revoked {
        /// What the holder calls the certificate.
        credential: String,
    },
    /// The PIN of a certificate has been locked by wrong tries.
    PinLocked {
        /// What the holder calls the certificate.
        credential: String,
    },
    /// The codes of a holder have been locked by wrong tries.
    OtpLocked {
        /// For how long, in minutes.
        minutes: u64,
    },
}

/// A message in the words of one language. `Debug` shows the subject only.
pub struct Rendered {
    /// The subject: never holds the code, which would show on a locked screen.
    pub subject: String,
    /// The text, in lines that end with `\n`.
    pub body: Zeroizing<String>,
}

impl Message {
    /// The message in Italian for `it` and its regions, in English otherwise.
    pub fn render(&self, language: &str) -> Rendered {
        match (self, is_italian(language)) {
            (Self::Approval(approval), italian) => approval.render(italian),
            (
                Self::Code {
                    code,
                    credential,
                    client,
                    valid_minutes,
                },
                true,
            ) => rendered(
                format!("Codice per firmare con {}", one_line(client)),
                format!(
                    "Codice: {code}\n\
                     \n\
                     L'applicazione «{client}» chiede di firmare con il suo certificato\n\
                     «{credential}». Per approvare, inserisca il codice dove sta firmando.\n\
                     \n\
                     Il codice vale {minutes} e si usa una volta sola. Nessuno di noi glielo\n\
                     chiederà mai, né per telefono né per messaggio.\n\
                     \n\
                     Se non sta firmando, non lo usi e avvisi il servizio: qualcuno potrebbe\n\
                     tentare di firmare al suo posto.\n",
                    code = code.as_str(),
                    client = one_line(client),
                    credential = one_line(credential),
                    minutes = count(*valid_minutes, "minuto", "minuti"),
                ),
            ),
            (
                Self::Code {
                    code,
                    credential,
                    client,
                    valid_minutes,
                },
                false,
            ) => rendered(
                format!("Code to sign with {}", one_line(client)),
                format!(
                    "Code: {code}\n\
                     \n\
                     The application \"{client}\" asks to sign with your certificate\n\
                     \"{credential}\". To approve, enter the code where you are signing.\n\
                     \n\
                     The code is valid for {minutes} and works once. Nobody from us will ever\n\
                     ask you for it, neither by phone nor by message.\n\
                     \n\
                     If you are not signing, do not use it and tell the service: somebody may be\n\
                     trying to sign in your place.\n",
                    code = code.as_str(),
                    client = one_line(client),
                    credential = one_line(credential),
                    minutes = count(*valid_minutes, "minute", "minutes"),
                ),
            ),
            (
                Self::PinCode {
                    code,
                    credential,
                    valid_minutes,
                },
                true,
            ) => rendered(
                "Codice per il PIN del suo certificato".to_owned(),
                format!(
                    "Codice: {code}\n\
                     \n\
                     Serve a cambiare o sbloccare il PIN del certificato «{credential}», non a\n\
                     firmare. Il codice vale {minutes} e si usa una volta sola. Nessuno di noi\n\
                     glielo chiederà mai.\n\
                     \n\
                     Se non l'ha chiesto, non lo usi e avvisi subito il servizio.\n",
                    code = code.as_str(),
                    credential = one_line(credential),
                    minutes = count(*valid_minutes, "minuto", "minuti"),
                ),
            ),
            (
                Self::PinCode {
                    code,
                    credential,
                    valid_minutes,
                },
                false,
            ) => rendered(
                "Code for the PIN of your certificate".to_owned(),
                format!(
                    "Code: {code}\n\
                     \n\
                     It is for changing or unblocking the PIN of the certificate \"{credential}\",\n\
                     not for signing. The code is valid for {minutes} and works once. Nobody from us\n\
                     will ever ask you for it.\n\
                     \n\
                     If you did not ask for it, do not use it and tell the service at once.\n",
                    code = code.as_str(),
                    credential = one_line(credential),
                    minutes = count(*valid_minutes, "minute", "minutes"),
                ),
            ),
            (
                Self::LifeCode {
                    code,
                    credential,
                    client,
                    ends,
                    valid_minutes,
                },
                true,
            ) => rendered(
                match ends {
                    true => "Codice per eliminare un certificato".to_owned(),
                    false => "Codice per un nuovo certificato".to_owned(),
                },
                format!(
                    "Codice: {code}\n\
                     \n\
                     {what}, come chiede l'applicazione\n\
                     «{client}». Il codice vale {minutes} e si usa una volta sola.\n\
                     Nessuno di noi glielo chiederà mai.\n\
                     \n\
                     Se non l'ha chiesto, non lo usi e avvisi subito il servizio.\n",
                    code = code.as_str(),
                    what = match ends {
                        true => format!(
                            "Elimina per sempre il suo certificato «{}»",
                            one_line(credential)
                        ),
                        false => format!(
                            "Conferma il suo nuovo certificato «{}»",
                            one_line(credential)
                        ),
                    },
                    client = one_line(client),
                    minutes = count(*valid_minutes, "minuto", "minuti"),
                ),
            ),
            (
                Self::LifeCode {
                    code,
                    credential,
                    client,
                    ends,
                    valid_minutes,
                },
                false,
            ) => rendered(
                match ends {
                    true => "Code to delete a certificate".to_owned(),
                    false => "Code for a new certificate".to_owned(),
                },
                format!(
                    "Code: {code}\n\
                     \n\
                     {what}, as the application\n\
                     \"{client}\" asks. The code is valid for {minutes} and works once.\n\
                     Nobody from us will ever ask you for it.\n\
                     \n\
                     If you did not ask for it, do not use it and tell the service at once.\n",
                    code = code.as_str(),
                    what = match ends {
                        true => format!(
                            "It deletes your certificate \"{}\" for ever",
                            one_line(credential)
                        ),
                        false => format!(
                            "It confirms your new certificate \"{}\"",
                            one_line(credential)
                        ),
                    },
                    client = one_line(client),
                    minutes = count(*valid_minutes, "minute", "minutes"),
                ),
            ),
            (Self::Created { credential }, true) => notice(
                "Il suo nuovo certificato è attivo",
                format!(
                    "Il certificato «{}» è attivo: firma con il PIN che ha scelto.",
                    one_line(credential)
                ),
                SE_NON_LEI,
            ),
            (Self::Created { credential }, false) => notice(
                "Your new certificate is in use",
                format!(
                    "The certificate \"{}\" is in use: it signs with the PIN you chose.",
                    one_line(credential)
                ),
                IF_NOT_YOU,
            ),
            (
                Self::MandateCode {
                    code,
                    credential,
                    client,
                    valid_minutes,
                },
                true,
            ) => rendered(
                format!("Codice per la firma automatica di {}", one_line(client)),
                format!(
                    "Codice: {code}\n\
                     \n\
                     Serve a dare un mandato: da allora l'applicazione «{client}» firmerà da sola\n\
                     con il suo certificato «{credential}», nei limiti che lei indica. Il codice\n\
                     vale {minutes} e si usa una volta sola. Nessuno di noi glielo chiederà mai.\n\
                     \n\
                     Se non l'ha chiesto, non lo usi e avvisi subito il servizio.\n",
                    code = code.as_str(),
                    client = one_line(client),
                    credential = one_line(credential),
                    minutes = count(*valid_minutes, "minuto", "minuti"),
                ),
            ),
            (
                Self::MandateCode {
                    code,
                    credential,
                    client,
                    valid_minutes,
                },
                false,
            ) => rendered(
                format!("Code for automatic signature by {}", one_line(client)),
                format!(
                    "Code: {code}\n\
                     \n\
                     It is for a mandate: from then on the application \"{client}\" signs by itself\n\
                     with your certificate \"{credential}\", within the bounds you set. The code is\n\
                     valid for {minutes} and works once. Nobody from us will ever ask you for it.\n\
                     \n\
                     If you did not ask for it, do not use it and tell the service at once.\n",
                    code = code.as_str(),
                    client = one_line(client),
                    credential = one_line(credential),
                    minutes = count(*valid_minutes, "minute", "minutes"),
                ),
            ),
            (
                Self::Question {
                    credential,
                    client,
                    count: signatures,
                    verification,
                    link,
                    minutes,
                },
                true,
            ) => rendered(
                format!("{} chiede la sua firma", one_line(client)),
                format!(
                    "L'applicazione «{client}» chiede {signatures}\n\
                     con il suo certificato «{credential}».\n\
                     Codice di verifica: {verification}\n\
                     \n\
                     Per approvare o rifiutare apra questa pagina entro {minutes}:\n\
                     \n\
                     {link}\n\
                     \n\
                     Se non sta firmando, rifiuti e avvisi il servizio.\n",
                    client = one_line(client),
                    credential = one_line(credential),
                    signatures = count(u64::from(*signatures), "firma", "firme"),
                    minutes = count(*minutes, "minuto", "minuti"),
                ),
            ),
            (
                Self::Question {
                    credential,
                    client,
                    count: signatures,
                    verification,
                    link,
                    minutes,
                },
                false,
            ) => rendered(
                format!("{} asks for your signature", one_line(client)),
                format!(
                    "The application \"{client}\" asks for {signatures}\n\
                     with your certificate \"{credential}\".\n\
                     Verification code: {verification}\n\
                     \n\
                     To approve or refuse, open this page within {minutes}:\n\
                     \n\
                     {link}\n\
                     \n\
                     If you are not signing, refuse and tell the service.\n",
                    client = one_line(client),
                    credential = one_line(credential),
                    signatures = count(u64::from(*signatures), "signature", "signatures"),
                    minutes = count(*minutes, "minute", "minutes"),
                ),
            ),
            (Self::PinChanged { credential }, true) => notice(
                "Il PIN del suo certificato è cambiato",
                format!(
                    "Il PIN del certificato «{}» è stato cambiato.",
                    one_line(credential)
                ),
                SE_NON_LEI,
            ),
            (Self::PinChanged { credential }, false) => notice(
                "The PIN of your certificate has changed",
                format!(
                    "The PIN of the certificate \"{}\" has been changed.",
                    one_line(credential)
                ),
                IF_NOT_YOU,
            ),
            (Self::Suspended { credential }, true) => notice(
                "Il suo certificato è sospeso",
                format!(
                    "Il certificato «{}» è sospeso e per ora non firma.",
                    one_line(credential)
                ),
                SE_NON_LEI,
            ),
            (Self::Suspended { credential }, false) => notice(
                "Your certificate is suspended",
                format!(
                    "The certificate \"{}\" is suspended and does not sign for now.",
                    one_line(credential)
                ),
                IF_NOT_YOU,
            ),
            (Self::Reactivated { credential }, true) => notice(
                "Il suo certificato firma di nuovo",
                format!(
                    "Il certificato «{}» non è più sospeso.",
                    one_line(credential)
                ),
                SE_NON_LEI,
            ),
            (Self::Reactivated { credential }, false) => notice(
                "Your certificate signs again",
                format!(
                    "The certificate \"{}\" is suspended no more.",
                    one_line(credential)
                ),
                IF_NOT_YOU,
            ),
            (Self::Revoked { credential }, true) => notice(
                "Il suo certificato è revocato",
                format!(
                    "Il certificato «{}» è revocato e la sua chiave è distrutta: non firmerà\nmai più.",
                    one_line(credential)
                ),
                SE_NON_LEI,
            ),
            (Self::Revoked { credential }, false) => notice(
                "Your certificate is revoked",
                format!(
                    "The certificate \"{}\" is revoked and its key destroyed: it will never sign\nagain.",
                    one_line(credential)
                ),
                IF_NOT_YOU,
            ),
            (Self::PinLocked { credential }, true) => rendered(
                "Il PIN del suo certificato è bloccato".to_owned(),
                format!(
                    "Il PIN del certificato «{}» è stato inserito troppe volte in\n\
                     modo errato ed è bloccato. Fino allo sblocco il certificato non firma.\n\
                     \n\
                     Se i tentativi non sono suoi, avvisi subito il servizio.\n",
                    one_line(credential),
                ),
            ),
            (Self::PinLocked { credential }, false) => rendered(
                "The PIN of your certificate is locked".to_owned(),
                format!(
                    "The PIN of the certificate \"{}\" has been entered wrongly too many\n\
                     times and is locked. Until it is unlocked, the certificate does not sign.\n\
                     \n\
                     If these tries were not yours, tell the service at once.\n",
                    one_line(credential),
                ),
            ),
            (Self::OtpLocked { minutes }, true) => rendered(
                "I suoi codici di firma sono bloccati".to_owned(),
                format!(
                    "Sono stati inseriti troppi codici errati: per {} nessun codice viene\n\
                     accettato. Un altro codice errato raddoppia l'attesa.\n\
                     \n\
                     Se i tentativi non sono suoi, avvisi subito il servizio.\n",
                    count(*minutes, "minuto", "minuti"),
                ),
            ),
            (Self::OtpLocked { minutes }, false) => rendered(
                "Your signing codes are locked".to_owned(),
                format!(
                    "Too many wrong codes have been entered: no code is accepted for {}.\n\
                     One more wrong code then doubles the time.\n\
                     \n\
                     If these tries were not yours, tell the service at once.\n",
                    count(*minutes, "minute", "minutes"),
                ),
            ),
        }
    }

    /// The message for a telephone, at most 160 characters; `None` when it has no such form.
    pub fn short(&self, language: &str) -> Option<Zeroizing<String>> {
        let italian = is_italian(language);
        let text = match self {
            Self::Approval(approval) => return Some(approval.short(italian)),
            Self::Code {
                code,
                credential,
                client,
                valid_minutes: minutes,
            } => {
                let (credential, client) = (shortened(credential), shortened(client));
                let code = code.as_str();
                if italian {
                    format!(
                        "Codice {code} per firmare con \"{credential}\" in \"{client}\", vale {minutes} min. \
                         Non sta firmando? Non lo usi e ci avvisi."
                    )
                } else {
                    format!(
                        "Code {code} to sign with \"{credential}\" in \"{client}\", valid {minutes} min. \
                         Not signing? Do not use it and tell us."
                    )
                }
            }
            Self::PinCode {
                code,
                credential,
                valid_minutes: minutes,
            } => {
                let (code, credential) = (code.as_str(), shortened(credential));
                if italian {
                    format!(
                        "Codice {code} per il PIN di \"{credential}\", non per firmare, vale {minutes} min. \
                         Non lo ha chiesto? Non lo usi e ci avvisi."
                    )
                } else {
                    format!(
                        "Code {code} for the PIN of \"{credential}\", not to sign, valid {minutes} min. \
                         Not asked for? Do not use it and tell us."
                    )
                }
            }
            Self::MandateCode {
                code,
                credential,
                client,
                valid_minutes: minutes,
            } => {
                let (credential, client) = (shortened(credential), shortened(client));
                let code = code.as_str();
                if italian {
                    format!(
                        "Codice {code}: \"{client}\" firmerà da sola con \"{credential}\", vale {minutes} min. \
                         Non lo ha chiesto? Non lo usi e ci avvisi."
                    )
                } else {
                    format!(
                        "Code {code}: \"{client}\" will sign by itself with \"{credential}\", valid {minutes} min. \
                         Not asked for? Do not use it, tell us."
                    )
                }
            }
            Self::LifeCode {
                code,
                credential,
                client,
                ends,
                valid_minutes: minutes,
            } => {
                let (credential, client) = (shortened(credential), shortened(client));
                let code = code.as_str();
                match (italian, ends) {
                    (true, true) => format!(
                        "Codice {code}: elimina \"{credential}\" per \"{client}\", vale {minutes} min. \
                         Non lo ha chiesto? Non lo usi e ci avvisi."
                    ),
                    (true, false) => format!(
                        "Codice {code}: nuovo certificato \"{credential}\" per \"{client}\", vale {minutes} min. \
                         Non lo ha chiesto? Non lo usi e ci avvisi."
                    ),
                    (false, true) => format!(
                        "Code {code}: deletes \"{credential}\" for \"{client}\", valid {minutes} min. \
                         Not asked for? Do not use it, tell us."
                    ),
                    (false, false) => format!(
                        "Code {code}: new certificate \"{credential}\" for \"{client}\", valid {minutes} min. \
                         Not asked for? Do not use it, tell us."
                    ),
                }
            }
            _ => return None,
        };
        Some(Zeroizing::new(text))
    }
}

/// What happened, and what to do if it was somebody else's doing.
fn notice(subject: &str, what: String, remedy: &str) -> Rendered {
    rendered(subject.to_owned(), format!("{what}\n\n{remedy}\n"))
}

const SE_NON_LEI: &str = "Se non lo ha chiesto lei, avvisi subito il servizio.";
const IF_NOT_YOU: &str = "If you did not ask for this, tell the service at once.";

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code { .. } => "Code",
            Self::Approval(_) => "Approval",
            Self::PinCode { .. } => "PinCode",
            Self::MandateCode { .. } => "MandateCode",
            Self::LifeCode { .. } => "LifeCode",
            Self::Created { .. } => "Created",
            Self::Question { .. } => "Question",
            Self::PinChanged { .. } => "PinChanged",
            Self::Suspended { .. } => "Suspended",
            Self::Reactivated { .. } => "Reactivated",
            Self::Revoked { .. } => "Revoked",
            Self::PinLocked { .. } => "PinLocked",
            Self::OtpLocked { .. } => "OtpLocked",
        })
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

pub(super) fn rendered(subject: String, body: String) -> Rendered {
    Rendered {
        subject,
        body: Zeroizing::new(body),
    }
}

fn is_italian(language: &str) -> bool {
    language
        .split(['-', '_'])
        .next()
        .is_some_and(|primary| primary.eq_ignore_ascii_case("it"))
}

/// Enough of a name to know it again.
pub(crate) fn shortened(name: &str) -> String {
    const LIMIT: usize = 28;
    let name = one_line(name);
    match name.char_indices().nth(LIMIT) {
        Some(_) => name.chars().take(LIMIT - 2).chain("..".chars()).collect(),
        None => name,
    }
}

/// A name that somebody else chose must not add lines of its own to our text.
pub(super) fn one_line(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                ' '
            } else {
                c
            }
        })
        .collect()
}

pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
