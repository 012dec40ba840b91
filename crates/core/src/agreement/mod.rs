//! When a decision counts.
