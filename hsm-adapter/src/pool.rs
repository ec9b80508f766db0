//! DRAFT of the public surface; see the brief.
use std::{sync::Arc, time::Duration};
use crate::{HsmError, Token};

/// Bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Sessions that sign (the fast lane); one more serves the slow lane.
    pub sessions: usize,
    /// Jobs that may wait.
    pub queue: usize,
    /// How long a job may wait before it is refused with [`HsmError::Busy`].
    pub deadline: Duration,
}

/// What a pool is doing, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolState { pub sessions: usize, pub busy: usize, pub waiting: usize, pub open_keys: usize }

/// A bounded pool of sessions.
#[derive(Clone)]
pub struct Pool {}
impl Pool {
    /// Starts the threads; each opens its session and logs in. Fails only when the PIN is refused or the token is not found.
    pub fn start(token: Arc<dyn Token>, limits: PoolLimits) -> Result<Self, HsmError> { todo!() }
}
