//! Exporting to a collector: OTLP over HTTP, in threads of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_otlp::{
    MetricExporter, OTEL_EXPORTER_OTLP_TIMEOUT, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter as ExportSpans,
};
use reqwest::blocking::Client;
use reqwest::redirect::Policy;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use url::Url;

use crate::tracer::scope;
use crate::{RuntimeTracer, TraceIds};

/// How long one request to a collector may take, if `OTEL_EXPORTER_OTLP_TIMEOUT` does not say otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An export about to be begun.
#[derive(Clone, Debug)]
pub struct Otlp {
    endpoint: String,
    ratio: Option<f64>,
    service: String,
}

/// Why nothing is exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// The endpoint is no plain URL of a collector.
    #[error(
        "endpoint is not http://host:port or https://host:port; headers, secret ones too, belong in OTEL_EXPORTER_OTLP_HEADERS"
    )]
    Endpoint,
    /// The ratio is not one.
    #[error("sampling ratio is not between 0 and 1")]
    Ratio,
    /// The exporter cannot be made.
    #[error("cannot be exported")]
    Exporter(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Otlp {
    /// Exports to the collector at `http://host:port` or `https://host:port`, to `/v1/traces` and `/v1/metrics` there, or below its
    /// path if it has one.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), ratio: None, service: "arcp".to_owned() }
    }

    /// Records this part of the traces that begin here; of traces that come from elsewhere, those that are recorded there.
    /// Otherwise `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say what is recorded: everything, if they do not.
    #[must_use]
    pub fn sample(mut self, ratio: f64) -> Self {
        self.ratio = Some(ratio);
        self
    }

    /// What the service is called, if `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` do not say otherwise; `arcp` if nothing is
    /// said.
    #[must_use]
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = name.into();
        self
    }

    /// Begins to export. Nothing is connected yet: a collector that cannot be reached is told of by one warning, and by another
    /// line once it can.
    ///
    /// # Errors
    /// See [`OtlpError`].
    pub fn start(self) -> Result<Exporting, OtlpError> {
        let (traces, metrics) = endpoints(&self.endpoint)?;
        if self.ratio.is_some_and(|ratio| !(0.0..=1.0).contains(&ratio)) {
            return Err(OtlpError::Ratio);
        }
        // A client that blocks may not be made where others wait for this thread.
        let client = std::thread::spawn(client).join();
        let client =
            client.unwrap_or_else(|_| Err("thread has panicked".into())).map_err(OtlpError::Exporter)?;
        let failed = |error: opentelemetry_otlp::ExporterBuildError| OtlpError::Exporter(error.into());
        let spans =
            SpanExporter::builder().with_http().with_http_client(client.clone()).with_endpoint(traces);
        let numbers = MetricExporter::builder().with_http().with_http_client(client).with_endpoint(metrics);
        let resource = resource(self.service);
        let health = Health::default();
        let mut tracer = SdkTracerProvider::builder()
            .with_id_generator(TraceIds::default())
            .with_resource(resource.clone())
            .with_batch_exporter(Watched {
                exporter: spans.build().map_err(failed)?,
                health: health.clone(),
            });
        if let Some(ratio) = self.ratio {
            tracer = tracer.with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))));
        }
        let numbers = Watched { exporter: numbers.build().map_err(failed)?, health };
        let meter = SdkMeterProvider::builder().with_resource(resource).with_periodic_exporter(numbers);
        Ok(Exporting { tracer: tracer.build(), meter: meter.build() })
    }
}

/// Where the two signals go.
fn endpoints(endpoint: &str) -> Result<(String, String), OtlpError> {
    let url = Url::parse(endpoint).map_err(|_| OtlpError::Endpoint)?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(OtlpError::Endpoint);
    }
    let base = url.as_str().trim_end_matches('/');
    Ok((format!("{base}/v1/traces"), format!("{base}/v1/metrics")))
}

