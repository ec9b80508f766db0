//! Portable Symmetric Key Container (RFC 6030), HOTP profile: keys in clear (4), or encrypted with a pre-shared AES-128 key and
//! authenticated (6.1). Keys under a password or a certificate, and the container's own signature, are not read.

use aws_lc_rs::{
    cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    hmac,
    iv::FixedLength,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use roxmltree::{Document, Node};
use zeroize::Zeroizing;

use super::{BadLine, Entry, NewToken, whole};
use crate::factor::Algorithm;

const PSKC: &str = "urn:ietf:params:xml:ns:keyprov:pskc";
const HOTP: &str = "urn:ietf:params:xml:ns:keyprov:pskc:hotp";
const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const AES_128_CBC: &str = "http://www.w3.org/2001/04/xmlenc#aes128-cbc";
const HMAC_SHA1: &str = "http://www.w3.org/2000/09/xmldsig#hmac-sha1";
const HMAC_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256";

type Octets = Zeroizing<Vec<u8>>;

/// What opens encrypted values: the pre-shared key, and the MAC key that it opens.
struct Transport {
    key: Octets,
    mac: hmac::Key,
}

pub(super) fn entries(text: &str, key: Option<&[u8]>) -> Result<Vec<Entry>, Vec<BadLine>> {
    // The parser refuses documents with a DTD.
    let document = Document::parse(text)
        .map_err(|error| vec![whole(error.pos().row.into(), "it is no XML without a DTD")])?;
    let root = document.root_element();
    if !root.has_tag_name((PSKC, "KeyContainer")) {
        return Err(vec![whole(1, "it is no key container of RFC 6030")]);
    }
    let transport = transport(root, key).map_err(|problem| vec![whole(1, problem)])?;
    let packages = root
        .children()
        .filter(|node| node.has_tag_name((PSKC, "KeyPackage")));
    Ok(packages
        .map(|package| {
            let line = document.text_pos_at(package.range().start).row;
            let token = token(package, transport.as_ref()).map_err(str::to_owned);
            (line.into(), token)
        })
        .collect())
}

fn transport(root: Node<'_, '_>, key: Option<&[u8]>) -> Result<Option<Transport>, &'static str> {
    let (name, key) = match (child(root, PSKC, "EncryptionKey"), key) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err("its keys are not encrypted: leave the pre-shared key out"),
        (Some(_), None) => {
            return Err("its keys are encrypted: name the file of the pre-shared key");
        }
        (Some(name), Some(key)) => (name, key),
    };
    if child(name, DSIG, "KeyName").is_none() {
        return Err("its keys are not encrypted with a pre-shared key");
    }
    let method = child(root, PSKC, "MACMethod").ok_or("it has no MACMethod")?;
    let algorithm = match method.attribute("Algorithm") {
        Some(HMAC_SHA1) => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Some(HMAC_SHA256) => hmac::HMAC_SHA256,
        _ => return Err("its MACMethod is neither HMAC-SHA1 nor HMAC-SHA256"),
    };
    let mac_key = child(method, PSKC, "MACKey").ok_or("it has no MACKey")?;
    let mac_key = decrypted(key, &cipher_value(mac_key)?)
        .ok_or("the pre-shared key does not open its MACKey")?;
    Ok(Some(Transport {
        key: Zeroizing::new(key.to_vec()),
        mac: hmac::Key::new(algorithm, &mac_key),
    }))
}

