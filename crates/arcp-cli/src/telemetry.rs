//! What `arcp serve` tells of itself: spans and metrics to a collector (`--otlp`), metrics to a Prometheus server (`/metrics`).

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use arcp::axum::Server;
use arcp::otel::{Exporting, Otlp, PROMETHEUS_TEXT, RuntimeMetrics};
use arcp::runtime::{Authenticated, Runtime, RuntimeBuilder};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{MethodRouter, get};
use tokio::sync::oneshot;

use crate::exit::{self, Failure};

/// How long the end of the program waits for a collector to take what is left.
const FLUSH: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(crate) struct TelemetryArguments {
    /// Send spans and metrics to the OpenTelemetry collector at this URL, such as http://127.0.0.1:4318, by OTLP over HTTP. The
    /// environment says more: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_TIMEOUT,
    /// OTEL_METRIC_EXPORT_INTERVAL, OTEL_TRACES_SAMPLER and others.
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,

    /// Record this part of the jobs that are submitted without a trace context, between 0 and 1; others are recorded if their
    /// submitters do. Everything, if neither this nor OTEL_TRACES_SAMPLER says otherwise.
    #[arg(long, value_name = "RATIO", requires = "otlp")]
    otlp_sample: Option<f64>,

    /// Where to answer GET /metrics: at an address of its own, such as 127.0.0.1:9464, or at the address of the sessions (listen).
    /// Either way without a token, to whoever can reach it, in numbers that name neither jobs nor principals; an address of its
    /// own speaks no TLS. Nowhere if nothing is said (off).
    #[arg(long, value_name = "ADDR|listen|off", conflicts_with = "stdio")]
    metrics: Option<MetricsAt>,
}

/// Where metrics are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MetricsAt {
    Nowhere,
    /// Where the sessions are.
    Listen,
    /// An address of their own.
    Address(SocketAddr),
}

impl FromStr for MetricsAt {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Nowhere),
            "listen" => Ok(Self::Listen),
            address => address.parse().map(Self::Address).map_err(|_| "not IP:PORT, listen or off"),
        }
    }
}

/// What is told, while the program runs.
pub(crate) struct Telemetry {
    exporting: Option<Exporting>,
    metrics: MetricsAt,
}

impl TelemetryArguments {
    /// Begins to export, if that is asked for.
    pub(crate) fn start(&self) -> Result<Telemetry, Failure> {
        let export = |url: &String| {
            let otlp = Otlp::new(url.as_str());
            let otlp = match self.otlp_sample {
                Some(ratio) => otlp.sample(ratio),
                None => otlp,
            };
            otlp.start().context("--otlp").map_err(|error| Failure::new(exit::USAGE, error))
        };
        let exporting = self.otlp.as_ref().map(export).transpose()?;
        Ok(Telemetry { exporting, metrics: self.metrics.unwrap_or(MetricsAt::Nowhere) })
    }
}

impl Telemetry {
    /// Has a runtime traced.
    pub(crate) fn trace(&self, builder: RuntimeBuilder<Authenticated>) -> RuntimeBuilder<Authenticated> {
        match &self.exporting {
            Some(exporting) => builder.tracer(exporting.tracer()),
            None => builder,
        }
    }

    /// Has a runtime measured.
    pub(crate) fn measure(&self, runtime: &Runtime) -> RuntimeMetrics {
        let runtime = runtime.clone();
        let metrics = RuntimeMetrics::new(move || runtime.tally());
        if let Some(exporting) = &self.exporting {
            metrics.observe_with(&exporting.meter());
        }
        metrics
    }

    /// Listens for who asks for metrics at an address of their own, if there is one.
    pub(crate) async fn listen(&self) -> Result<Option<Server>, Failure> {
        let MetricsAt::Address(address) = self.metrics else { return Ok(None) };
        let server = Server::bind(address).await;
        let server = server.with_context(|| format!("cannot listen at {address} for --metrics"));
        let server = server.map_err(|error| Failure::new(exit::USAGE, error))?;
        let address = server.local_addr()?;
        tracing::info!("metrics are at http://{address}/metrics");
        Ok(Some(server))
    }

    /// Adds `/metrics` to what is served where the sessions are, if it belongs there.
    pub(crate) fn add<S: Clone + Send + Sync + 'static>(
        &self,
        router: Router<S>,
        metrics: &RuntimeMetrics,
    ) -> Router<S> {
        match self.metrics {
            MetricsAt::Listen => router.route("/metrics", route(metrics.clone())),
            MetricsAt::Nowhere | MetricsAt::Address(_) => router,
        }
    }

    /// Sends what is left, to a collector that takes it in time.
    pub(crate) async fn finish(self) {
        let Some(exporting) = self.exporting else { return };
        let (done, told) = oneshot::channel();
        // A thread that nobody joins: the program ends without it, should the collector be slower than it may.
        std::thread::spawn(move || done.send(exporting.shutdown(FLUSH)));
        // One that refuses was told of when it did.
        if tokio::time::timeout(FLUSH, told).await.is_err() {
            tracing::warn!("telemetry of the last seconds is lost: the collector did not take it in time");
        }
    }
}

/// Answers who asks for metrics at an address of their own, for as long as it is polled.
pub(crate) async fn serve(server: Option<Server>, metrics: RuntimeMetrics) {
    let Some(server) = server else { return std::future::pending().await };
    server.serve(Router::new().route("/metrics", route(metrics)), std::future::pending()).await;
}

/// What a Prometheus server asks for.
fn route<S: Clone + Send + Sync + 'static>(metrics: RuntimeMetrics) -> MethodRouter<S> {
    get(async move || ([(CONTENT_TYPE, PROMETHEUS_TEXT)], metrics.prometheus()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_a_place_or_none() {
        assert_eq!("off".parse(), Ok(MetricsAt::Nowhere));
        assert_eq!("listen".parse(), Ok(MetricsAt::Listen));
        assert_eq!("127.0.0.1:9".parse(), Ok(MetricsAt::Address(([127, 0, 0, 1], 9).into())));
        for bad in ["", "on", "9464", "localhost:9464"] {
            assert!(bad.parse::<MetricsAt>().is_err(), "{bad}");
        }
    }
}
