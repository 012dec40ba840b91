//! Figures for Prometheus.
//!
//! Two kinds: what has happened is counted here as [`Telemetry`] tells of it; how things are is read from an overview
//! at each scrape, so the series of a group or replica that is gone are gone as well. The number of series is bounded
//! by groups, replicas, events and commands: nothing that a client sends becomes a label.

mod counted;
mod definition;
mod log;
mod seen;
mod text;

use std::time::Duration;

use bellwether_core::{Event, FailoverReceipt, GroupName, Overview};
use bellwether_server::Telemetry;
use prometheus::{Encoder, TextEncoder};

pub use definition::{Definition, Kind};

use counted::Counted;
use text::Text;

/// The media type of what [`Metrics::render`] gives.
pub(crate) const MEDIA_TYPE: &str = prometheus::TEXT_FORMAT;

/// Every metric of ours, in the order of the documentation. The process figures that Prometheus clients share are
/// not among them.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    counted::DEFINITIONS.iter().copied().chain(seen::definitions())
}

/// Counts what the daemon tells, and writes it down together with what an overview shows.
pub struct Metrics {
    counted: Counted,
}

impl Metrics {
    /// Metrics that have counted nothing.
    ///
    /// # Errors
    /// If two metrics have one name, which is a defect.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            counted: Counted::new()?,
        })
    }

    /// Everything in the text format of Prometheus; without an overview, only what was counted.
    ///
    /// # Errors
    /// If a family is malformed, which is a defect.
    pub(crate) fn render(&self, overview: Option<&Overview>) -> Result<String, prometheus::Error> {
        let mut counted = Vec::new();
        TextEncoder::new().encode(&self.counted.gather(), &mut counted)?;
        let mut text = Text::from(String::from_utf8_lossy(&counted).into_owned());
        seen::write(&mut text, overview);
        if let Some(overview) = overview {
            self.counted.write_group_failovers(&mut text, overview);
        }
        Ok(text.into())
    }
}

impl Telemetry for Metrics {
    fn event(&self, event: &Event) {
        self.counted.event(event);
    }

    fn failover(&self, group: &GroupName, receipt: &FailoverReceipt) {
        self.counted.failover(group, receipt);
    }

    fn loop_delay(&self, delay: Duration) {
        self.counted.loop_delay.observe(delay.as_secs_f64());
    }

    fn persisted(&self, took: Duration, ok: bool) {
        self.counted.persist.observe(took.as_secs_f64());
        if !ok {
            self.counted.persist_failures.inc();
        }
    }

    fn log_written(&self, took: Duration, entries: u64, bytes: u64) {
        self.counted.log_write.observe(took.as_secs_f64());
        self.counted.log_entries.inc_by(entries);
        self.counted.log_bytes.inc_by(bytes);
    }

    fn link_failed(&self) {
        self.counted.link_failures.inc();
    }

    fn certificates_loaded(&self, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.counted.certificate_loads.with_label_values(&[result]).inc();
    }

    fn client_connected(&self) {
        self.counted.clients.inc();
        self.counted.clients_total.inc();
    }

    fn client_disconnected(&self) {
        self.counted.clients.dec();
    }

    fn client_refused(&self, reason: &'static str) {
        self.counted.clients_refused.with_label_values(&[reason]).inc();
    }

    fn command(&self, name: &'static str, took: Duration) {
        self.counted.commands.with_label_values(&[name]).inc();
        self.counted.command.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
