//! What the pages say, in Italian and English: one line a text, both languages side by side, so that none is missing in one.

use super::language::Language;
use crate::{
    clock::Millis,
    notify::{count, shortened},
};

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
    // An application asks for access.
    said_by_application: "Testo dell'applicazione, non del servizio di firma.", "In the words of the application, not of the signing service.";
    it_may: "L'applicazione potrà", "The application will be able to";
    may_list: "vedere i suoi certificati: nome, validità e identificativo", "see your certificates: name, validity and identifier";
    may_ask: "chiederle firme, che lei approva una per una", "ask you for signatures, each of which you approve";
    it_may_not: "Non potrà", "It will not be able to";
    may_not_sign: "firmare senza il suo PIN e un codice", "sign without your PIN and a code";
    may_not_password: "vedere la sua password", "see your password";
    refuse: "Non consentire", "Do not allow";

    // The signing page.
    documents: "Che cosa firma", "What you sign";
    no_label: "Documento senza nome", "Document without a name";
    not_seen: "Questo servizio riceve le impronte, non i documenti: il contenuto e i nomi li mostra l'applicazione.", "This service receives the hashes, not the documents: contents and names are shown by the application.";
    check: "Codice di verifica", "Verification code";
    check_text: "Se l'applicazione mostra un codice di verifica, deve essere questo. Se è diverso, rifiuti.", "If the application shows a verification code, it must be this one. If it differs, refuse.";
    certificate: "Con quale certificato", "With which certificate";
    choose_certificate: "Scelga il certificato", "Choose the certificate";
    another_certificate: "Scegli un altro certificato", "Choose another certificate";
    prove: "Confermi con PIN e codice", "Confirm with PIN and code";
    pin: "PIN", "PIN";
    pin_hint: "Otto cifre, del certificato qui sopra.", "Eight digits, of the certificate above.";
    code: "Codice", "Code";
    code_by_mail: "Otto cifre, dalla mail che elenca questi documenti.", "Eight digits, from the mail that lists these documents.";
    code_by_sms: "Otto cifre, dal messaggio con questo codice di verifica.", "Eight digits, from the message with this verification code.";
    code_of_app: "Dalla sua app di autenticazione.", "From your authenticator app.";
    code_of_token: "Dal suo dispositivo.", "From your token.";
    send_code: "Inviami il codice", "Send me the code";
    send_again: "Invia un altro codice", "Send another code";
    go_on: "Continua", "Continue";
    refuse_signing: "Non firmare", "Do not sign";
    back: "Torna all'applicazione", "Back to the application";

    // A new certificate, and the end of one.
    new_certificate_text: "Il servizio crea una chiave che si apre solo con il PIN che sceglie ora. La chiave resta nel servizio: l'applicazione non la riceve, e per ogni firma le sarà chiesto di approvare.", "The service makes a key that only the PIN you choose now opens. The key stays with the service: the application does not get it, and you will be asked to approve each signature.";
    in_its_name: "Il certificato sarà intestato a", "The certificate will be in the name of";
    choose_pin: "Scelga il PIN", "Choose the PIN";
    new_pin: "Nuovo PIN", "New PIN";
    new_pin_hint: "Otto cifre: non una data, un numero di telefono o una sequenza. Nessuno potrà ridarglielo.", "Eight digits: no date, telephone number or sequence. Nobody can give it to you again.";
    new_pin_again: "Ripeta il PIN", "The PIN again";
    accept_terms: "Scegliendo il PIN accetta le condizioni del servizio", "By choosing the PIN you accept the terms of the service";
    make_it: "Crea il certificato", "Make the certificate";
    do_not_make: "Non creare", "Do not make one";
    confirm_new_text: "Il certificato è pronto. Lo confermi con il PIN che ha scelto e un codice: solo allora l'applicazione può usarlo per chiederle firme.", "The certificate is ready. Confirm it with the PIN you chose and a code: only then can the application use it to ask you for signatures.";
    confirm_new: "Conferma il certificato", "Confirm the certificate";
    the_certificate: "Il certificato", "The certificate";
    wrong_life_code_sent: "Controlli che sia l'ultimo codice, per questo certificato, e reinserisca anche il PIN.", "Check that it is the latest code, for this certificate, and enter the PIN again too.";
    delete_text: "La chiave viene distrutta e il certificato revocato: non firmerà mai più e non si può tornare indietro. Le firme già fatte restano.", "The key is destroyed and the certificate revoked: it will never sign again, and there is no way back. Signatures already made remain.";
    delete_it: "Elimina per sempre", "Delete for ever";
    do_not_delete: "Non eliminare", "Do not delete";
    life_by_mail: "Otto cifre, dalla mail su questo certificato.", "Eight digits, from the mail about this certificate.";
    life_by_sms: "Otto cifre, dal messaggio su questo certificato.", "Eight digits, from the message about this certificate.";
    no_factor: "Nessun dispositivo per i codici", "No device for codes";
    no_factor_text: "Per un certificato serve qualcosa che dia i codici: un telefono, una mail o un'app. Si rivolga al servizio.", "A certificate needs something that codes come from: a telephone, a mailbox or an app. Turn to the service.";
    weak_pin: "Scelga un altro PIN", "Choose another PIN";
    weak_pin_text: "Otto cifre, e non facili da indovinare: nessuna sequenza, ripetizione o coppia di anni, e nessuna parte del suo numero di telefono o dei suoi dati.", "Eight digits, and not easily guessed: no sequence, repetition or pair of years, and no part of your telephone number or of your data.";
    other_pin: "I due PIN sono diversi", "The two PINs differ";
    other_pin_text: "Inserisca lo stesso PIN due volte.", "Enter the same PIN twice.";

    // What happened on it.
    code_sent: "Codice inviato", "Code sent";
    too_soon: "Un codice è già stato inviato", "A code has been sent already";
    not_chosen: "Scelga un certificato", "Choose a certificate";
    not_chosen_text: "Selezioni con quale certificato vuole firmare.", "Select the certificate you want to sign with.";
    no_pin: "Controlli il PIN", "Check the PIN";
    no_pin_text: "Il PIN è di otto cifre. Questo tentativo non conta.", "The PIN has eight digits. This try does not count.";
    no_code: "Controlli il codice", "Check the code";
    no_code_text: "Il codice è di sei od otto cifre. Questo tentativo non conta. Reinserisca anche il PIN.", "The code has six or eight digits. This try does not count. Enter the PIN again too.";
    wrong_pin: "PIN errato", "Wrong PIN";
    wrong_pin_sent: "Il codice usato non vale più: se ne faccia inviare un altro e riprovi.", "The code you used is spent: have another one sent and try again.";
    wrong_pin_device: "Il codice usato non vale più: attenda il prossimo e riprovi.", "The code you used is spent: wait for the next one and try again.";
    wrong_code: "Codice errato o scaduto", "Wrong or expired code";
    wrong_code_sent: "Controlli che sia l'ultimo codice, per questi documenti, e reinserisca anche il PIN.", "Check that it is the latest code, for these documents, and enter the PIN again too.";
    wrong_code_device: "Attenda il prossimo codice e reinserisca anche il PIN.", "Wait for the next code and enter the PIN again too.";
    pin_locked: "PIN bloccato", "PIN locked";
    pin_locked_text: "Il PIN è stato inserito troppe volte in modo errato: non è stato firmato nulla. Per sbloccarlo serve il PUK; altrimenti si rivolga al servizio.", "The PIN was entered wrongly too many times: nothing was signed. Unlocking it takes the PUK; otherwise turn to the service.";
    codes_locked: "Codici bloccati", "Codes locked";

    // The answer to a mail.
    approved: "Approvato", "Approved";
    approved_text: "L'applicazione ora può apporre queste firme. Può chiudere la pagina.", "The application may make these signatures now. You can close this page.";
    refused: "Rifiutato", "Refused";
    refused_text: "Non è stato firmato nulla. Se non l'ha chiesto lei, avvisi il servizio.", "Nothing was signed. If you did not ask for this, tell the service.";

    // Mandates.
    mandates: "Firma automatica", "Automatic signature";
    mandates_lead: "I mandati che ha dato: entro questi limiti un'applicazione firma senza chiederle nulla. Può fermarli quando vuole.", "The mandates you gave: within these limits an application signs without asking you. You can stop them whenever you want.";
    mandates_link: "Firma automatica: i suoi mandati", "Automatic signature: your mandates";
    no_mandates: "Non ha dato mandati: nessuna applicazione firma senza di lei.", "You have given no mandate: no application signs without you.";
    mandate_used: "Firme", "Signatures";
    mandate_rate: "Ritmo", "Rate";
    mandate_for: "Documenti", "Documents";
    mandate_given: "Dato il (UTC)", "Given (UTC)";
    mandate_until: "Vale fino al (UTC)", "Valid until (UTC)";
    in_force: "in vigore", "in force";
    ended_mandate: "terminato", "ended";
    used_up: "esaurito", "used up";
    stop_mandate: "Ferma questo mandato", "Stop this mandate";
    stop_hint: "Fermarlo ha effetto subito e non si annulla: un mandato nuovo richiede PIN e codice.", "Stopping takes effect at once and cannot be undone: a new mandate takes PIN and code.";
    mandate_stopped: "Mandato fermato", "Mandate stopped";

    to_home: "Vai alla pagina iniziale", "Go to the start page";
}

