//! Errors as HTTP answers.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellwether_api::{PROBLEM_MEDIA_TYPE, Problem};

use crate::driver::Unanswered;

/// A request that is not answered, and why.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    detail: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }
}

impl From<Unanswered> for Failure {
    fn from(cause: Unanswered) -> Self {
        let status = match cause {
            Unanswered::Stopping | Unanswered::Late(_) => StatusCode::SERVICE_UNAVAILABLE,
            Unanswered::Unfitting => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, cause.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = Problem {
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, axum::Json(problem)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
        response
    }
}
