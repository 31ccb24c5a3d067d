//! `GET /metrics`, in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use anyhow::Context;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use relay_core::metrics::ALL;

/// Starts counting, once a process.
pub(super) fn start() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("metrics are counted already")?;
    for metric in ALL {
        // Counters are there from the start, at zero: a rate is known from the first event on.
        if metric.name.ends_with("_total") {
            metrics::describe_counter!(metric.name, metric.unit, metric.meaning);
            metrics::counter!(metric.name).increment(0);
        } else {
            metrics::describe_gauge!(metric.name, metric.unit, metric.meaning);
        }
    }
    Ok(handle)
}

/// Adds the route. It asks for no key, as scrapers have none, and names nobody's topics.
pub(super) fn route(router: Router, handle: PrometheusHandle) -> Router {
    let render = move || std::future::ready(([(CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()));
    router.route("/metrics", get(render))
}
