//! The message with a code for one approval on a page of ours: it names the documents, so that nobody approves others with it.

use zeroize::Zeroizing;

use super::texts::{Rendered, count, one_line, rendered, shortened};

/// Documents that a message lists one by one.
const LISTED: usize = 10;

/// A code that approves one order of signatures.
pub struct Approval {
    /// The code.
    pub code: Zeroizing<String>,
    /// What the holder calls the certificate that will sign.
    pub credential: String,
    /// The application that asks.
    pub client: String,
    /// What is to be signed.
    pub documents: Vec<Document>,
    /// What the page shows to be compared.
    pub check: String,
    /// How long the code may be used, in minutes.
    pub valid_minutes: u64,
}

/// A document as a message names it.
#[derive(Clone, Debug)]
pub struct Document {
    /// What the application calls it.
    pub label: Option<String>,
    /// Its hash, hexadecimal.
    pub hash: String,
}

impl Approval {
    pub(super) fn render(&self, italian: bool) -> Rendered {
        let (client, credential) = (one_line(&self.client), one_line(&self.credential));
        let (code, check, list) = (self.code.as_str(), &self.check, self.list(italian));
        let number = self.documents.len() as u64;
        if italian {
            let minutes = count(self.valid_minutes, "minuto", "minuti");
            let documents = count(number, "documento", "documenti");
            rendered(
                format!("Codice per firmare {documents} con {client}"),
                format!(
                    "Codice: {code}\n\
                     \n\
                     L'applicazione «{client}» chiede di firmare {documents} con il suo\n\
                     certificato «{credential}»:\n\
                     \n\
                     {list}\
                     \n\
                     Codice di verifica: {check}. Deve essere lo stesso che vede sulla pagina.\n\
                     \n\
                     Il codice vale {minutes}, una volta sola e solo per questi documenti. Nessuno\n\
                     di noi glielo chiederà mai, né per telefono né per messaggio.\n\
                     \n\
                     Se non sta firmando questi documenti, non lo usi e avvisi il servizio.\n"
                ),
            )
        } else {
            let minutes = count(self.valid_minutes, "minute", "minutes");
            let documents = count(number, "document", "documents");
            rendered(
                format!("Code to sign {documents} with {client}"),
                format!(
                    "Code: {code}\n\
                     \n\
                     The application \"{client}\" asks to sign {documents} with your certificate\n\
                     \"{credential}\":\n\
                     \n\
                     {list}\
                     \n\
                     Verification code: {check}. It must be the one you see on the page.\n\
                     \n\
                     The code is valid for {minutes}, once, and for these documents only. Nobody from\n\
                     us will ever ask you for it, neither by phone nor by message.\n\
                     \n\
                     If you are not signing these documents, do not use it and tell the service.\n"
                ),
            )
        }
    }

    /// For a telephone.
    pub(super) fn short(&self, italian: bool) -> Zeroizing<String> {
        let (code, check, minutes) = (self.code.as_str(), &self.check, self.valid_minutes);
        let (number, client) = (self.documents.len() as u64, shortened(&self.client));
        Zeroizing::new(if italian {
            let documents = count(number, "documento", "documenti");
            format!(
                "Codice {code} per firmare {documents} in \"{client}\", verifica {check}, vale {minutes} min. \
                 Non sta firmando? Non lo usi e ci avvisi."
            )
        } else {
            let documents = count(number, "document", "documents");
            format!(
                "Code {code} to sign {documents} in \"{client}\", check {check}, valid {minutes} min. \
                 Not signing? Do not use it and tell us."
            )
        })
    }

    fn list(&self, italian: bool) -> String {
        let lines = self.documents.iter().take(LISTED).enumerate();
        let mut list: String = lines
            .map(|(index, document)| {
                let hash: String = document.hash.chars().take(16).collect();
                let label = document.label.as_deref().map(shortened);
                let label =
                    label.unwrap_or_else(|| if italian { "senza nome" } else { "unnamed" }.into());
                format!("  {}. {label} ({hash}…)\n", index + 1)
            })
            .collect();
        let more = self.documents.len().saturating_sub(LISTED) as u64;
        if more > 0 {
            list += &match italian {
                true => format!("  e {}\n", count(more, "altro", "altri")),
                false => format!("  and {more} more\n"),
            };
        }
        list
    }
}
