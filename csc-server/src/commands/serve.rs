//! `csc-server serve`

use anyhow::{Context as _, Result};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{caller::Caller, context::Context};
use crate::{
    admin, api,
    app::{App, Dependencies},
    audit::{self, Event, Keeper},
    guard::Guard,
    inspection::Inspector,
    listener::{Limits, Listener, TlsFiles},
    monitor::Monitor,
    notify::{Sender, callback::Callbacks},
    operator::{self, Standing},
    rotation::Mover,
    worker::{Teller, Worker},
};

/// Runs the service until SIGTERM or SIGINT, then lets requests in flight finish.
pub(super) async fn run(caller: &Caller) -> Result<()> {
    log();
    let context = caller.open().await?;
    context.not_ended().await?;
    let metrics = PrometheusBuilder::new()
        .install_recorder()
        .context("metrics")?;
    let stretcher = context.stretcher();
    let vault = context.vault()?;
    context.started().await?;
    context.selftest(&vault).await?;
    context.agree(&vault).await?;
    let mut watch = context.watch()?;
    if watch.look().await? == Standing::NoAccounts {
        return Err(operator::Error::NoAccounts.into());
    }
    context
        .operators()?
        .check_policy(&context.config.policy)
        .await?;
    context.rotation(&vault).register().await?;
    let issuer = context.issuer()?;
    context.apart(&vault, &issuer).await?;
    context
        .clients()?
        .ensure_direct(&context.config.info.name)
        .await?;
    let by_holder = context.by_holder(&vault).await?;
    let mut timekeeper = context.timekeeper();
    let tsa = context.tsa(&issuer, timekeeper.trust()).await?;
    let Context {
        config,
        clock,
        store,
        chain,
        ..
    } = context;

    let tls = TlsFiles {
        certificate: config.server.certificate.clone(),
        private_key: config.server.private_key.clone(),
        ask_clients: config.server.client_certificates,
    };
    let public = Listener::bind(config.server.listen, Some(tls)).await?;
    let private = Listener::bind(config.admin.listen, None).await?;
    let sender = Sender::from_config(&config.mail, config.sms.as_ref(), clock.clone())?;
    timekeeper.compare().await?;
    let app = App::new(
        &config,
        clock.clone(),
        store.clone(),
        vault.clone(),
        stretcher,
        timekeeper.trust(),
        tsa,
        by_holder,
    );
    let keeper = Keeper::new(
        store.clone(),
        clock.clone(),
        issuer.clone(),
        config.audit.checkpoint_every,
    )
    .await
    .context("the key that signs the audit log; run `csc-server slot init`")?;

    let (stop, stopped) = watch::channel(false);
    let worker = Worker {
        store: store.clone(),
        clock,
        vault: vault.clone(),
        accounts: app.accounts.clone(),
        sender,
        teller: Teller {
            operations: app.operations.clone(),
            clients: app.clients.clone(),
            callbacks: Callbacks::from_config(&config.callback)?,
        },
    };
    let operations = tokio::spawn(app.operations.clone().run(stopped.clone()));
    let monitor = Monitor::new(
        store.clone(),
        app.clock.clone(),
        vault.clone(),
        issuer.clone(),
    );
    let monitor = tokio::spawn(monitor.run(stopped.clone()));
    let watch = tokio::spawn(watch.run(stopped.clone()));
    let clock_watch = tokio::spawn(timekeeper.run(stopped.clone()));
    let kept = tokio::spawn({
        let (keeper, stopped) = (keeper.clone(), stopped.clone());
        async move { keeper.run(stopped).await }
    });
    let inspector = Inspector::new(
        store.clone(),
        app.clock.clone(),
        issuer.clone(),
        config.audit.inspect_every,
    );
    let guard = Guard::new(
        store.clone(),
        app.clock.clone(),
        vault.clone(),
        chain,
        config.pin.alarm_after,
    );
    let guard = tokio::spawn(guard.run(stopped.clone()));
    let inspector = tokio::spawn(inspector.run(stopped.clone()));
    let worker = tokio::spawn(worker.run(stopped.clone()));
    let mover = Mover {
        store: store.clone(),
        vault: vault.clone(),
    };
    let mover = tokio::spawn(mover.run(stopped.clone()));
    for (name, listener) in [("api", &public), ("admin", &private)] {
        tracing::info!(listener = name, address = %listener.local_addr(), "listening");
    }
    let limits = Limits::new(config.server.max_connections);
    let api = public.serve(
        api::router(app.clone()),
        limits.clone(),
        ended(stopped.clone()),
    );
    let parts = Dependencies {
        store,
        vault,
        issuer,
        time: app.time.clone(),
    };
    let admin = private.serve(admin::router(parts, metrics), limits, ended(stopped));
    tokio::spawn(async move {
        told_to_stop().await;
        tracing::info!("stopping: requests in flight are finished");
        let _ = stop.send(true);
    });
    tokio::join!(api, admin);
    operations
        .await
        .context("the asynchronous operations failed")?;
    worker.await.context("the work of the background failed")?;
    monitor.await.context("the monitor of the slots failed")?;
    watch.await.context("the watch over operators failed")?;
    clock_watch.await.context("the timekeeper failed")?;
    kept.await.context("the keeper of the audit log failed")?;
    mover.await.context("the mover of rows failed")?;
    guard.await.context("the guard of the PINs failed")?;
    inspector
        .await
        .context("the inspector of the audit log failed")?;
    audit::note(&app.store, app.clock.now(), "", Event::Stop).await?;
    if let Err(error) = keeper.seal().await {
        tracing::error!(%error, "the last rows of the audit log have no checkpoint yet");
    }
    tracing::info!("stopped");
    Ok(())
}

async fn ended(mut stopped: watch::Receiver<bool>) {
    // The sender gone means the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
}

/// One JSON object a line on standard output; `RUST_LOG` chooses what.
pub(super) fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(false)
        .with_env_filter(filter)
        .init();
}
