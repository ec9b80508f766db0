//! Another authority over HTTP (RFC 3161, 3.4).

use ades::timestamp::{self, Imprint, Nonce};
use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, redirect};

use super::Error;
use crate::config;

/// The most octets of an answer: a token with its certificates has a few thousand.
const LONGEST: usize = 256 * 1024;

/// An authority that is asked.
#[derive(Clone)]
pub struct Remote {
    client: Client,
    url: reqwest::Url,
}

impl Remote {
    /// The authority at this URL; nothing is asked yet. Neither a redirect nor a proxy of the environment is followed.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(url: reqwest::Url, config: &config::Timestamp) -> Result<Self, Error> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(config.timeout)
            .build();
        let client = client.map_err(|error| Error::Authority(error.to_string()))?;
        Ok(Self { client, url })
    }

    pub(super) async fn stamp(
        &self,
        imprint: &Imprint,
        nonce: Option<Nonce>,
    ) -> Result<Vec<u8>, Error> {
        let request = timestamp::request(imprint, nonce.as_ref())?;
        let answer = self.ask(request).await?;
        timestamp::answered(&answer, imprint, nonce.as_ref())
            .map_err(|error| Error::Authority(error.to_string()))
    }

    async fn ask(&self, request: Vec<u8>) -> Result<Vec<u8>, Error> {
        let failed = |error: reqwest::Error| Error::Authority(error.without_url().to_string());
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/timestamp-query")
            .header(ACCEPT, "application/timestamp-reply")
            .body(request);
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(Error::Authority(format!(
                "it answered {}",
                response.status()
            )));
        }
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if answer.len() + part.len() > LONGEST {
                return Err(Error::Authority("its answer is too long".to_owned()));
            }
            answer.extend_from_slice(&part);
        }
        Ok(answer)
    }
}
