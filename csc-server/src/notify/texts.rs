//! What the messages say, in Italian and English. A text names the act, so that nobody approves what he did not start.

use std::fmt;

use zeroize::Zeroizing;

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
        let Self::Code {
            code,
            credential,
            client,
            valid_minutes,
        } = self
        else {
            return None;
        };
        let (code, minutes) = (code.as_str(), valid_minutes);
        let (credential, client) = (shortened(credential), shortened(client));
        Some(Zeroizing::new(if is_italian(language) {
            format!(
                "Codice {code} per firmare con \"{credential}\" in \"{client}\", vale {minutes} min. \
                 Non sta firmando? Non lo usi e ci avvisi."
            )
        } else {
            format!(
                "Code {code} to sign with \"{credential}\" in \"{client}\", valid {minutes} min. \
                 Not signing? Do not use it and tell us."
            )
        }))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code { .. } => "Code",
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

fn rendered(subject: String, body: String) -> Rendered {
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
fn shortened(name: &str) -> String {
    const LIMIT: usize = 28;
    let name = one_line(name);
    match name.char_indices().nth(LIMIT) {
        Some(_) => name.chars().take(LIMIT - 2).chain("..".chars()).collect(),
        None => name,
    }
}

/// A name that somebody else chose must not add lines of its own to our text.
fn one_line(name: &str) -> String {
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

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
