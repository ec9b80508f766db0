//! `account_token` (CSC v1 8.3.1, v2 8.4.1): a client says for which account it opens the log-in page of a restricted authorization
//! server. It proves nothing of the holder: he logs in as everybody does.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::client::Client;
use crate::{
    clock::Millis,
    params,
    store::{StoreError, Tx},
};

/// How old one may be, and how far ahead the client's clock.
const AGE: i64 = 300;
const AHEAD: i64 = 60;
/// Longest one, in octets.
const LENGTH: usize = 4096;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iat: i64,
    jti: String,
    azp: String,
}

/// An account token that its client made.
#[derive(Debug, PartialEq, Eq)]
pub struct AccountToken {
    /// The account, as the client knows it.
    pub account: String,
    /// What it is remembered by, so that it is taken once.
    pub name: Once,
}

/// Something that is taken once: its digest, and until when it must be remembered.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Once {
    digest: [u8; 32],
    until: Millis,
}

impl Once {
    /// What this client calls so, of this kind.
    pub(super) fn new(kind: &str, client: &str, name: &str, until: Millis) -> Self {
        let mut digest = Sha256::new();
        for part in [kind, client, name] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self {
            digest: digest.finalize().into(),
            until,
        }
    }

    /// Whether it comes for the first time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take(&self, tx: &mut Tx, now: Millis) -> Result<bool, StoreError> {
        tx.execute("DELETE FROM seen WHERE expires <= $1", params![now])
            .await?;
        let sql =
            "INSERT INTO seen (digest, expires) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
        Ok(tx.execute(sql, params![self.digest, self.until]).await? == 1)
    }
}

/// The account that this client names; `None` when it did not make the token so, or not now.
pub fn read(client: &Client, token: &str, now: Millis) -> Option<AccountToken> {
    let key = client.account_key()?;
    if token.len() > LENGTH {
        return None;
    }
    let mut wanted = Validation::new(Algorithm::HS256);
    wanted.set_required_spec_claims::<&str>(&[]);
    wanted.validate_exp = false;
    wanted.validate_aud = false;
    let claims: Claims = decode(token, &DecodingKey::from_secret(key), &wanted)
        .ok()?
        .claims;
    let seconds = now / 1000;
    let fresh = (seconds - AGE..=seconds + AHEAD).contains(&claims.iat);
    if !fresh || claims.azp != client.id.as_str() || claims.sub.is_empty() || claims.jti.is_empty()
    {
        return None;
    }
    let until = (claims.iat + AGE) * 1000 + 1000;
    Some(AccountToken {
        name: Once::new("account_token", client.id.as_str(), &claims.jti, until),
        account: claims.sub,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::ClientId, oauth::registration::Registration};

    const SECRET: &str = "correct horse battery staple";
    /// Made by hand from CSC v1 8.3.1.
    const TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhY2N0LTAwMDEiLCJpYXQiOjE3MDAwMDAwMDAsImp0aSI6IjBmM2M5ZTUyLThkNmUtNGI4ZS05YTU3LTNmN2EyYTZiMWMxMSIsImlzcyI6IkV4YW1wbGUgU2lnbmluZyBBcHAiLCJhenAiOiJjbGllbnQtMSJ9.a1LxFOJkR48D1IA6avE1rqwCM9NjouZ36AvSZ1hnApM";
    const MADE: Millis = 1_700_000_000_000;

    fn client(id: &str, secret: &str) -> Client {
        Client::for_test(ClientId::new(id), Registration::named("A"), secret)
    }

    #[test]
    fn a_token_of_the_specification_s_recipe_names_its_account() {
        let read = read(&client("client-1", SECRET), TOKEN, MADE + 1000).unwrap();
        assert_eq!(read.account, "acct-0001");
    }

    #[test]
    fn another_secret_another_client_another_time_or_no_algorithm_name_nobody() {
        assert!(read(&client("client-1", "other"), TOKEN, MADE).is_none());
        assert!(read(&client("client-2", SECRET), TOKEN, MADE).is_none());
        assert!(read(&client("client-1", SECRET), TOKEN, MADE + (AGE + 1) * 1000).is_none());
        assert!(
            read(
                &client("client-1", SECRET),
                TOKEN,
                MADE - (AHEAD + 1) * 1000
            )
            .is_none()
        );
        let payload = TOKEN.split('.').nth(1).unwrap();
        // {"typ":"JWT","alg":"none"}
        let none = format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.{payload}.");
        assert!(read(&client("client-1", SECRET), &none, MADE).is_none());
    }
}
