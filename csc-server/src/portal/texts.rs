//! What the pages say, in Italian and English: one line a text, both languages side by side, so that none is missing in one.

use super::language::Language;

/// Declares the texts: a name, the Italian, the English.
macro_rules! texts {
    ($($name:ident: $italian:literal, $english:literal;)*) => {
        /// The texts of one language.
        pub(crate) struct Texts {
            $(pub(crate) $name: &'static str,)*
        }

        static ITALIAN: Texts = Texts { $($name: $italian,)* };
        static ENGLISH: Texts = Texts { $($name: $english,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $italian, $english),)*];
    };
}

impl Texts {
    /// The texts of this language.
    pub(crate) fn of(language: Language) -> &'static Self {
        match language {
            Language::Italian => &ITALIAN,
            Language::English => &ENGLISH,
        }
    }
}

texts! {
    // Every page.
    skip: "Vai al contenuto", "Skip to content";
    language: "Lingua", "Language";
    signed_in_as: "Accesso come", "Logged in as";
    log_out: "Esci", "Log out";
    footer: "Il personale del servizio non le chiederà mai PIN, password o codici.", "Nobody from the service will ever ask you for a PIN, password or code.";

    // Log-in.
    log_in: "Accesso", "Log in";
    log_in_lead: "Per vedere i suoi certificati e le sue firme.", "To see your certificates and your signatures.";
    log_in_asked: "Un'applicazione chiede qualcosa a suo nome. Acceda per vedere che cosa e decidere.", "An application asks for something in your name. Log in to see what, and decide.";
    user: "Nome utente", "User name";
    password: "Password", "Password";
    log_in_button: "Accedi", "Log in";
    log_in_failed: "Accesso non riuscito", "The log-in did not succeed";
    log_in_failed_text: "Controlli nome utente e password. Dopo troppi tentativi errati l'accesso rallenta: in tal caso attenda qualche minuto.", "Check user name and password. After too many wrong tries the log-in slows down: then wait a few minutes.";
    log_in_no_key: "Con la password si accede, non si firma: per firmare servono il PIN e un codice.", "The password lets you in, it does not sign: a signature takes your PIN and a code.";

    // Home.
    home: "Le sue firme", "Your signatures";
    certificates: "Certificati", "Certificates";
    no_certificates: "Non ha ancora certificati.", "You have no certificates yet.";
    valid_until: "Valido fino al", "Valid until";
    identifier: "Identificativo", "Identifier";
    active: "attivo", "active";
    suspended: "sospeso", "suspended";
    revoked: "revocato", "revoked";
    expired: "scaduto", "expired";
    history: "Ultime firme", "Latest signatures";
    no_history: "Nessuna firma finora.", "No signatures so far.";
    when: "Quando (UTC)", "When (UTC)";
    application: "Applicazione", "Application";
    outcome: "Esito", "Outcome";
    hash: "Impronta", "Hash";
    signed: "firmato", "signed";
    not_known: "esito non noto", "outcome not known";

    // Instead of a page.
    stale: "Pagina non più valida", "This page is no longer valid";
    stale_text: "Questo modulo viene da una visita precedente o da un altro sito, perciò non è stato eseguito nulla. Riapra la pagina e riprovi.", "This form comes from an earlier visit or from another site, so nothing was done. Open the page again and try once more.";
    not_found: "Pagina non trovata", "Page not found";
    not_found_text: "A questo indirizzo non c'è nulla.", "There is nothing at this address.";
    bad_request: "Richiesta non valida", "The request is not valid";
    unknown_client_text: "L'applicazione che l'ha portata qui non è registrata presso questo servizio. Non inserisca nulla e torni all'applicazione da cui è partito solo se la conosce.", "The application that sent you here is not registered with this service. Enter nothing, and go back to it only if you know it.";
    bad_redirect_text: "L'applicazione chiede di riportarla a un indirizzo che non ha registrato: per sicurezza ci fermiamo qui. Avvisi chi gestisce l'applicazione.", "The application asks to send you back to an address it has not registered, so we stop here for safety. Tell whoever runs the application.";
    bad_request_text: "L'applicazione ha inviato una richiesta che non si può eseguire. Torni all'applicazione e riprovi.", "The application sent a request that cannot be carried out. Go back to the application and try again.";
    ended: "La richiesta è terminata", "The request has ended";
    ended_text: "Il tempo è scaduto oppure la richiesta ha già avuto risposta. Non è stato firmato nulla che lei non abbia approvato. Torni all'applicazione e, se serve, ricominci da lì.", "Its time is over, or it was answered already. Nothing was signed that you did not approve. Go back to the application and, if need be, start again from there.";
    somebody_else: "Questa richiesta non è per lei", "This request is not for you";
    somebody_else_text: "L'applicazione chiede di un'altra persona, oppure di un certificato che non è suo. Se l'account è di qualcun altro, esca e acceda con il suo.", "The application asks for another person, or for a certificate that is not yours. If somebody else is logged in here, log out and log in with your own account.";
    no_credential: "Nessun certificato adatto", "No suitable certificate";
    no_credential_text: "Il certificato richiesto è sospeso, scaduto o revocato, oppure non ne ha nessuno del tipo richiesto. Non è stato firmato nulla.", "The certificate asked for is suspended, expired or revoked, or you have none of the kind asked for. Nothing was signed.";
    unavailable: "Servizio momentaneamente non disponibile", "The service is not available at the moment";
    unavailable_text: "Non è stato firmato nulla. Riprovi tra qualche istante.", "Nothing was signed. Try again in a moment.";
    to_home: "Vai alla pagina iniziale", "Go to the start page";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages_and_ends_as_the_other() {
        for (name, italian, english) in ALL {
            assert!(!italian.is_empty() && !english.is_empty(), "{name}");
            let last = |text: &str| text.chars().last().filter(|last| ".:?".contains(*last));
            assert_eq!(last(italian), last(english), "{name}");
        }
    }
}
