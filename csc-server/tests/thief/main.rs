//! Nobody signs without the holder (SC-11). Each test steals one set of things, tries to sign with exactly that and fails; then the same hands are given
//! what they were missing, and sign.
//!
//! | what is stolen | test |
//! | --- | --- |
//! | the database | [`a_database_alone_signs_nothing_and_confirms_no_guess`] |
//! | and the configuration with every file it names | [`a_database_and_every_file_sign_nothing`] |
//! | a session of the HSM | [`a_session_of_the_hsm_alone_signs_nothing`] |
//! | all of them | [`all_of_them_without_the_pin_sign_nothing`] |
//! | the row of a SAD as well, and the right to write it | [`the_row_of_a_sad_signs_nothing_without_its_secret`] |
//! | an access token, a SAD, the row of a token | `conformance-tests/tests/sole_control.rs` |
//! | a backup from before a destruction | `conformance-tests/tests/rotation/backup.rs` |
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cracking;
mod hands;
mod installation;

use std::path::Path;

use csc_server::{config::Role, credential::Error, ids::CredentialId};
use hsm_adapter::{Content, Digest, Secret, VaultError};
use sha2::{Digest as _, Sha256};

use cracking::Dump;
use hands::{ECDSA, Hands, digest, octets};
use installation::{
    in_an_installation, own_files, sessions, sessions_elsewhere, steal_db, steal_files,
};

const PIN: &str = "31415926";
const PASSWORD: &str = "the password of Alice";
const THIEF_PIN: &str = "27182818";
/// With the right one among them.
const GUESSES: [&str; 4] = ["00000000", "12345678", PIN, THIEF_PIN];

/// Somebody who has enrolled, and what the thief would have signed.
struct Victim {
    id: CredentialId,
    contract: Digest,
}

impl Victim {
    async fn of(service: &Hands, dir: &Path) -> Self {
        Self {
            id: service.enrols(dir, "alice", PASSWORD, PIN).await,
            contract: digest(b"a contract nobody read"),
        }
    }

    async fn content(&self, hands: &Hands) -> Content {
        hands.content(&self.id, &self.contract).await
    }
}

/// Every guess, and what its trial says: the same of a right and of a wrong one.
async fn nothing_opens(thief: &Hands, victim: &Victim) {
    for guess in GUESSES {
        let signed = thief.signs(&victim.id, guess, &victim.contract).await;
        assert!(
            matches!(signed, Err(VaultError::Damaged)),
            "{guess}: {signed:?}"
        );
    }
}

/// The same hands with HSM and PIN: so these were missing.
async fn with_hsm_and_pin_it_signs(loot: &Path, hsm: hsm_adapter::Pool, victim: &Victim) {
    let hands = Hands::on(loot, hsm).await;
    for guess in GUESSES {
        let signed = hands.signs(&victim.id, guess, &victim.contract).await;
        match guess {
            PIN => signed.unwrap(),
            _ => assert!(matches!(signed, Err(VaultError::WrongPin)), "{signed:?}"),
        }
    }
}

#[test]
fn a_database_alone_signs_nothing_and_confirms_no_guess() {
    let name = "a_database_alone_signs_nothing_and_confirms_no_guess";
    in_an_installation(name, async |dir| {
        let service = Hands::of(dir).await;
        let victim = Victim::of(&service, dir).await;
        let content = victim.content(&service).await;
        let sad = service.holder_approves(&victim.id, PIN, &content).await;
        let loot = tempfile::tempdir().unwrap();
        steal_db(dir, loot.path());
        own_files(loot.path());
        let thief = Hands::on(loot.path(), sessions_elsewhere()).await;
        thief.vault.init().await.unwrap();

        let dump = Dump::of(loot.path());
        for word in GUESSES.into_iter().chain([PASSWORD]) {
            let confirmed = dump.confirms(word).await;
            assert_eq!(confirmed, None, "{word}");
        }
        // The harness finds what is there to be found: a name, and the hash of a secret that nobody can guess.
        assert!(dump.confirms("alice").await.is_some());
        let (_, secret) = sad.split_once('.').unwrap();
        let secret = Secret::parse(secret).unwrap();
        let hash = Sha256::digest(secret.bits());
        assert_eq!(dump.holds(&hash).as_deref(), Some("activation secret_hash"));
        for hidden in [secret.bits().as_slice(), secret.expose().as_bytes()] {
            assert_eq!(dump.holds(hidden), None);
        }
        // No private key lies open: PKCS #8 of a curve, or text.
        for key in [
            &b"\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"[..],
            b"PRIVATE KEY",
        ] {
            assert_eq!(dump.holds(key), None);
        }
        nothing_opens(&thief, &victim).await;
        let direct = csc_server::ids::ClientId::direct();
        let logged_in = thief.accounts.log_in("alice", PASSWORD, &direct).await;
        assert!(logged_in.is_err(), "not even with the right password");

        with_hsm_and_pin_it_signs(loot.path(), sessions(dir, Role::Holder), &victim).await;
        service
            .accounts
            .log_in("alice", PASSWORD, &direct)
            .await
            .unwrap();
    });
}

