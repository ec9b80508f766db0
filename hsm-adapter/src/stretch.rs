//! Argon2id for secrets that people remember, bounded so that log-ins cannot exhaust the memory.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::HsmError;

/// Argon2id cost (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// The least that OWASP advises, 19 MiB and two passes: a stolen database cannot be searched without the HSM anyway.
    fn default() -> Self {
        Self {
            memory: 19 * 1024,
            passes: 2,
            lanes: 1,
        }
    }
}

impl Cost {
    /// More is not a stronger secret but a way to take the service down, so a row that asks for it is refused.
    const MOST: Self = Self {
        memory: 1024 * 1024,
        passes: 16,
        lanes: 16,
    };

    fn params(self) -> Result<Params, HsmError> {
        let most = Self::MOST;
        if self.memory > most.memory || self.passes > most.passes || self.lanes > most.lanes {
            return Err(HsmError::Refused(
                "an Argon2id cost beyond the bounds".to_owned(),
            ));
        }
        Params::new(self.memory, self.passes, self.lanes, Some(32))
            .map_err(|error| HsmError::Refused(format!("an Argon2id cost that cannot be: {error}")))
    }
}

/// Bounds how many stretchings run, and wait, at once.
#[derive(Clone)]
pub struct Stretcher {
    cost: Cost,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    memory: Arc<Memory>,
}

/// Pieces of memory that are kept, wiped: having the system find and clear millions of octets anew costs a third of a stretching.
#[derive(Default)]
struct Memory(Mutex<Vec<Vec<Block>>>);

impl Memory {
    /// How many.
    const KEPT: usize = 2;

    fn take(&self, blocks: usize) -> Vec<Block> {
        let kept = self.lock().pop();
        kept.filter(|memory| memory.len() == blocks)
            .unwrap_or_else(|| vec![Block::new(); blocks])
    }

    fn give_back(&self, mut memory: Vec<Block>) {
        memory.fill(Block::new());
        // Also what is not kept is wiped, whatever the compiler thinks of writing to it.
        std::hint::black_box(&memory);
        let mut kept = self.lock();
        if kept.len() < Self::KEPT {
            kept.push(memory);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stretcher {
    /// `parallel` run at once (each takes the memory of its cost), `queue` more may wait.
    pub fn new(cost: Cost, parallel: usize, queue: usize) -> Self {
        let parallel = parallel.max(1);
        Self {
            cost,
            running: Arc::new(Semaphore::new(parallel)),
            admitted: Arc::new(Semaphore::new(parallel + queue)),
            memory: Arc::default(),
        }
    }

    /// The cost for new secrets.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Argon2id on a blocking thread.
    ///
    /// # Errors
    /// [`HsmError::Busy`] when too many wait, [`HsmError::Refused`] for a salt or cost that Argon2id does not take.
    pub async fn stretch(
        &self,
        secret: &[u8],
        salt: &[u8],
        cost: Cost,
    ) -> Result<Zeroizing<[u8; 32]>, HsmError> {
        let params = cost.params()?;
        let admitted = self.admitted.clone().try_acquire_owned();
        let admitted = admitted.map_err(|_| HsmError::Busy {
            retry_after: Duration::from_secs(1),
        })?;
        let running = self.running.clone().acquire_owned().await;
        let (secret, salt) = (Zeroizing::new(secret.to_vec()), salt.to_vec());
        let memory = self.memory.clone();
        let stretched = tokio::task::spawn_blocking(move || {
            let mut output = Zeroizing::new([0; 32]);
            let mut blocks = memory.take(params.block_count());
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let done = argon2.hash_password_into_with_memory(
                &secret,
                &salt,
                output.as_mut(),
                &mut blocks[..],
            );
            memory.give_back(blocks);
            // The memory is in use until here, even when the caller is gone.
            drop((running, admitted));
            done.map(|()| output)
        });
        stretched
            .await
            .map_err(|error| HsmError::Unavailable(error.to_string()))?
            .map_err(|error| HsmError::Refused(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory: 8,
        passes: 1,
        lanes: 1,
    };

    #[tokio::test]
    async fn a_secret_stretches_as_rfc_9106_says() {
        let stretcher = Stretcher::new(Cost::default(), 1, 0);

        let stretched = stretcher.stretch(b"12345678", b"0123456789abcdef", CHEAP);

        // echo -n 12345678 | argon2 0123456789abcdef -id -t 1 -k 8 -p 1 -l 32 -r
        let expected = "76d57e0c21bd77633ef3d0bb90bdb9ec54c1f1f216d63484fe60607b6261feb7";
        assert_eq!(hex::encode(*stretched.await.unwrap()), expected);
    }

    #[tokio::test]
    async fn memory_that_is_used_again_gives_the_same_and_keeps_nothing() {
        let stretcher = Stretcher::new(CHEAP, 1, 0);
        let stretch = async |secret: &[u8]| {
            let stretched = stretcher.stretch(secret, b"0123456789abcdef", CHEAP);
            *stretched.await.unwrap()
        };

        let first = stretch(b"12345678").await;
        assert_ne!(stretch(b"87654321").await, first);
        assert_eq!(stretch(b"12345678").await, first);

        let kept = stretcher.memory.lock();
        let [memory] = &kept[..] else {
            panic!("one piece is kept")
        };
        let zero = |block: &Block| block.as_ref().iter().all(|word| *word == 0);
        assert!(memory.iter().all(zero));
    }

    #[tokio::test]
    async fn one_more_than_the_queue_holds_is_busy() {
        let stretcher = Stretcher::new(CHEAP, 1, 1);
        let one = stretcher.admitted.clone().try_acquire_owned().unwrap();
        let two = stretcher.admitted.clone().try_acquire_owned().unwrap();

        let refused = stretcher.stretch(b"12345678", &[0; 16], CHEAP).await;

        assert!(matches!(refused, Err(HsmError::Busy { .. })));
        drop((one, two));
        assert!(
            stretcher
                .stretch(b"12345678", &[0; 16], CHEAP)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_cost_beyond_the_bounds_is_refused() {
        let stretcher = Stretcher::new(CHEAP, 1, 1);
        let cost = Cost {
            memory: u32::MAX,
            ..CHEAP
        };

        let refused = stretcher.stretch(b"12345678", &[0; 16], cost).await;

        assert!(matches!(refused, Err(HsmError::Refused(_))));
    }
}