/// Texts with something in them.
impl Language {
    fn pick(self, italian: String, english: String) -> String {
        match self {
            Self::Italian => italian,
            Self::English => english,
        }
    }

    fn documents(self, number: u64) -> String {
        self.pick(
            count(number, "documento", "documenti"),
            count(number, "document", "documents"),
        )
    }

    fn minutes(self, millis: Millis) -> String {
        let minutes = u64::try_from(millis).unwrap_or_default().div_ceil(60_000);
        self.pick(
            count(minutes, "minuto", "minuti"),
            count(minutes, "minute", "minutes"),
        )
    }

    pub(super) fn asks_access(self, client: &str) -> String {
        self.pick(
            format!("«{client}» chiede l'accesso"),
            format!("“{client}” asks for access"),
        )
    }

    pub(super) fn allow(self, client: &str) -> String {
        let client = shortened(client);
        self.pick(format!("Consenti a {client}"), format!("Allow {client}"))
    }

    pub(super) fn log_in_asked(self, client: &str) -> String {
        self.pick(
            format!("L'applicazione «{client}» chiede qualcosa a suo nome. Acceda per vedere che cosa, e decidere."),
            format!("The application “{client}” asks for something in your name. Log in to see what, and decide."),
        )
    }

    pub(super) fn asks_to_sign(self, client: &str, number: u64) -> String {
        let documents = self.documents(number);
        self.pick(
            format!("«{client}» chiede di firmare {documents}"),
            format!("“{client}” asks you to sign {documents}"),
        )
    }

