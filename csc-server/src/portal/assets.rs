//! The style sheet and the picture of the pages, out of the binary.

use axum::response::IntoResponse;
use http::header;

pub(super) async fn style() -> impl IntoResponse {
    asset(
        "text/css; charset=utf-8",
        include_str!("templates/style.css"),
    )
}

pub(super) async fn icon() -> impl IntoResponse {
    asset("image/svg+xml", include_str!("templates/icon.svg"))
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, text)
}
