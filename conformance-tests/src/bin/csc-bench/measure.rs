//! The measurements, one a row or a few.

use std::time::{Duration, Instant};

use conformance_tests::Credential;

use crate::{
    check, cpu,
    load::{Outcome, Work},
    null, raw,
    report::{Row, Target},
    say,
    scene::{self, ECDSA, MOST, RSA, Scene},
};

const RAW_TIME: Duration = Duration::from_secs(4);
/// Hashes of an approval that is used one by one: more would measure how long approvals are read, fewer how keys are opened.
const APPROVED: usize = 100;

/// Measures every row whose name has this in it.
pub(crate) async fn all(only: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let wanted = |name: &str| only.is_empty() || name.contains(only);
    if wanted("cost") {
        rows.extend(cost().await);
        rows.extend(calls().await);
    }
    if wanted("ceiling") {
        rows.extend(ceiling().await);
    }
    if wanted("device") {
        rows.extend(device().await);
    }
    if wanted("overload") {
        rows.push(overload().await);
    }
    if wanted("million") {
        rows.extend(million().await);
    }
    rows
}

fn row(name: impl Into<String>, unit: &'static str, value: f64, target: Target) -> Row {
    let name = name.into();
    say(&format!("{name}: {value:.3} {unit}"));
    Row {
        name,
        unit,
        value,
        target,
    }
}

/// Signatures of one key type through the service and in the raw loop.
async fn cost() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut scene = Scene::start(&[("sessions", "2")]).await;
    let target = scene.target().await;
    for (key, algorithm, one, hundred) in [("p256", ECDSA, 80, 12), ("rsa-3072", RSA, 20, 4)] {
        say(&format!("{key}: the raw loop"));
        let loops: Vec<_> = [1, 2, 4]
            .map(|threads| raw::start(&scene.place(), key, threads, RAW_TIME).end())
            .into();
        let cheapest = loops
            .iter()
            .map(raw::Made::cost)
            .fold(f64::INFINITY, f64::min);
        let fastest = loops.iter().map(raw::Made::per_second).fold(0.0, f64::max);
        rows.push(row(
            format!("raw loop {key}: CPU per signature"),
            "ms",
            cheapest,
            Target::None,
        ));
        rows.push(row(
            format!("raw loop {key}: signatures per second, best thread count"),
            "1/s",
            fastest,
            Target::None,
        ));

        let check = check::cost(key);
        rows.push(row(
            format!("{key}: check of a signature before it leaves: CPU, not in the figures beyond the raw loop"),
            "ms",
            check,
            Target::None,
        ));
        let beyond = |cost: f64| cost - cheapest - check;
        // Targets are those of P-256.
        let of = |name: &str| match key {
            "p256" => name.to_owned(),
            _ => format!("{key}: {name}"),
        };

        say(&format!("{key}: approvals"));
        let credential = scene.credential(key);
        warm(&mut scene, &target, &credential, algorithm).await;
        for (http2, name) in [(false, "HTTP/1.1"), (true, "HTTP/2")] {
            let work = scene
                .signing(&credential, algorithm, one, APPROVED, 1)
                .await;
            let outcome = target.run(work, 4, http2).await.all_accepted(name);
            let what = format!("service {key}, key open, one hash a request, {name}");
            rows.extend(latencies(&what, &outcome));
            if !http2 {
                let judged = if key == "p256" {
                    Target::AtMost(0.15)
                } else {
                    Target::None
                };
                let name = of(
                    "server CPU per signature beyond the raw loop, key open, one hash a request, SQLite synchronous=FULL",
                );
                rows.push(row(name, "ms", beyond(outcome.cost()), judged));
            }
        }
        let work = scene
            .signing(&credential, algorithm, hundred, MOST, 100)
            .await;
        let outcome = target.run(work, 4, false).await.all_accepted("100 hashes");
        let judged = if key == "p256" {
            Target::AtMost(0.03)
        } else {
            Target::None
        };
        let name = of("the same, 100 hashes a request, per signature");
        rows.push(row(name, "ms", beyond(outcome.cost() / 100.0), judged));

        if key == "p256" {
            let work = scene.signing(&credential, algorithm, 150, 1, 1).await;
            let outcome = target.run(work, 4, false).await.all_accepted("opened anew");
            rows.push(row(
                "p256: server CPU per signature beyond the raw loop, key opened once per signature",
                "ms",
                beyond(outcome.cost()),
                Target::None,
            ));
            rows.push(
                approve_and_sign(
                    &mut scene,
                    &target,
                    &credential,
                    algorithm,
                    cheapest + check,
                )
                .await,
            );
        } else {
            rows.extend(throughput(&mut scene, &target, &credential, algorithm).await);
        }
    }
    rows
}

