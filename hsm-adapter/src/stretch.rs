//! DRAFT of the public surface; see the brief.
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;
use crate::HsmError;
/// Argon2id cost (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost { /** KiB */ pub memory: u32, pub passes: u32, pub lanes: u32 }
// Default = OWASP minimum 19 MiB, t=2, p=1.
/// Bounds how many stretchings run at once.
#[derive(Clone)]
pub struct Stretcher {}
impl Stretcher {
    pub fn new(cost: Cost, parallel: usize, queue: usize) -> Self { todo!() }
    /// The cost for new secrets.
    pub fn cost(&self) -> Cost { todo!() }
    /// Argon2id on a blocking thread; Busy when too many wait.
    pub async fn stretch(&self, secret: &[u8], salt: &[u8], cost: Cost) -> Result<Zeroizing<[u8; 32]>, HsmError> { todo!() }
}

impl Default for Cost { fn default() -> Self { Self { memory: 19 * 1024, passes: 2, lanes: 1 } } }
