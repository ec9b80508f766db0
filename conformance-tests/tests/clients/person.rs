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

    /// Lets the application of this name see his credentials, and logs in first unless he has done that before.
    pub(crate) async fn lets_in(&self, name: &str, url: &str) {
        self.browser.goto(url).await;
        if self.browser.texts("h1").await == ["Log in"] {
            let holder = &self.signer.holder;
            self.browser.fill("User name", &holder.name).await;
            self.browser.fill("Password", &holder.password).await;
            self.browser.press("Log in").await;
        }
        let allow = format!("Allow {name}");
        self.browser.says(&allow).await;
        self.browser.press(&allow).await;
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