    pub(super) fn life_code_sent(self, minutes: u64) -> String {
        let minutes = self.minutes(i64::try_from(minutes).unwrap_or(0) * 60_000);
        self.pick(
            format!("Il codice vale {minutes}, una volta sola e solo per questo certificato."),
            format!("The code is valid for {minutes}, once, and for this certificate only."),
        )
    }

    pub(super) fn asks_to_make(self, client: &str) -> String {
        self.pick(
            format!("«{client}» chiede un nuovo certificato per lei"),
            format!("“{client}” asks for a new certificate for you"),
        )
    }

    pub(super) fn asks_to_delete(self, client: &str) -> String {
        self.pick(
            format!("«{client}» chiede di eliminare un certificato"),
            format!("“{client}” asks to delete a certificate"),
        )
    }

    pub(super) fn sign(self, number: u64) -> String {
        let documents = self.documents(number);
        self.pick(format!("Firma {documents}"), format!("Sign {documents}"))
    }

    /// How much of a mandate was used.
    pub(super) fn used_of(self, used: i64, total: u32) -> String {
        self.pick(
            format!("{used} di {total} fatte"),
            format!("{used} of {total} made"),
        )
    }

    /// How much of a mandate is left.
    pub(super) fn left(self, left: i64) -> String {
        self.pick(format!("{left} rimaste"), format!("{left} left"))
    }

