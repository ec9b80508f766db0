use super::*;

const SEED: &[u8] = b"12345678901234567890";

/// RFC 6030, figure 6: its key, and its container.
const KEY: [u8; 16] = [
    0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12,
];
const ENCRYPTED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"
    xmlns:ds="http://www.w3.org/2000/09/xmldsig#" xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">
  <EncryptionKey><ds:KeyName>Pre-shared-key</ds:KeyName></EncryptionKey>
  <MACMethod Algorithm="http://www.w3.org/2000/09/xmldsig#hmac-sha1">
    <MACKey>
      <xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>
      <xenc:CipherData>
        <xenc:CipherValue>ESIzRFVmd4iZABEiM0RVZgKn6WjLaTC1sbeBMSvIhRejN9vJa2BOlSaMrR7I5wSX</xenc:CipherValue>
      </xenc:CipherData>
    </MACKey>
  </MACMethod>
  <KeyPackage>
    <DeviceInfo><Manufacturer>Manufacturer</Manufacturer><SerialNo>987654321</SerialNo></DeviceInfo>
    <CryptoModuleInfo><Id>CM_ID_001</Id></CryptoModuleInfo>
    <Key Id="12345678" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp">
      <Issuer>Issuer</Issuer>
      <AlgorithmParameters><ResponseFormat Length="8" Encoding="DECIMAL"/></AlgorithmParameters>
      <Data>
        <Secret>
          <EncryptedValue>
            <xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>
            <xenc:CipherData>
              <xenc:CipherValue>
                AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv
              </xenc:CipherValue>
            </xenc:CipherData>
          </EncryptedValue>
          <ValueMAC>Su+NvtQfmvfJzF6bmQiJqoLRExc=</ValueMAC>
        </Secret>
        <Counter><PlainValue>0</PlainValue></Counter>
      </Data>
    </Key>
  </KeyPackage>
</KeyContainer>"#;

/// RFC 6030, figure 2, with one more key.
const PLAIN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<pskc:KeyContainer Version="1.0" xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc">
  <pskc:KeyPackage>
    <pskc:DeviceInfo><pskc:SerialNo>A1</pskc:SerialNo></pskc:DeviceInfo>
    <pskc:Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp">
      <pskc:AlgorithmParameters><pskc:ResponseFormat Length="6" Encoding="DECIMAL"/></pskc:AlgorithmParameters>
      <pskc:Data>
        <pskc:Secret><pskc:PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</pskc:PlainValue></pskc:Secret>
        <pskc:Counter><pskc:PlainValue>7</pskc:PlainValue></pskc:Counter>
      </pskc:Data>
    </pskc:Key>
  </pskc:KeyPackage>
</pskc:KeyContainer>"#;

fn problem(read: Result<Vec<NewToken>, Vec<BadLine>>) -> String {
    let Err(bad) = read else {
        panic!("it was read");
    };
    let told = bad
        .iter()
        .map(|bad| format!("{}: {}", bad.line, bad.problem));
    told.collect::<Vec<_>>().join("; ")
}

#[test]
fn a_csv_file_gives_its_tokens() {
    let text = "serial,seed,digits,counter\r\n\
                A1, 3132333435363738393031323334353637383930 ,6,0\r\n\
                \"A,2\",3132333435363738393031323334353637383930,8,17\r\n";
    let tokens = csv(text).unwrap_or_else(|bad| panic!("{bad:?}"));
    let read: Vec<_> = tokens
        .iter()
        .map(|token| (token.serial.as_str(), token.digits, token.counter))
        .collect();
    assert_eq!(read, [("A1", 6, 0), ("A,2", 8, 17)]);
    assert!(tokens.iter().all(|token| *token.seed == SEED));
}

#[test]
fn every_bad_line_of_a_csv_file_is_told_and_no_seed_is_repeated() {
    let seed = "3132333435363738393031323334353637383930";
    let text = format!(
        "serial,seed,digits,counter\n\
         A1,{seed},6,0\nA2,{seed},7,0\nA3,{seed}\nA4,31323,6,0\nA5,313233,6,0\nA6,{seed},6,-1\nA7,{seed},six,0\nA1,{seed},6,0\n,{seed},6,0\n"
    );
    let told = problem(csv(&text));
    assert_eq!(
        told,
        "3: a code has 6 or 8 digits; 4: it has not four fields; 5: its seed is not hexadecimal; \
         6: a seed has 16 to 64 octets; 7: a counter is not negative; 8: its digits are no number; \
         9: its serial number was there before; 10: a serial number has 1 to 64 characters"
    );
    assert!(!told.contains("31323"));
}

