//! The holder at a browser: goes where an application sends him, and says yes.

use conformance_tests::{Browser, Look, Signer};

/// A holder with a browser of his own.
pub(crate) struct Person<'a> {
    signer: &'a Signer<'a>,
    browser: Browser,
}

impl<'a> Person<'a> {
    /// Sits down.
    pub(crate) async fn at_a_browser(signer: &'a Signer<'a>) -> Self {
        let browser = Browser::open(signer.bed().api().authority(), Look::DESKTOP).await;
        Self { signer, browser }
    }

    /// Logs in and lets the application of this name see his credentials.
    pub(crate) async fn lets_in(&self, name: &str, url: &str) {
        self.browser.goto(url).await;
        self.browser.sees("Log in").await;
        let holder = &self.signer.holder;
        self.browser.fill("User name", &holder.name).await;
        self.browser.fill("Password", &holder.password).await;
        self.browser.press("Log in").await;
        self.browser.says("Allow").await;
        self.browser.press(&format!("Allow {name}")).await;
    }

    /// Signs the one document that an application asks for.
    pub(crate) async fn signs(&self, url: &str) {
        self.browser.goto(url).await;
        self.browser.sees("asks you to sign 1 document").await;
        self.browser.press("Send me the code").await;
        self.browser.says("Code sent").await;
        let code = self.signer.holder.next_code().await;
        self.browser.fill("PIN", &self.signer.credential.pin).await;
        self.browser.fill("Code", &code).await;
        self.browser.press("Sign 1 document").await;
    }
}
