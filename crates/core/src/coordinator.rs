//! The one door: inputs in, effects out.

use std::collections::VecDeque;

use crate::effect::Effect;
use crate::input::Input;
use crate::registry::Registry;
use crate::time::Instant;

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

/// The deciding part of one daemon. It has no clock, socket or file: the caller drives it.
///
/// The caller owes three things: [`handle`](Self::handle) every input and, when none is at hand,
/// [`Input::Turn`]; carry out the effects of [`poll_effect`](Self::poll_effect) in their order until there is
/// none; come back with a `Turn` at [`poll_deadline`](Self::poll_deadline) at the latest.
#[derive(Debug)]
pub struct Coordinator {
    registry: Registry,
    effects: VecDeque<Effect>,
}

impl Coordinator {
    /// A coordinator that goes on from durable state.
    #[must_use]
    pub fn new(_settings: Settings, registry: Registry, _now: Instant) -> Self {
        Self {
            registry,
            effects: VecDeque::new(),
        }
    }

    /// Takes in one input that arrived at `now`.
    pub fn handle(&mut self, _now: Instant, _input: Input) {}

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When the next [`Input::Turn`] is due at the latest.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        None
    }

    /// The durable state, to be written when [`Effect::Persist`] says so.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }
}
