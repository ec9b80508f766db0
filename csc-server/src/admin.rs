//! The admin listener: is it alive, is it ready, what is it doing. Plain HTTP on an address of its own; nothing of the API
//! answers here, and nothing of this there.

use std::{fmt::Write, time::Duration};

use axum::{Router, extract::State};
use hsm_adapter::{MasterSet, process::Reason};
use http::StatusCode;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::timeout;

use crate::{app::Dependencies, rotation, routes::Routes};

/// How long each part may take to prove that it works.
const PROBE: Duration = Duration::from_secs(3);

/// What the admin pages speak of.
#[derive(Clone)]
pub struct Admin {
    parts: Dependencies,
    metrics: PrometheusHandle,
}

/// The admin pages.
pub fn router(parts: Dependencies, metrics: PrometheusHandle) -> Router {
    routes().into_router().with_state(Admin { parts, metrics })
}

/// Their URLs.
pub fn routes() -> Routes<Admin> {
    Routes::new()
        .get("/healthz", async || "alive\n")
        .get("/readyz", ready)
        .get("/metrics", measurements)
}

/// 200 when database, both slots and the clock can be relied on: the slots are asked for a signature, because session information proves nothing.
async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    let Dependencies {
        store,
        vault,
        issuer,
        time,
    } = &admin.parts;
    let late = |_| Err("did not answer in time".to_owned());
    let (database, holder_slot, issuer_slot) = tokio::join!(
        async {
            timeout(PROBE, store.health())
                .await
                .map_or_else(late, |end| end.map_err(|error| error.to_string()))
        },
        async {
            timeout(PROBE, vault.health())
                .await
                .map_or_else(late, |end| end.map_err(|error| error.to_string()))
        },
        async {
            timeout(PROBE, issuer.health())
                .await
                .map_or_else(late, |end| end.map_err(|error| error.to_string()))
        },
    );
    let mut page = String::new();
    let mut status = StatusCode::OK;
    for (part, end) in [
        ("database", database),
        ("holder slot", holder_slot),
        ("issuer slot", issuer_slot),
        ("clock", time.check().map_err(|reason| reason.to_string())),
    ] {
        // Writing into a string does not fail.
        let _ = match end {
            Ok(()) => writeln!(page, "{part}: ready"),
            Err(reason) => {
                status = StatusCode::SERVICE_UNAVAILABLE;
                writeln!(page, "{part}: {reason}")
            }
        };
    }
    (status, page)
}

async fn measurements(State(admin): State<Admin>) -> String {
    let Dependencies { store, vault, .. } = &admin.parts;
    for set in MasterSet::ALL {
        // Without the database there is nothing to say about its rows.
        if let Ok(left) = rotation::left(store, set, vault.known_version(set)).await {
            metrics::gauge!("csc_rotation_rows_left", "key" => rotation::name(set))
                .set(left as f64);
        }
    }
    for (slot, state) in [
        ("holder", admin.parts.vault.state()),
        ("issuer", admin.parts.issuer.state()),
    ] {
        metrics::gauge!("csc_hsm_sessions", "slot" => slot).set(state.sessions as f64);
        metrics::gauge!("csc_hsm_sessions_busy", "slot" => slot).set(state.busy as f64);
        metrics::gauge!("csc_hsm_jobs_waiting", "slot" => slot).set(state.waiting as f64);
        metrics::gauge!("csc_hsm_open_keys", "slot" => slot).set(state.open_keys as f64);
    }
    let of_holders = admin.parts.vault.slots().into_iter();
    let of_issuer = admin.parts.issuer.slots().into_iter();
    let slots = of_holders.map(|slot| ("holder", slot));
    for (role, slot) in slots.chain(of_issuer.map(|slot| ("issuer", slot))) {
        let (name, state) = (slot.name().to_owned(), slot.state());
        let process = slot.process().state();
        for (gauge, value) in [
            ("csc_hsm_slot_sessions", state.sessions as f64),
            ("csc_hsm_slot_sessions_busy", state.busy as f64),
            ("csc_hsm_slot_jobs_waiting", state.waiting as f64),
            ("csc_hsm_process_memory_bytes", process.memory as f64),
        ] {
            metrics::gauge!(gauge, "slot" => name.clone(), "role" => role).set(value);
        }
        for (reason, count) in Reason::ALL.into_iter().zip(process.replaced) {
            let labels = [("slot", name.clone()), ("reason", reason.name().to_owned())];
            metrics::counter!("csc_hsm_process_replaced_total", &labels).absolute(count);
        }
    }
    admin.metrics.render()
}