#[test]
fn a_database_and_every_file_sign_nothing() {
    let name = "a_database_and_every_file_sign_nothing";
    in_an_installation(name, async |dir| {
        let service = Hands::of(dir).await;
        let victim = Victim::of(&service, dir).await;
        let loot = tempfile::tempdir().unwrap();
        steal_db(dir, loot.path());
        steal_files(dir, loot.path());
        let thief = Hands::on(loot.path(), sessions_elsewhere()).await;
        thief.vault.init().await.unwrap();

        nothing_opens(&thief, &victim).await;

        // The PIN of the token was among the files: it is the device that they open nothing without.
        let hsm = sessions(loot.path(), Role::Holder);
        with_hsm_and_pin_it_signs(loot.path(), hsm, &victim).await;
    });
}

/// Somebody at the HSM may use every master key for whatever he likes; what he has no ciphertext of he cannot open.
#[test]
fn a_session_of_the_hsm_alone_signs_nothing() {
    let name = "a_session_of_the_hsm_alone_signs_nothing";
    in_an_installation(name, async |dir| {
        let service = Hands::of(dir).await;
        let victim = Victim::of(&service, dir).await;
        let content = victim.content(&service).await;
        let (theirs, digests) = (service.key(&victim.id).await, [victim.contract.clone()]);
        // A key of his own in an empty database, under the same master keys.
        let loot = tempfile::tempdir().unwrap();
        own_files(loot.path());
        let thief = Hands::on(loot.path(), sessions(dir, Role::Holder)).await;
        thief.sets_up(&service).await;
        let mine = thief.enrols(dir, "mallory", PASSWORD, THIEF_PIN).await;
        let mine = thief.key(&mine).await;

        // What is public of the victim, on what is his: certificate and public key are no secrets, and the HSM gives him a MAC for it.
        let mut forged = mine.clone();
        forged.credential.clone_from(&theirs.credential);
        forged.spki.clone_from(&theirs.spki);
        forged.record.clone_from(&theirs.record);
        let (masters, mac) = thief.vault.mac_record(&forged.record).await.unwrap();
        (forged.masters, forged.record_mac) = (masters, mac.to_vec());
        let approved = thief.approves(&forged, THIEF_PIN, &content).await;
        assert!(approved.is_err(), "{approved:?}");
        // Under his own name his own key opens, and what it signs is not the victim's.
        let mut renamed = mine.clone();
        renamed.spki.clone_from(&theirs.spki);
        renamed.record.clone_from(&theirs.record);
        renamed.record_mac = mac.to_vec();
        let own = Content {
            credential: mine.credential.clone(),
            ..content.clone()
        };
        let live = thief.approves(&renamed, THIEF_PIN, &own).await.unwrap();
        let signed = thief.vault.sign(&renamed, &live, ECDSA, &digests, 0).await;
        assert!(signed.is_err(), "{signed:?}");
        thief
            .vault
            .sign(&mine, &live, ECDSA, &digests, 0)
            .await
            .unwrap();

        // The same session with the row and the PIN.
        let live = thief.approves(&theirs, PIN, &content).await.unwrap();
        let signed = thief.vault.sign(&theirs, &live, ECDSA, &digests, 0).await;
        assert_eq!(signed.unwrap().len(), 1);
    });
}

