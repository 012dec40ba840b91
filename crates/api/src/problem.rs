//! The body of every error.

use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not answered, in the form of RFC 9457. There is no `type` field, which means `about:blank`: the
/// HTTP status says what kind of problem it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The kind of problem; the same text whenever the status is the same.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong with this request, in one sentence.
    pub detail: String,
}