fn client() -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
    };
    let tls = match builder()?.with_platform_verifier() {
        Ok(builder) => builder.with_no_client_auth(),
        // Where nobody is trusted, plain http works without.
        Err(_) => builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    };
    let timeout = std::env::var(OTEL_EXPORTER_OTLP_TIMEOUT).ok().and_then(|millis| millis.parse().ok());
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(timeout.map_or(TIMEOUT, Duration::from_millis))
        // What is sent may have a secret header, and is for this place alone.
        .redirect(Policy::none())
        .build()?;
    Ok(client)
}

/// Whom the telemetry is of: what the environment says, and this name if it says none.
fn resource(service: String) -> Resource {
    let found = Resource::builder().build();
    let name = found.get(&"service.name".into()).map(|name| name.to_string()).unwrap_or_default();
    match name.is_empty() || name.starts_with("unknown_service") {
        true => Resource::builder().with_service_name(service).build(),
        false => found,
    }
}

/// An export that goes on until it is [shut down](Self::shutdown).
#[derive(Clone, Debug)]
pub struct Exporting {
    tracer: SdkTracerProvider,
    meter: SdkMeterProvider,
}

impl Exporting {
    /// The tracer for a runtime.
    pub fn tracer(&self) -> RuntimeTracer<SdkTracer> {
        RuntimeTracer::new(&self.tracer)
    }

    /// The meter for [`RuntimeMetrics::observe_with`](crate::RuntimeMetrics::observe_with).
    pub fn meter(&self) -> Meter {
        self.meter.meter_with_scope(scope())
    }

    /// The provider of spans, for what else there is to trace: see `opentelemetry::global::set_tracer_provider`.
    pub fn tracer_provider(&self) -> &SdkTracerProvider {
        &self.tracer
    }

    /// Exports what is left and ends. Returns whether everything was taken within `patience`. It blocks: call it where it may.
    pub fn shutdown(self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let spans = self.tracer.shutdown_with_timeout(patience);
        let rest = end.saturating_duration_since(Instant::now());
        let numbers = self.meter.shutdown_with_timeout(rest);
        spans.is_ok() && numbers.is_ok()
    }
}

/// Whether the collector takes what it is sent.
#[derive(Clone, Debug, Default)]
struct Health(Arc<AtomicBool>);

impl Health {
    /// Tells of a change, and of nothing else: a collector that is away for a day is one line.
    fn after(&self, outcome: OTelSdkResult) -> OTelSdkResult {
        let failing = outcome.is_err();
        if self.0.swap(failing, Ordering::Relaxed) != failing {
            match &outcome {
                Err(error) => {
                    tracing::warn!(%error, "telemetry is lost: the collector does not take it")
                }
                Ok(()) => tracing::info!("the collector takes telemetry again"),
            }
        }
        outcome
    }
}

/// An exporter whose failures are told once.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    health: Health,
}

impl ExportSpans for Watched<SpanExporter> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.health.after(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl PushMetricExporter for Watched<MetricExporter> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.health.after(self.exporter.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_go_below_the_endpoint() {
        let (traces, metrics) = endpoints("http://127.0.0.1:4318").unwrap();
        assert_eq!(
            (traces.as_str(), metrics.as_str()),
            ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/metrics")
        );
        assert_eq!(endpoints("https://c.example/otlp/").unwrap().0, "https://c.example/otlp/v1/traces");
    }

    #[test]
    fn what_is_no_endpoint_is_refused_and_never_repeated() {
        for text in ["4318", "grpc://c:4317", "http://user:s3cret@c:4318", "http://c:4318/?key=s3cret"] {
            let error = Otlp::new(text).start().unwrap_err();
            assert!(matches!(error, OtlpError::Endpoint) && !error.to_string().contains("s3cret"), "{text}");
        }
        assert!(matches!(Otlp::new("http://c:4318").sample(1.5).start(), Err(OtlpError::Ratio)));
        assert!(matches!(Otlp::new("http://c:4318").sample(f64::NAN).start(), Err(OtlpError::Ratio)));
    }
}
