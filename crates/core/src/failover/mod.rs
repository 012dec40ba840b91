//! From the decision to fail over to the last replica's following the new primary.

mod record;

pub use record::{AbortReason, Cause, FailoverReceipt, FailoverRecord, Outcome, Phases};
