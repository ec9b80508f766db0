//! Codes that go out by SMTP, through a mail server that others wrote.

use conformance_tests::{TestBed, V1, V2, digest};

#[tokio::test]
async fn the_code_in_a_mail_that_came_by_smtp_authorises() {
    let bed = TestBed::builder().mail_server().start().await;
    let signer = bed.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        signer.sign(version, &sad, &hash).await.ok();
    }
    assert_eq!(signer.holder.mails(), 2);
}
