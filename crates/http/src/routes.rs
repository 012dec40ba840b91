//! The routes, and what each answers.

use std::sync::Arc;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bellwether_api::Check;

use crate::driver::Driver;
use crate::metrics::{MEDIA_TYPE, Metrics};
use crate::problem::Failure;
use crate::{convert, health};

/// What every route may use.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) driver: Arc<Driver>,
    pub(crate) metrics: Arc<Metrics>,
}

/// All routes.
pub(crate) fn router(context: Context) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/groups", get(groups))
        .route("/api/v1/groups/{name}", get(group))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(guard))
        .with_state(context)
}

/// Own figures always; those of groups only if the driver answers, and `bellwether_driver_up` says whether it did.
/// A scrape that fails as a whole would hide the very figures that explain it.
async fn metrics(State(context): State<Context>) -> Result<Response, Failure> {
    let overview = context.driver.overview().await.ok();
    let text = apart(move || context.metrics.render(overview.as_deref())).await?;
    match text {
        Ok(text) => Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()),
        Err(error) => Err(Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the metrics cannot be written: {error}"),
        )),
    }
}

async fn healthz(State(context): State<Context>) -> Response {
    let alive = context.driver.alive().await;
    verdict(alive.err().map(|why| why.to_string()).into_iter().collect())
}

async fn readyz(State(context): State<Context>) -> Response {
    verdict(match context.driver.overview().await {
        Ok(overview) => health::obstacles(&overview),
        Err(why) => vec![why.to_string()],
    })
}

async fn groups(State(context): State<Context>) -> Result<Response, Failure> {
    let overview = context.driver.overview().await?;
    apart(move || axum::Json(convert::group_list(&overview)).into_response()).await
}

async fn group(
    State(context): State<Context>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let Path(name) = name.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let overview = context.driver.overview().await?;
    match overview.groups.iter().find(|group| group.name == name) {
        Some(group) => Ok(axum::Json(convert::group(group)).into_response()),
        None => Err(Failure::new(
            StatusCode::NOT_FOUND,
            format!("no group is named {name:?}"),
        )),
    }
}

async fn unknown_path(uri: Uri) -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {:?}", uri.path()),
    )
}

async fn wrong_method(method: Method) -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not possible here: everything can only be read, with GET"),
    )
}

/// Refuses bodies, which nothing here could use, and keeps answers out of caches: they are true for a moment only.
async fn guard(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = if reads && !request.body().is_end_stream() {
        Failure::new(StatusCode::BAD_REQUEST, "no request here takes a body").into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn verdict(reasons: Vec<String>) -> Response {
    let check = Check::new(reasons);
    let status = if check.ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, axum::Json(check)).into_response()
}

/// Does work that grows with the number of groups on a thread of its own, so that no link waits for it.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made"))
}