fn token(package: Node<'_, '_>, transport: Option<&Transport>) -> Result<NewToken, &'static str> {
    let serial = path(package, &["DeviceInfo", "SerialNo"]).ok_or("it has no SerialNo")?;
    let key = child(package, PSKC, "Key").ok_or("it has no Key")?;
    if key.attribute("Algorithm") != Some(HOTP) {
        return Err("its key is not of the HOTP profile");
    }
    let parameters =
        child(key, PSKC, "AlgorithmParameters").ok_or("it has no AlgorithmParameters")?;
    let algorithm = match child(parameters, PSKC, "Suite").map(text) {
        None => Algorithm::Sha1,
        Some(suite) => match suite.as_str() {
            "HMAC-SHA1" => Algorithm::Sha1,
            "HMAC-SHA256" => Algorithm::Sha256,
            _ => return Err("its Suite is neither HMAC-SHA1 nor HMAC-SHA256"),
        },
    };
    let format = child(parameters, PSKC, "ResponseFormat").ok_or("it has no ResponseFormat")?;
    if format.attribute("Encoding") != Some("DECIMAL") {
        return Err("its codes are not decimal");
    }
    let digits = format
        .attribute("Length")
        .and_then(|length| length.parse().ok());
    let secret = path(key, &["Data", "Secret"]).ok_or("it has no Secret")?;
    let counter =
        path(key, &["Data", "Counter", "PlainValue"]).ok_or("it has no Counter in clear")?;
    Ok(NewToken {
        serial: text(serial).to_string(),
        seed: seed(secret, transport)?,
        algorithm,
        digits: digits.ok_or("the Length of its codes is no number")?,
        counter: text(counter)
            .parse()
            .map_err(|_| "its Counter is no number")?,
    })
}

fn seed(secret: Node<'_, '_>, transport: Option<&Transport>) -> Result<Octets, &'static str> {
    match (
        child(secret, PSKC, "PlainValue"),
        child(secret, PSKC, "EncryptedValue"),
    ) {
        (Some(plain), None) => octets(plain).ok_or("its Secret is not base64"),
        (None, Some(encrypted)) => {
            let transport =
                transport.ok_or("its Secret is encrypted, the container names no key")?;
            let value = cipher_value(encrypted)?;
            // 6.1: the MAC is over what is encrypted, its IV included, and is judged first.
            let mac = child(secret, PSKC, "ValueMAC")
                .and_then(octets)
                .ok_or("it has no ValueMAC")?;
            hmac::verify(&transport.mac, &value, &mac).map_err(|_| "its ValueMAC is wrong")?;
            decrypted(&transport.key, &value).ok_or("its Secret cannot be decrypted")
        }
        _ => Err("its Secret has no value, or two"),
    }
}

fn cipher_value(encrypted: Node<'_, '_>) -> Result<Octets, &'static str> {
    let method = child(encrypted, XENC, "EncryptionMethod");
    if method.and_then(|method| method.attribute("Algorithm")) != Some(AES_128_CBC) {
        return Err("a value is not encrypted with AES-128-CBC");
    }
    child(encrypted, XENC, "CipherData")
        .and_then(|data| child(data, XENC, "CipherValue"))
        .and_then(octets)
        .ok_or("an encrypted value is not base64")
}

/// XML Encryption 5.2: the IV comes first; the last octet says how much is padding.
fn decrypted(key: &[u8], value: &[u8]) -> Option<Octets> {
    let (iv, value) = value.split_first_chunk::<16>()?;
    let key = UnboundCipherKey::new(&AES_128, key).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_iso10126(key).ok()?;
    let mut value = Zeroizing::new(value.to_vec());
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let plain = key.decrypt(&mut value, context).ok()?;
    Some(Zeroizing::new(plain.to_vec()))
}

fn path<'a, 'i>(node: Node<'a, 'i>, names: &[&str]) -> Option<Node<'a, 'i>> {
    names
        .iter()
        .try_fold(node, |node, name| child(node, PSKC, name))
}

fn child<'a, 'i>(node: Node<'a, 'i>, namespace: &str, name: &str) -> Option<Node<'a, 'i>> {
    node.children()
        .find(|node| node.has_tag_name((namespace, name)))
}

fn text(node: Node<'_, '_>) -> Zeroizing<String> {
    Zeroizing::new(node.text().unwrap_or_default().trim().to_owned())
}

fn octets(node: Node<'_, '_>) -> Option<Octets> {
    let text = text(node);
    let compact: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
    BASE64_STANDARD
        .decode(compact.as_bytes())
        .ok()
        .map(Zeroizing::new)
}