async fn warm(
    scene: &mut Scene,
    target: &crate::load::Target,
    credential: &Credential,
    algorithm: &str,
) {
    let work = scene.signing(credential, algorithm, 4, APPROVED, 1).await;
    target.run(work, 4, false).await.all_accepted("warming up");
}

fn latencies(what: &str, outcome: &Outcome) -> Vec<Row> {
    vec![
        row(
            format!("{what}: server CPU per signature"),
            "ms",
            outcome.cost(),
            Target::None,
        ),
        row(
            format!("{what}: signatures per second"),
            "1/s",
            outcome.per_second(),
            Target::None,
        ),
        row(
            format!("{what}: median"),
            "ms",
            outcome.percentile(0.5),
            Target::None,
        ),
        row(
            format!("{what}: 99th percentile"),
            "ms",
            outcome.percentile(0.99),
            Target::None,
        ),
    ]
}

/// The calls of PKCS#11 that a signature takes, with a key that is open and with one that is opened for it.
async fn calls() -> Vec<Row> {
    const COUNTED: usize = 20;
    let mut scene = Scene::forwarded(&[("sessions", "2")]).await;
    let (target, credential) = (scene.target().await, scene.credential("p256"));
    let mut rows = Vec::new();
    let open = scene.signing(&credential, ECDSA, 1, COUNTED + 2, 1).await;
    let anew = scene.signing(&credential, ECDSA, COUNTED + 2, 1, 1).await;
    let open = open
        .into_iter()
        .flat_map(|work| std::iter::repeat_n(Work { times: 1, ..work }, COUNTED + 2));
    for (name, most, work) in [
        ("key open", 2.0, open.collect::<Vec<_>>()),
        ("key opened once per signature", 14.0, anew),
    ] {
        let mut work = work.into_iter();
        let mut send = async |count: usize| {
            let some = work.by_ref().take(count).collect();
            target
                .run(some, 1, false)
                .await
                .all_accepted("counting calls");
        };
        send(1).await;
        scene.count_calls("before");
        send(COUNTED).await;
        let before = scene.calls("before").await;
        scene.count_calls("after");
        send(1).await;
        let calls = scene.calls("after").await - before;
        let name = format!("PKCS#11 calls per signature, {name}");
        rows.push(row(
            name,
            "calls",
            calls as f64 / COUNTED as f64,
            Target::AtMost(most),
        ));
    }
    rows
}

/// credentials/authorize and signHash, one after the other.
async fn approve_and_sign(
    scene: &mut Scene,
    target: &crate::load::Target,
    credential: &Credential,
    algorithm: &str,
    raw: f64,
) -> Row {
    const TIMES: usize = 150;
    let argon = scene::argon2();
    let before = cpu::of(scene.pid());
    let work = scene.signing(credential, algorithm, TIMES, 1, 1).await;
    target
        .run(work, 1, false)
        .await
        .all_accepted("authorize and signHash");
    let used = cpu::of(scene.pid()).saturating_sub(before).as_secs_f64() * 1000.0 / TIMES as f64;
    row(
        "authorize + signHash, P-256: CPU beyond Argon2 and the raw signature",
        "ms",
        used - argon - raw,
        Target::AtMost(2.0),
    )
}

/// As many signatures a second as the raw loop makes while the same client asks an endpoint that does nothing.
async fn throughput(
    scene: &mut Scene,
    target: &crate::load::Target,
    credential: &Credential,
    algorithm: &str,
) -> Vec<Row> {
    let work = scene.signing(credential, algorithm, 64, 60, 1).await;
    let outcome = target
        .run(work, 32, false)
        .await
        .all_accepted("32 connections");
    let endpoint = null::Endpoint::start(&scene.bed.dir().join("tls"));
    let mut idle = target.clone();
    (idle.address, idle.pid) = (endpoint.address, endpoint.pid());
    // At the pace of the service, so that the client costs the same.
    let pace = outcome.per_second();
    let work = scene::signature(
        credential,
        "nothing",
        algorithm,
        &[[0; 32]],
        (pace * 6.0) as usize,
    );
    let running = raw::start(&scene.place(), "rsa-3072", 2, RAW_TIME);
    let beside = idle
        .offer(vec![work], pace)
        .await
        .all_accepted("the null endpoint");
    let made = running.end();
    vec![
        row(
            "client against a null endpoint: client CPU per request",
            "ms",
            1000.0 * beside.client_cpu / beside.accepted(),
            Target::None,
        ),
        row(
            "raw loop rsa-3072 beside that client: signatures per second",
            "1/s",
            made.per_second(),
            Target::None,
        ),
        row(
            "throughput RSA-3072, key open, 32 connections, against the raw loop beside the same client hitting a null endpoint",
            "ratio",
            pace / made.per_second(),
            Target::AtLeast(0.9),
        ),
    ]
}

