//! A holder with everything it takes to sign, and the requests that lead to a signature.

use serde_json::{Value, json};

use crate::{
    bed::TestBed,
    enrol::{Credential, Holder, KeySpec, Otp},
    wire::{Answer, Digest, V1, V2, Version, digests},
};

/// A holder with everything it takes to sign.
pub struct Signer<'a> {
    bed: &'a TestBed,
    /// The person.
    pub holder: Holder,
    /// Where the codes come from.
    pub otp: Otp,
    /// The key.
    pub credential: Credential,
    /// An access token of this person.
    pub token: String,
}

impl TestBed {
    /// A new holder with mail codes and a P-256 credential for five signatures, logged in.
    pub async fn signer(&self) -> Signer<'_> {
        self.signer_with(&KeySpec {
            key: "p256",
            multisign: 5,
        })
        .await
    }

    /// A new holder with mail codes and such a credential, logged in.
    pub async fn signer_with(&self, spec: &KeySpec<'_>) -> Signer<'_> {
        self.signer_as("explicit", spec).await
    }

    /// The same, with a credential that is authorised in this way.
    pub async fn signer_as(&self, mode: &str, spec: &KeySpec<'_>) -> Signer<'_> {
        let holder = self.holder();
        let otp = self.mail_otp(&holder);
        let credential = self.credential_as(mode, &holder, &otp.id, spec);
        let token = self.log_in(&holder).await;
        Signer {
            bed: self,
            holder,
            otp,
            credential,
            token,
        }
    }
}

impl Signer<'_> {
    /// The service this person signs with.
    pub fn bed(&self) -> &TestBed {
        self.bed
    }

    /// Another credential of the same person and codes.
    pub fn another_credential(&self) -> Credential {
        self.bed.credential(
            &self.holder,
            &self.otp.id,
            &KeySpec {
                key: "p256",
                multisign: 5,
            },
        )
    }

    /// Calls a method with this person's token.
    pub async fn call(&self, version: Version, method: &str, body: Value) -> Answer {
        self.bed
            .api()
            .call(version, method, &self.token, body)
            .await
    }

    /// Has a code sent and reads it.
    pub async fn code(&self) -> String {
        self.code_for(&self.credential).await
    }

    /// Has a code sent for another credential of this person and reads it.
    pub async fn code_for(&self, credential: &Credential) -> String {
        self.call(
            V1,
            "credentials/sendOTP",
            json!({"credentialID": credential.id}),
        )
        .await
        .done();
        self.holder.next_code().await
    }

    /// The body of credentials/authorize with the right PIN.
    pub fn authorization(
        &self,
        version: Version,
        hashes: &[Digest],
        count: usize,
        code: &str,
    ) -> Value {
        let mut body = json!({"credentialID": self.credential.id, "numSignatures": count});
        body[version.hashes()] = digests(hashes);
        match version {
            V1 => {
                body["PIN"] = json!(self.credential.pin);
                body["OTP"] = json!(code);
            }
            V2 => {
                body["hashAlgorithmOID"] = json!(SHA256);
                body["authData"] = json!([
                    {"id": "PIN", "value": self.credential.pin},
                    {"id": "OTP", "value": code},
                ]);
            }
        }
        body
    }

    /// credentials/authorize with the right PIN and a new code.
    pub async fn authorize(&self, version: Version, hashes: &[Digest], count: usize) -> Answer {
        let code = self.code().await;
        self.call(
            version,
            "credentials/authorize",
            self.authorization(version, hashes, count, &code),
        )
        .await
    }

    /// A SAD for these hashes, each once.
    pub async fn sad(&self, version: Version, hashes: &[Digest]) -> String {
        self.authorize(version, hashes, hashes.len())
            .await
            .text_of("SAD")
    }

    /// The body of signatures/signHash, with ECDSA and SHA-256.
    pub fn order(&self, version: Version, sad: &str, hashes: &[Digest]) -> Value {
        let mut body =
            json!({"credentialID": self.credential.id, "SAD": sad, "signAlgo": ECDSA_SHA256});
        body[version.hashes()] = digests(hashes);
        body
    }

    /// signatures/signHash with ECDSA and SHA-256.
    pub async fn sign(&self, version: Version, sad: &str, hashes: &[Digest]) -> Answer {
        self.call(
            version,
            "signatures/signHash",
            self.order(version, sad, hashes),
        )
        .await
    }

    /// credentials/extendTransaction.
    pub async fn extend(&self, version: Version, sad: &str, hashes: &[Digest]) -> Answer {
        self.call(
            version,
            "credentials/extendTransaction",
            self.extension(version, sad, hashes),
        )
        .await
    }

    /// The body of credentials/extendTransaction.
    pub fn extension(&self, version: Version, sad: &str, hashes: &[Digest]) -> Value {
        let mut body = json!({"credentialID": self.credential.id, "SAD": sad});
        body[version.hashes()] = digests(hashes);
        if version == V2 {
            body["hashAlgorithmOID"] = json!(SHA256);
        }
        body
    }
}

const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
