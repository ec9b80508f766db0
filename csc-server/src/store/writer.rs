//! The one writer of the process: many units, one commit.

use std::{cell::RefCell, future::Future, pin::Pin, sync::Arc};

use tokio::sync::{mpsc, oneshot};

use super::{
    Entry, Journal, StoreError, migrate,
    tx::{Source, Tx},
};
use crate::actor::Actor;

/// Units that may wait; more are refused.
const QUEUE: usize = 4096;
/// Units in one commit.
const BATCH: usize = 256;
/// How often a unit that lost against another node runs again.
const TRIES: usize = 5;

type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A unit with the way back to who waits for it.
trait Unit: Send {
    fn run<'a>(&'a self, tx: &'a mut Tx) -> Local<'a, Result<(), StoreError>>;
    fn answer(self: Box<Self>, ended: Result<(), StoreError>);
}

struct Job<F, R> {
    actor: Option<Arc<Actor>>,
    unit: F,
    result: RefCell<Option<R>>,
    reply: oneshot::Sender<Result<R, StoreError>>,
}

impl<F, R> Unit for Job<F, R>
where
    F: AsyncFn(&mut Tx) -> Result<R, StoreError> + Send,
    R: Send,
{
    fn run<'a>(&'a self, tx: &'a mut Tx) -> Local<'a, Result<(), StoreError>> {
        Box::pin(async move {
            tx.actor.clone_from(&self.actor);
            let result = (self.unit)(tx).await?;
            *self.result.borrow_mut() = Some(result);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, ended: Result<(), StoreError>) {
        let result = ended.and_then(|()| {
            self.result
                .take()
                .ok_or(StoreError::Corrupt("a unit without a result"))
        });
        // Who asked may have gone; what was written stays written.
        let _ = self.reply.send(result);
    }
}

pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Unit>>,
}

impl Writer {
    /// Migrates, then starts the thread. A thread of its own, because committing blocks.
    pub(super) async fn start(
        mut source: Source,
        mut journal: Box<dyn Journal>,
    ) -> Result<Self, StoreError> {
        let (queue, mut waiting) = mpsc::channel::<Box<dyn Unit>>(QUEUE);
        let (ready, started) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let migrated = migrate::run(&mut source).await;
                    let go_on = migrated.is_ok();
                    let _ = ready.send(migrated);
                    while let (true, Some(first)) = (go_on, waiting.recv().await) {
                        let mut batch = vec![first];
                        while let (true, Ok(next)) = (batch.len() < BATCH, waiting.try_recv()) {
                            batch.push(next);
                        }
                        write(&mut source, journal.as_mut(), batch).await;
                    }
                });
            })
            .map_err(|error| StoreError::Database(error.to_string()))?;
        started
            .await
            .map_err(|_| StoreError::Database("the writer did not start".into()))??;
        Ok(Self { queue })
    }

    pub(super) async fn write<R, F>(
        &self,
        actor: Option<Arc<Actor>>,
        unit: F,
    ) -> Result<R, StoreError>
    where
        F: AsyncFn(&mut Tx) -> Result<R, StoreError> + Send + 'static,
        R: Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        let job = Box::new(Job {
            actor,
            unit,
            result: RefCell::new(None),
            reply,
        });
        self.queue.try_send(job).map_err(|_| StoreError::Busy)?;
        result
            .await
            .map_err(|_| StoreError::Database("the writer has stopped".into()))?
    }
}

/// Commits the batch together; units that lost against another node run again, each by itself.
async fn write(source: &mut Source, journal: &mut dyn Journal, batch: Vec<Box<dyn Unit>>) {
    let ended = commit(source, journal, &batch).await;
    for (unit, mut end) in batch.into_iter().zip(ended) {
        for _ in 0..TRIES {
            if !matches!(end, Err(StoreError::Conflict(_))) {
                break;
            }
            end = commit(source, journal, std::slice::from_ref(&unit))
                .await
                .pop()
                .unwrap_or(Err(StoreError::Busy));
        }
        unit.answer(end);
    }
}

/// One transaction: each unit in a savepoint, unless it is alone, then the journal, then COMMIT. One end for each unit.
async fn commit(
    source: &mut Source,
    journal: &mut dyn Journal,
    batch: &[Box<dyn Unit>],
) -> Vec<Result<(), StoreError>> {
    let mut tx = match Tx::begin(source).await {
        Ok(tx) => tx,
        Err(error) => return batch.iter().map(|_| Err(error.clone())).collect(),
    };
    let alone = batch.len() == 1;
    let mut ended = Vec::with_capacity(batch.len());
    for unit in batch {
        ended.push(match alone {
            true => unit.run(&mut tx).await,
            false => savepoint(&mut tx, unit.as_ref()).await,
        });
    }
    // A conflict breaks the whole transaction, so that nothing of it may be called done; of a unit that is alone, any error does.
    let broken = ended.iter().find_map(|end| match end {
        Err(error) if alone || matches!(error, StoreError::Conflict(_)) => Some(error.clone()),
        _ => None,
    });
    let entries = std::mem::take(&mut tx.entries);
    let appended = match broken {
        Some(error) => Err(error),
        None => append(&mut tx, journal, &entries).await,
    };
    let written = match appended {
        Ok(()) => tx.end("COMMIT", source).await,
        Err(error) => {
            let _ = tx.end("ROLLBACK", source).await;
            Err(error)
        }
    };
    journal.settle(written.is_ok());
    match written {
        Ok(()) => ended,
        Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn savepoint(tx: &mut Tx, unit: &dyn Unit) -> Result<(), StoreError> {
    let mark = tx.entries.len();
    tx.execute("SAVEPOINT unit", &[]).await?;
    let ended = unit.run(tx).await;
    if ended.is_err() {
        tx.entries.truncate(mark);
        tx.execute("ROLLBACK TO SAVEPOINT unit", &[]).await?;
    }
    tx.execute("RELEASE SAVEPOINT unit", &[]).await?;
    ended
}

async fn append(
    tx: &mut Tx,
    journal: &mut dyn Journal,
    entries: &[Entry],
) -> Result<(), StoreError> {
    for statement in journal.seal(entries) {
        tx.execute(statement.sql, &statement.params).await?;
    }
    Ok(())
}