/// What the service itself can do: a module that signs at no cost.
async fn ceiling() -> Vec<Row> {
    let mut scene = Scene::forwarded(&[("sessions", "2")]).await;
    let (target, credential) = (scene.target().await, scene.credential("rsa-3072"));
    scene.bed.rules(&["C_Sign remember"]);
    warm(&mut scene, &target, &credential, RSA).await;
    let work = scene.signing(&credential, RSA, 200, APPROVED, 1).await;
    let outcome = target.run(work, 16, true).await.all_accepted("at no cost");
    let mut rows = latencies("module at no cost, one hash a request", &outcome);
    rows.push(row(
        "the service alone, module at no cost: signatures per second and core, one hash a request",
        "1/s",
        outcome.accepted() / outcome.server_cpu,
        Target::AtLeast(7000.0),
    ));
    rows
}

/// How full a network HSM is kept: 2 ms a call, 16 sessions.
async fn device() -> Vec<Row> {
    let mut scene = Scene::forwarded(&[("sessions", "16")]).await;
    let (target, credential) = (scene.target().await, scene.credential("rsa-3072"));
    scene.bed.rules(&["C_Sign remember"]);
    warm(&mut scene, &target, &credential, RSA).await;
    let work = scene.signing(&credential, RSA, 200, APPROVED, 1).await;
    scene.bed.rules(&[
        "C_Sign remember",
        "C_Sign delay 2ms",
        "C_SignInit delay 2ms",
    ]);
    let outcome = target.run(work, 64, true).await.all_accepted("2 ms a call");
    let mut rows = latencies("2 ms a call, 16 sessions, 64 connections", &outcome);
    rows.push(row(
        "device of 2 ms a call, 16 sessions: share of the 4,000 signatures per second that it can give",
        "ratio",
        outcome.per_second() / 4000.0,
        Target::AtLeast(0.9),
    ));
    rows
}

/// Twice as much as the device can take.
async fn overload() -> Row {
    const DEADLINE: f64 = 0.5;
    let mut scene = Scene::forwarded(&[
        ("sessions", "4"),
        ("queue", "10000"),
        ("deadline", "\"500ms\""),
    ])
    .await;
    let (target, credential) = (scene.target().await, scene.credential("rsa-3072"));
    warm(&mut scene, &target, &credential, RSA).await;
    let work = scene.each_its_own(&credential, RSA, 16, APPROVED).await;
    scene.bed.rules(&["C_Sign delay 40ms"]);
    let before = scene.signed();
    // Four sessions at 40 ms a signature: 100 a second.
    let outcome = target.offer(work, 200.0).await;
    assert!(
        outcome
            .statuses
            .keys()
            .all(|status| [200, 503].contains(status)),
        "{:?}",
        outcome.statuses
    );
    assert_eq!(
        scene.signed() - before,
        outcome.latencies.len() as u64,
        "every signature that left is in the history"
    );
    say(&format!("at twice the load: {:?}", outcome.statuses));
    row(
        "at twice the load it can take: p99 of what is accepted, in queue deadlines; the rest 503, nothing lost",
        "deadlines",
        outcome.percentile(0.99) / 1000.0 / DEADLINE,
        Target::AtMost(2.0),
    )
}

/// A large installation against a small one.
async fn million() -> Vec<Row> {
    let mut scene = Scene::start(&[("sessions", "2")]).await;
    let credential = scene.credential("p256");
    let mut costs = Vec::new();
    for many in [1_000, 1_000_000] {
        say(&format!("{many} credentials"));
        scene.populate(&credential, many);
        scene.bed.stop().await;
        let began = Instant::now();
        scene.bed.start().await;
        let ready = began.elapsed().as_secs_f64();
        let target = scene.target().await;
        warm(&mut scene, &target, &credential, ECDSA).await;
        let work = scene.signing(&credential, ECDSA, 80, APPROVED, 1).await;
        let outcome = target
            .run(work, 4, false)
            .await
            .all_accepted("many credentials");
        costs.push((outcome.cost(), ready, target));
    }
    let [(small, ..), (large, ready, target)] = &costs[..] else {
        unreachable!("two sizes")
    };
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(target.idle().await);
    }
    let resident = cpu::resident(scene.pid()) as f64 / f64::from(1 << 20);
    drop(idle);
    vec![
        row(
            "server CPU per signature with 1,000,000 credentials in the database against 1,000",
            "ratio",
            large / small,
            Target::AtMost(1.05),
        ),
        row(
            "resident memory at 1,000,000 credentials and 1,000 connections",
            "MiB",
            resident,
            Target::AtMost(256.0),
        ),
        row(
            "start to ready with 1,000,000 credentials",
            "s",
            *ready,
            Target::AtMost(2.0),
        ),
    ]
}