    /// At most so many signatures in a period.
    pub(super) fn rate(self, number: u32, period: Millis) -> String {
        let number = u64::from(number);
        let (signatures, period) = match self {
            Self::Italian => (count(number, "firma", "firme"), self.period(period)),
            Self::English => (
                count(number, "signature", "signatures"),
                self.period(period),
            ),
        };
        self.pick(
            format!("al massimo {signatures} in {period}"),
            format!("at most {signatures} in {period}"),
        )
    }

    /// A period in the largest unit that it is a multiple of.
    fn period(self, millis: Millis) -> String {
        let seconds = u64::try_from(millis).unwrap_or_default() / 1000;
        let units = [
            (86_400, ["giorno", "giorni"], ["day", "days"]),
            (3600, ["ora", "ore"], ["hour", "hours"]),
            (60, ["minuto", "minuti"], ["minute", "minutes"]),
            (1, ["secondo", "secondi"], ["second", "seconds"]),
        ];
        let mut fitting = units.into_iter().filter(|(unit, ..)| seconds % unit == 0);
        let (unit, [one, many], [single, several]) = fitting.next().unwrap_or(units[3]);
        let number = seconds / unit;
        self.pick(count(number, one, many), count(number, single, several))
    }

    pub(super) fn mandate_stopped(self, client: &str) -> String {
        self.pick(
            format!("Con questo mandato «{client}» non può più firmare."),
            format!("“{client}” can no longer sign under this mandate."),
        )
    }

    pub(super) fn ends_in(self, millis: Millis) -> String {
        let minutes = self.minutes(millis);
        self.pick(
            format!("La richiesta scade tra {minutes}."),
            format!("The request ends in {minutes}."),
        )
    }

    pub(super) fn code_sent(self, minutes: u64) -> String {
        let minutes = self.minutes(i64::try_from(minutes).unwrap_or(0) * 60_000);
        self.pick(
            format!("Il codice vale {minutes}, una volta sola e solo per questi documenti."),
            format!("The code is valid for {minutes}, once, and for these documents only."),
        )
    }

    pub(super) fn too_soon(self, seconds: u64) -> String {
        let (italian, english) = if seconds > 120 {
            let minutes = self.minutes(i64::try_from(seconds).unwrap_or(0) * 1000);
            (minutes.clone(), minutes)
        } else {
            (
                count(seconds, "secondo", "secondi"),
                count(seconds, "second", "seconds"),
            )
        };
        self.pick(
            format!("Usi l'ultimo codice ricevuto. Un altro si può chiedere tra {italian}."),
            format!("Use the latest code you received. Another can be asked for in {english}."),
        )
    }

    pub(super) fn pin_tries(self, left: u32) -> String {
        self.pick(
            match left {
                1 => "Resta un tentativo, poi il PIN si blocca.".into(),
                left => format!("Restano {left} tentativi, poi il PIN si blocca."),
            },
            match left {
                1 => "One try is left, then the PIN locks.".into(),
                left => format!("{left} tries are left, then the PIN locks."),
            },
        )
    }

    pub(super) fn code_tries(self, left: u32) -> String {
        self.pick(
            match left {
                1 => "Resta un tentativo, poi i codici si bloccano per un po'.".into(),
                left => format!("Restano {left} tentativi, poi i codici si bloccano per un po'."),
            },
            match left {
                1 => "One try is left, then codes lock for a while.".into(),
                left => format!("{left} tries are left, then codes lock for a while."),
            },
        )
    }

    pub(super) fn codes_locked(self, millis: Millis) -> String {
        let minutes = self.minutes(millis);
        self.pick(
            format!("Troppi codici errati: per {minutes} non se ne accettano. Non è stato firmato nulla. Poi riprovi con un codice nuovo."),
            format!("Too many wrong codes: none is accepted for {minutes}. Nothing was signed. Then try again with a new code."),
        )
    }
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