#[test]
fn all_of_them_without_the_pin_sign_nothing() {
    let name = "all_of_them_without_the_pin_sign_nothing";
    in_an_installation(name, async |dir| {
        let thief = Hands::of(dir).await;
        let victim = Victim::of(&thief, dir).await;
        let own = thief.enrols(dir, "mallory", PASSWORD, THIEF_PIN).await;

        for guess in GUESSES.into_iter().filter(|guess| *guess != PIN) {
            let signed = thief.signs(&victim.id, guess, &victim.contract).await;
            assert!(matches!(signed, Err(VaultError::WrongPin)), "{signed:?}");
        }
        uses_what_opens_an_own_key(&thief, &victim, &own).await;

        thief
            .signs(&victim.id, PIN, &victim.contract)
            .await
            .unwrap();
    });
}

/// Makes the victim's row pass for his own PIN.
async fn uses_what_opens_an_own_key(thief: &Hands, victim: &Victim, own: &CredentialId) {
    let (theirs, mine) = (thief.key(&victim.id).await, thief.key(own).await);
    let content = victim.content(thief).await;
    let mut only_the_check = theirs.clone();
    only_the_check.pin_check.clone_from(&mine.pin_check);
    only_the_check.salt.clone_from(&mine.salt);
    let mut all_of_the_pin = only_the_check.clone();
    all_of_the_pin.w_pin.clone_from(&mine.w_pin);
    let mut in_my_name = mine.clone();
    in_my_name.key_blob = theirs.key_blob;
    for forged in [only_the_check, all_of_the_pin, in_my_name] {
        let approved = thief.approves(&forged, THIEF_PIN, &content).await;
        assert!(approved.is_err(), "{approved:?}");
    }
    // His own key opens, so the forgeries failed for the right reason.
    let contract = digest(b"his own contract");
    thief.signs(own, THIEF_PIN, &contract).await.unwrap();
}

/// A SAD was issued and is not used yet: its row says what it opens.
#[test]
fn the_row_of_a_sad_signs_nothing_without_its_secret() {
    let name = "the_row_of_a_sad_signs_nothing_without_its_secret";
    in_an_installation(name, async |dir| {
        let thief = Hands::of(dir).await;
        let victim = Victim::of(&thief, dir).await;
        let Victim { id, contract } = &victim;
        let content = victim.content(&thief).await;
        let sad = thief.holder_approves(id, PIN, &content).await;
        let (row, _) = sad.split_once('.').unwrap();

        let own = Secret::random().unwrap();
        let stolen = format!("{row}.{}", own.expose());
        let signed = thief.redeems(id, &stolen, contract).await;
        assert!(matches!(signed, Err(Error::InvalidSad)), "{signed:?}");
        // Every value of the row in the place of the secret.
        let dump = "SELECT secret_hash, wrapped, content FROM activation";
        let mut read = thief.store.find(dump, &[]).await.unwrap().unwrap();
        let hash: Vec<u8> = read.get(0).unwrap();
        let wrapped: Vec<u8> = read.get(1).unwrap();
        for octets in [&hash[..], &wrapped[4..36]] {
            let bits = <[u8; 32]>::try_from(octets).unwrap();
            let guessed = format!("{row}.{}", text(&bits));
            let signed = thief.redeems(id, &guessed, contract).await;
            assert!(matches!(signed, Err(Error::InvalidSad)), "{signed:?}");
        }
        // A hash of a secret that he knows: the row lets him in, and opens nothing.
        let hash_of_own = Sha256::digest(own.bits()).to_vec();
        let sql = "UPDATE activation SET secret_hash = $1";
        thief.writes(sql, hash_of_own).await;
        let signed = thief.redeems(id, &stolen, contract).await;
        assert!(matches!(signed, Err(Error::Damaged)), "{signed:?}");
        thief.writes(sql, hash).await;

        // The client comes with its SAD, for what the thief has put in the place of what was approved.
        let smuggled = digest(b"another contract");
        let edited = octets(&thief.content(id, &smuggled).await);
        let sql = "UPDATE activation SET content = $1";
        thief.writes(sql, edited).await;
        let signed = thief.redeems(id, &sad, &smuggled).await;
        assert!(matches!(signed, Err(Error::Damaged)), "{signed:?}");

        // With the secret, for what was approved.
        thief.writes(sql, octets(&content)).await;
        assert_eq!(thief.redeems(id, &sad, contract).await.unwrap().len(), 1);
    });
}

/// A secret's wire form, of octets that were found somewhere.
fn text(bits: &[u8; 32]) -> String {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    BASE64_URL_SAFE_NO_PAD.encode(bits)
}
