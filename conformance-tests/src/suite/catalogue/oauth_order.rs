//! `oauth2/authorize` for signatures (CSC API v1 8.3.2, v2 8.4.2): which order the application may send a person with.

use super::{
    super::check::Need,
    Chapter,
    oauth_authorize::{INVALID, Spoilt::Without, to_sign, with},
};

/// The checks of an order, in the chapter of oauth2/authorize.
pub(super) fn checks(chapter: &mut Chapter<'_>) {
    signatures(chapter);
    hashes(chapter);
}

fn signatures(chapter: &mut Chapter<'_>) {
    let rows = [
        (
            "A4.no-credential",
            "no credentialID",
            Without("credentialID"),
        ),
        ("A4.no-count", "no numSignatures", Without("numSignatures")),
        (
            "A4.count-zero",
            "0 for numSignatures",
            with("numSignatures", "0"),
        ),
        (
            "A4.count-negative",
            "-1 for numSignatures",
            with("numSignatures", "-1"),
        ),
        (
            "A4.count-text",
            "a text for numSignatures",
            with("numSignatures", "one"),
        ),
        (
            "A4.count-fraction",
            "a fraction for numSignatures",
            with("numSignatures", "1.5"),
        ),
        (
            "A5.no-challenge",
            "no code_challenge",
            Without("code_challenge"),
        ),
    ];
    for (name, what, change) in rows {
        let title = format!("{what} is refused, and the application is told");
        let check = chapter.check(name, &title, async move |context| {
            let asking = change.of(to_sign(context)?);
            context.is_sent_back(&context.ask(&asking).await?, INVALID)
        });
        check.needs(Need::Credential);
    }
    let title = "an unknown credential is refused, and the application is told";
    let check = chapter.check("A4.unknown", title, async |context| {
        let asking = to_sign(context)?.with("credentialID", "unknown");
        context.is_sent_back(
            &context.ask(&asking).await?,
            &["invalid_request", "access_denied"],
        )
    });
    // A server may keep to itself which credentials there are until somebody has logged in.
    check.needs(Need::Credential).silent();
}

fn hashes(chapter: &mut Chapter<'_>) {
    let oid = "hashAlgorithmOID";
    let rows = [
        (
            "A4.no-hashes",
            "no hash for a SCAL 2 credential",
            Without("hashes"),
        ),
        (
            "A4.no-base64",
            "a hash that is no base64url",
            with("hashes", "no base64!"),
        ),
        (
            "A4.length",
            "a hash of three octets",
            with("hashes", "AAAA"),
        ),
        (
            "A4.empty-hash",
            "an empty hash in the list",
            with("hashes", ","),
        ),
        (
            "A4.no-algorithm",
            "hashes without their algorithm",
            Without(oid),
        ),
        (
            "A4.algorithm",
            "an unknown hash algorithm",
            with(oid, "1.2.3"),
        ),
        ("A4.sha1", "SHA-1", with(oid, "1.3.14.3.2.26")),
        (
            "A4.other-length",
            "hashes too short for their algorithm",
            with(oid, "2.16.840.1.101.3.4.2.3"),
        ),
        (
            "A4.more-signatures",
            "more signatures than hashes",
            with("numSignatures", "2"),
        ),
    ];
    for (name, what, change) in rows {
        let title = format!("{what} is refused, and the application is told");
        let check = chapter.check(name, &title, async move |context| {
            let mut asking = change.of(to_sign(context)?);
            if name == "A4.length" || name == "A4.other-length" {
                // The length must fit the algorithm that is named.
                asking = asking.with("numSignatures", "1");
            }
            context.is_sent_back(&context.ask(&asking).await?, INVALID)
        });
        check.needs(Need::Credential).needs(Need::Scal2);
        if name == "A4.more-signatures" {
            check.silent();
        }
    }
    let title = "fewer signatures than hashes are refused, and the application is told";
    let check = chapter.check("A4.more-hashes", title, async |context| {
        let asking = context.asking_to_sign(&context.documents(2))?;
        let asking = asking.with("numSignatures", "1");
        context.is_sent_back(&context.ask(&asking).await?, INVALID)
    });
    check.needs(Need::Credential).needs(Need::Scal2).silent();
}
