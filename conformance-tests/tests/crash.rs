//! SIGKILL in the middle of load, again and again: what a client received stands in the history, and no SAD gives more
//! than was approved, before the crash and after it together.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what fails in a helper fails its test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use conformance_tests::{Answer, Digest, Signer, TestBed, V1, V2, Version, digest};
use futures_util::future::join_all;
use serde_json::Value;

#[tokio::test]
async fn twenty_crashes_lose_no_signature_and_give_none_twice() {
    crashes(&TestBed::builder().start().await, 20).await;
}

#[tokio::test]
async fn five_crashes_lose_no_signature_and_give_none_twice_on_postgres() {
    crashes(&TestBed::builder().postgres().start().await, 5).await;
}

const SIGNERS: usize = 4;

/// One approval of two documents that no other approval names.
struct Approval {
    signer: usize,
    version: Version,
    sad: String,
    hashes: [Digest; 2],
}

/// Who signed what, as clients saw it: how often each hash was signed.
type Received = BTreeMap<(usize, Digest), usize>;

async fn crashes(bed: &TestBed, rounds: usize) {
    let signers = join_all((0..SIGNERS).map(|_| bed.signer())).await;
    let mut received = Received::new();
    let (mut before, mut cut_off, mut lost) = (0, 0, 0);
    for round in 0..rounds {
        let approvals = (0..SIGNERS).map(|signer| approve(&signers, signer, round));
        let approvals = join_all(approvals).await;
        let answers = load_until_killed(bed, &signers, &approvals, 1 + round % 8).await;
        cut_off += answers
            .iter()
            .filter(|(_, answer)| answer.is_none())
            .count();
        for (key, answer) in answers {
            if answer.is_some_and(|answer| answer.status == 200) {
                *received.entry(key).or_default() += 1;
                before += 1;
            }
        }
        bed.start().await;
        for approval in &approvals {
            for hash in sign_what_is_left(&signers, approval).await {
                *received.entry((approval.signer, hash)).or_default() += 1;
            }
            let both = approval.hashes.iter();
            let missing = |hash: &&Digest| !received.contains_key(&(approval.signer, **hash));
            lost += both.filter(missing).count();
        }
    }
    let twice: Vec<_> = received.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "signed twice: {twice:?}");
    for (number, signer) in signers.iter().enumerate() {
        let of_signer = received.keys().filter(|(owner, _)| *owner == number);
        let of_signer: BTreeSet<_> = of_signer.map(|(_, hash)| *hash).collect();
        let recorded = history(bed, signer);
        let missing = of_signer.difference(&recorded).count();
        assert_eq!(missing, 0, "signatures that no history knows");
    }
    // All of it happened: answers before the crash, requests cut off by it, approvals used up without an answer.
    assert!(
        before > 0 && cut_off > 0 && lost > 0,
        "{before} signed before, {cut_off} cut off, {lost} lost"
    );
    bed.inspect();
}

async fn approve(signers: &[Signer<'_>], signer: usize, round: usize) -> Approval {
    let version = [V1, V2][signer % 2];
    let hashes = ["first", "second"].map(|name| digest(&format!("{name} {round} {signer}")));
    let sad = signers[signer].sad(version, &hashes).await;
    Approval {
        signer,
        version,
        sad,
        hashes,
    }
}

type Cut = ((usize, Digest), Option<Answer>);

/// Sends each order three times at once, and kills the service when so many have been answered.
async fn load_until_killed(
    bed: &TestBed,
    signers: &[Signer<'_>],
    approvals: &[Approval],
    answers: usize,
) -> Vec<Cut> {
    let api = bed.api();
    let answered = AtomicUsize::new(0);
    let orders = approvals.iter().flat_map(|approval| {
        let hashes = approval.hashes.iter().copied();
        hashes.flat_map(move |hash| [(approval, hash); 3])
    });
    let requests = orders.map(async |(approval, hash)| {
        let signer = &signers[approval.signer];
        let order = signer.order(approval.version, &approval.sad, &[hash]);
        let method = "signatures/signHash";
        let request = api.method(approval.version, method, &signer.token, &order);
        let answer = api.try_send(request).await.ok();
        if answer.is_some() && answered.fetch_add(1, Ordering::Relaxed) + 1 == answers {
            bed.kill();
        }
        ((approval.signer, hash), answer)
    });
    join_all(requests).await
}

/// Tries everything that may still be signed with this approval; gives what was.
async fn sign_what_is_left(signers: &[Signer<'_>], approval: &Approval) -> Vec<Digest> {
    let (signer, version) = (&signers[approval.signer], approval.version);
    let at_once = signer.sign(version, &approval.sad, &approval.hashes).await;
    if at_once.status == 200 {
        return approval.hashes.to_vec();
    }
    let mut signed = Vec::new();
    for hash in approval.hashes {
        let extended = signer.extend(version, &approval.sad, &[hash]).await;
        let sad = match extended.status {
            200 => extended.text_of("SAD"),
            _ => approval.sad.clone(),
        };
        if signer.sign(version, &sad, &[hash]).await.status == 200 {
            signed.push(hash);
        }
    }
    signed
}

/// The hashes in the history; none twice.
fn history(bed: &TestBed, signer: &Signer<'_>) -> BTreeSet<Digest> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let arguments = ["history", "--credential", &signer.credential.id];
    let printed = bed.cli(&arguments, &[]).expect("history");
    let hashes: Vec<Digest> = printed
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let hash = STANDARD.decode(row["hash"].as_str().unwrap()).unwrap();
            hash.try_into().unwrap()
        })
        .collect();
    let set: BTreeSet<_> = hashes.iter().copied().collect();
    assert_eq!(set.len(), hashes.len(), "one row a signature");
    set
}
