//! What a coordinator is told once.

/// What a coordinator is told at its start and never changes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The host that peers are told; `None` for our own address on each link.
    pub announce_ip: Option<String>,
    /// The port that peers are told.
    pub announce_port: u16,
    /// Whether host names are accepted where addresses are.
    pub resolve_hostnames: bool,
    /// Whether host names are shown instead of the addresses behind them.
    pub announce_hostnames: bool,
    /// The seed of all randomness.
    pub seed: u64,
}
