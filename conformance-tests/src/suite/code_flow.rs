//! Codes: what a person's yes gives the application, and what it gets for them (CSC API v1 8.3.3, v2 8.4.4).

use serde_json::Value;

use super::{
    application::{Asking, challenge},
    check::{Stop, broken},
    context::Context,
    prepare::basic_header,
    refusal::string,
    settings::Other,
    wire::Answer,
};

/// A code and what the application says with it.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) value: String,
    fields: Vec<(String, String)>,
}

impl Code {
    /// With a field of the token request that has this value.
    pub(super) fn with(self, name: &str, value: &str) -> Self {
        let mut code = self.without(name);
        code.fields.push((name.to_owned(), value.to_owned()));
        code
    }

    /// Without a field of the token request.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    /// The code_challenge of its request.
    pub(super) fn challenge(&self) -> String {
        let verifier = self.fields.iter().find(|(name, _)| name == "code_verifier");
        verifier.map_or_else(String::new, |(_, verifier)| challenge(verifier))
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        let pairs = self.fields.iter();
        pairs.map(|(name, value)| (&**name, &**value)).collect()
    }
}

impl Context<'_> {
    /// Has the person allow a request and gives the code.
    pub(super) async fn code(&self, asking: &Asking) -> Result<Code, Stop> {
        let back = self.allowed(asking).await?;
        let value = match back.get("code").map(Vec::as_slice) {
            Some([value]) => value.clone(),
            _ => return Err(broken(format!("no code came back: {back:?}"))),
        };
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &value),
            ("redirect_uri", &self.application()?.redirect_uri),
            ("code_verifier", &asking.verifier),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Code {
            fields: fields.into(),
            value,
        })
    }

    /// The token request of the application for a code.
    pub(super) async fn trade(&self, code: &Code) -> Result<Answer, Stop> {
        self.as_application("token", &code.pairs()).await
    }

    /// The same by another client.
    pub(super) async fn trade_as_other(&self, code: &Code) -> Result<Answer, Stop> {
        self.as_other("token", &code.pairs()).await
    }

    /// The same without a client's secret.
    pub(super) async fn trade_openly(&self, code: &Code) -> Result<Answer, Stop> {
        self.send(self.oauth("token")?.form(&code.pairs())).await
    }

    /// A refresh with the token of this answer.
    pub(super) async fn refresh(&self, granted: &Value) -> Result<Answer, Stop> {
        if granted.get("refresh_token").is_none() {
            return Err(Stop::Skip("the server gives no refresh token".to_owned()));
        }
        let token = string(granted, "/refresh_token")?;
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.as_application("token", &fields).await
    }

    /// A form to an endpoint of the authorization server, as the application.
    pub(super) async fn as_application(
        &self,
        endpoint: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer, Stop> {
        let application = self.application()?;
        let header = basic_header(&application.id, application.secret.value());
        let request = self.oauth(endpoint)?.header("Authorization", header);
        self.send(request.form(fields)).await
    }

    /// The same as the other client.
    pub(super) async fn as_other(
        &self,
        endpoint: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer, Stop> {
        let other = self.other()?;
        let header = basic_header(&other.id, other.secret.value());
        let request = self.oauth(endpoint)?.header("Authorization", header);
        self.send(request.form(fields)).await
    }

    fn other(&self) -> Result<&Other, Stop> {
        let other = self.application()?.other.as_ref();
        other.ok_or_else(|| Stop::Skip("[application.other] is not set".to_owned()))
    }
}