#[test]
fn a_csv_file_without_the_names_of_its_columns_is_refused() {
    let named = "1: the first line names the columns: serial,seed,digits,counter";
    assert_eq!(problem(csv("A1,3132,6,0\n")), named);
    assert_eq!(problem(csv("")), named);
    let empty = "1: there is no token in it";
    assert_eq!(problem(csv("serial,seed,digits,counter\n")), empty);
}

#[test]
fn a_key_container_in_clear_gives_its_tokens() {
    let tokens = pskc(PLAIN, None).unwrap_or_else(|bad| panic!("{bad:?}"));
    let [token] = tokens.as_slice() else {
        panic!("one token");
    };
    assert_eq!(
        (token.serial.as_str(), token.digits, token.counter),
        ("A1", 6, 7)
    );
    assert_eq!(*token.seed, SEED);
}

#[test]
fn the_encrypted_key_container_of_rfc_6030_gives_its_token() {
    let tokens = pskc(ENCRYPTED, Some(&KEY)).unwrap_or_else(|bad| panic!("{bad:?}"));
    let [token] = tokens.as_slice() else {
        panic!("one token");
    };
    assert_eq!(
        (token.serial.as_str(), token.digits, token.counter),
        ("987654321", 8, 0)
    );
    assert_eq!(*token.seed, SEED);
}

#[test]
fn an_encrypted_key_container_opens_with_its_key_only() {
    let needed = "1: its keys are encrypted: name the file of the pre-shared key";
    assert_eq!(problem(pskc(ENCRYPTED, None)), needed);
    let mut other = KEY;
    other[0] ^= 1;
    assert!(pskc(ENCRYPTED, Some(&other)).is_err());
    let needless = "1: its keys are not encrypted: leave the pre-shared key out";
    assert_eq!(problem(pskc(PLAIN, Some(&KEY))), needless);
}

#[test]
fn an_encrypted_seed_that_was_changed_is_refused() {
    let changed = ENCRYPTED.replace("AAECAwQF", "AAECAwQG");
    assert_eq!(
        problem(pskc(&changed, Some(&KEY))),
        "13: its ValueMAC is wrong"
    );
    let unproven = ENCRYPTED.replace("<ValueMAC>Su+NvtQfmvfJzF6bmQiJqoLRExc=</ValueMAC>", "");
    assert_eq!(
        problem(pskc(&unproven, Some(&KEY))),
        "13: it has no ValueMAC"
    );
}

#[test]
fn what_a_key_container_must_have_is_asked_for() {
    for (good, bad, expected) in [
        (
            "keyprov:pskc:hotp",
            "keyprov:pskc:totp",
            "3: its key is not of the HOTP profile",
        ),
        (
            "Length=\"6\"",
            "Length=\"9\"",
            "3: a code has 6 or 8 digits",
        ),
        ("DECIMAL", "HEXADECIMAL", "3: its codes are not decimal"),
        (
            "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=",
            "MTIz",
            "3: a seed has 16 to 64 octets",
        ),
        (
            "<pskc:PlainValue>7</pskc:PlainValue>",
            "",
            "3: it has no Counter in clear",
        ),
        (
            "xmlns:pskc=\"urn:",
            "xmlns:pskc=\"uri:",
            "1: it is no key container of RFC 6030",
        ),
    ] {
        assert!(PLAIN.contains(good), "{good}");
        assert_eq!(problem(pskc(&PLAIN.replace(good, bad), None)), expected);
    }
}

#[test]
fn a_document_type_is_refused_before_any_entity_is_looked_at() {
    let bomb = PLAIN.replace(
        "<pskc:KeyContainer",
        "<!DOCTYPE a [<!ENTITY b \"bbbbbbbb\"><!ENTITY c \"&b;&b;\">]><pskc:KeyContainer",
    );
    let told = problem(pskc(&bomb, None));
    assert!(told.ends_with("it is no XML without a DTD"), "{told}");
}
