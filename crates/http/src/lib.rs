//! The HTTP interface of a coordinator: its state as JSON, metrics for Prometheus, health checks.
//!
//! Everything here only reads. Group state comes from the driver through its [`Handle`](bellwether_server::Handle),
//! on the same way as the answers to RESP clients, so the two never disagree. Nothing is decided here, nothing is kept
//! but counters, and no request can change a group.
//!
//! | Route | Answer |
//! |---|---|
//! | `GET /metrics` | Prometheus text |
//! | `GET /healthz` | whether the process works |
//! | `GET /readyz` | whether it can take part in a failover |
//! | `GET /api/v1/groups` | all groups |
//! | `GET /api/v1/groups/{name}` | one group |

mod convert;
mod driver;
mod health;
mod metrics;
mod problem;
mod routes;
mod serve;

pub use metrics::{Definition, Kind, Metrics, definitions};
pub use serve::{Limits, serve, serve_with};
