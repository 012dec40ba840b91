//! What a coordinator is told once.

use std::time::Duration;

use crate::registry::Secret;

/// What a coordinator is told at its start and never changes by itself. What can change while it runs is in
/// [`Globals`](crate::Globals).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The port that peers are told unless another one is announced.
    pub listen_port: u16,
    /// Our own password, which is told to peers where no other one is set for that.
    pub own_password: Option<Secret>,
    /// Whether `SENTINEL SET` refuses to change scripts.
    pub deny_scripts_reconfig: bool,
    /// For how long another sentinel must be subjectively down to be forgotten; `None` for never.
    pub forget_sentinels_after: Option<Duration>,
    /// The same for replicas.
    pub forget_replicas_after: Option<Duration>,
    /// The seed of all randomness.
    pub seed: u64,
}
