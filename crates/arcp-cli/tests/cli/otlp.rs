//! `arcp serve --otlp` against a collector: what the program says, as protobuf over HTTP.

use std::collections::HashMap;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::program::{Serving, arcp, exits, serve, text};

/// What a collector was sent.
enum Received {
    Traces(ExportTraceServiceRequest, HeaderMap),
    Metrics(ExportMetricsServiceRequest),
}

/// A collector on a free port, which takes what it is sent for as long as the process runs.
fn collector() -> (String, Receiver<Received>) {
    let (sender, receiver) = channel();
    let (bound, address) = channel();
    std::thread::spawn(move || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(async {
            let router = Router::new()
                .route("/v1/traces", post(take_traces))
                .route("/v1/metrics", post(take_metrics))
                .with_state(sender);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            bound.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    (format!("http://{}", address.recv().unwrap()), receiver)
}

async fn take_traces(State(sent): State<Sender<Received>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let _ = sent.send(Received::Traces(request, headers)); // the test may have what it wants
    StatusCode::OK
}

async fn take_metrics(State(sent): State<Sender<Received>>, body: Bytes) -> StatusCode {
    let _ = sent.send(Received::Metrics(ExportMetricsServiceRequest::decode(body).unwrap()));
    StatusCode::OK
}

/// Ends a program in order, and gives back what it has said on stderr.
fn stop(mut serving: Serving) -> String {
    use std::io::Read;
    let kill = Command::new("kill").args(["-TERM", &serving.child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let mut said = String::new();
    serving.stderr.read_to_string(&mut said).unwrap();
    assert!(serving.child.wait().unwrap().success(), "{said}");
    said
}

/// Everything that was sent: spans, the last value of each number, and whom it is of.
#[derive(Default)]
struct Sent {
    spans: Vec<Span>,
    numbers: HashMap<String, f64>,
    service: String,
    headers: HeaderMap,
}

impl Sent {
    fn of(received: &Receiver<Received>) -> Self {
        let mut sent = Self::default();
        for one in received.try_iter() {
            match one {
                Received::Traces(request, headers) => {
                    sent.headers = headers;
                    for resource in request.resource_spans {
                        let attributes = resource.resource.unwrap_or_default().attributes;
                        let name = attributes.iter().find(|one| one.key == "service.name").unwrap();
                        sent.service = word(name.value.as_ref().and_then(|value| value.value.as_ref()));
                        sent.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
                    }
                }
                Received::Metrics(request) => sent.count(request),
            }
        }
        sent
    }

    fn count(&mut self, request: ExportMetricsServiceRequest) {
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        for metric in scopes.flat_map(|scope| scope.metrics) {
            let points = match metric.data.unwrap() {
                Data::Sum(sum) => sum.data_points,
                Data::Gauge(gauge) => gauge.data_points,
                other => panic!("{}: {other:?}", metric.name),
            };
            for point in points {
                let labels = point.attributes.iter();
                let label = labels.map(|one| word(one.value.as_ref().and_then(|value| value.value.as_ref())));
                let value = match point.value.unwrap() {
                    Number::AsDouble(value) => value,
                    Number::AsInt(value) => value as f64,
                };
                self.numbers
                    .insert(format!("{} {}", metric.name, label.collect::<Vec<_>>().join(" ")), value);
            }
        }
    }

    #[track_caller]
    fn span(&self, name: &str) -> &Span {
        let mut found = self.spans.iter().filter(|span| span.name == name);
        let names: Vec<_> = self.spans.iter().map(|span| &span.name).collect();
        let span = found.next().unwrap_or_else(|| panic!("{name} is not among {names:?}"));
        assert!(found.next().is_none(), "{name} is there twice");
        span
    }
}

fn word(value: Option<&AnyValue>) -> String {
    match value {
        Some(AnyValue::StringValue(text)) => text.clone(),
        other => panic!("{other:?} is no text"),
    }
}

/// A job that delegates to one that delegates to one that uses a tool.
const FAMILY: &str = r#"{ "agent": "delegate", "lease_request": { "agent.delegate": ["*"], "fs.read": ["/data/**"] }, "input": {
    "agent": "operate", "lease_request": { "fs.read": ["/data/**"] }, "input": {
    "operations": [{ "capability": "fs.read", "target": "/data/input-canary" }] } } }"#;

#[test]
fn a_family_of_jobs_reaches_a_collector_as_one_tree() {
    let (url, received) = collector();
    let serving = serve(&["--otlp", &url, "--metrics", "listen"]);
    let lease = r#"{ "agent.delegate": ["*"], "fs.read": ["/data/**"] }"#;
    let mut submit = serving.submit(&["delegate", "--input", FAMILY, "--lease", lease]);
    exits(&submit.output().unwrap(), 0);
    let metrics = serving.http("/metrics");
    stop(serving);

    let sent = Sent::of(&received);
    assert_eq!(sent.service, "arcp");
    let jobs: Vec<_> = sent.spans.iter().filter(|span| span.name.starts_with("invoke_agent ")).collect();
    assert_eq!(jobs.len(), 3, "{:?}", sent.spans);
    let tool = sent.span("execute_tool fs.read");
    let above = |span: &Span| sent.spans.iter().find(|other| other.span_id == span.parent_span_id);
    let grandchild = above(tool).unwrap();
    assert_eq!(grandchild.name, "invoke_agent operate");
    let child = above(grandchild).unwrap();
    let parent = above(child).unwrap();
    assert_eq!(
        (child.name.as_str(), parent.name.as_str()),
        ("invoke_agent delegate", "invoke_agent delegate")
    );
    assert!(above(parent).is_none() && parent.parent_span_id.is_empty());
    assert!([tool, grandchild, child].iter().all(|span| span.trace_id == parent.trace_id));
    assert_eq!(sent.span("arcp.session").parent_span_id, Vec::<u8>::new());
    assert_eq!(sent.numbers["arcp.jobs.ended success"], 3.0, "{:?}", sent.numbers);
    assert_eq!(sent.numbers["arcp.events delegate"], 2.0);
    assert!(metrics.contains("arcp_jobs_ended_total{status=\"success\"} 3\n"), "{metrics}");
    let told = format!("{:?} {:?} {metrics}", sent.spans, sent.numbers);
    for secret in ["canary", "s3cret", "alice"] {
        assert!(!told.contains(secret), "{secret} was told");
    }
}

#[test]
fn the_environment_and_the_request_for_the_connection_are_heard() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (url, received) = collector();
    let environment = [
        ("OTEL_SERVICE_NAME", "mine"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=header-canary"),
        ("RUST_LOG", "trace"),
    ];
    let serving = crate::program::serve_in(&environment, &["--otlp", &url, "--otlp-sample", "0"]);
    let address = serving.url.clone();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let connector = arcp::ws::WsConnector::new(&address).unwrap();
        let connector = connector.with_header("traceparent".parse().unwrap(), PARENT.parse().unwrap());
        let client = arcp::Client::connect(connector, "s3cret").await.unwrap();
        client.submit("echo").input("hi").await.unwrap().result_json().await.unwrap();
        client.close().await;
    });
    let said = stop(serving);
    assert!(!said.contains("header-canary"), "{said}");
    let sent = Sent::of(&received);
    assert_eq!((sent.service.as_str(), &sent.headers["x-key"]), ("mine", &"header-canary".parse().unwrap()));
    // Whoever asked for the connection records; who submitted the job said nothing, and nothing is recorded of such.
    let [session] = &sent.spans[..] else { panic!("{:?}", sent.spans) };
    assert_eq!(session.name, "arcp.session");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&session.trace_id), &PARENT[3..35]);
    assert_eq!(hex(&session.parent_span_id), &PARENT[36..52]);
}

#[test]
fn a_submit_continues_the_trace_of_its_environment() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (url, received) = collector();
    let serving = serve(&["--otlp", &url]);
    let submit = |arguments: &[&str], parent: &str| {
        let mut submit = serving.submit(arguments);
        let output = submit.env("TRACEPARENT", parent).env("TRACESTATE", "vendor=state").output().unwrap();
        exits(&output, 0);
    };
    submit(&["echo", "--input", "1"], PARENT);
    submit(&["whoami"], "not a context"); // W3C: as if there were none
    stop(serving);

    let sent = Sent::of(&received);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let job = sent.span("invoke_agent echo");
    assert_eq!(hex(&job.trace_id), &PARENT[3..35]);
    assert_eq!(hex(&job.parent_span_id), &PARENT[36..52]);
    assert_eq!(job.trace_state, "vendor=state");
    let alone = sent.span("invoke_agent whoami");
    assert_eq!((alone.parent_span_id.len(), alone.trace_state.as_str()), (0, ""));
}

#[test]
fn a_collector_that_is_not_there_is_one_warning() {
    // A port that was free a moment ago: nobody listens at it.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let environment =
        [("OTEL_BSP_SCHEDULE_DELAY", "10"), ("OTEL_METRIC_EXPORT_INTERVAL", "10"), ("RUST_LOG", "debug")];
    let serving = crate::program::serve_in(&environment, &["--otlp", &format!("http://{free}")]);
    for _ in 0..3 {
        exits(&serving.submit(&["echo", "--input", "1"]).output().unwrap(), 0);
    }
    let said = stop(serving);
    assert_eq!(said.matches("the collector does not take it").count(), 1, "{said}");
}

#[test]
fn what_is_no_endpoint_is_a_usage_error() {
    for (arguments, problem) in [
        (&["--otlp", "http://user:s3cret@c:4318"][..], "OTEL_EXPORTER_OTLP_HEADERS"),
        (&["--otlp", "http://c:4318", "--otlp-sample", "2"], "between 0 and 1"),
        (&["--otlp-sample", "0.5"], "--otlp"),
        (&["--metrics", "9464"], "IP:PORT, listen or off"),
    ] {
        let output = arcp().args(["serve", "--token", "t=alice"]).args(arguments).output().unwrap();
        exits(&output, 2);
        let said = text(&output.stderr);
        assert!(said.contains(problem) && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn metrics_are_where_they_are_asked_for_and_nowhere_else() {
    for nowhere in [&[][..], &["--metrics", "off"]] {
        let serving = serve(nowhere);
        assert!(serving.http("/metrics").starts_with("HTTP/1.1 404"), "{nowhere:?}");
        assert!(serving.http("/healthz").starts_with("HTTP/1.1 200"));
        stop(serving);
    }

    let serving = serve(&["--metrics", "listen"]);
    assert_tells(&serving.http("/metrics"));
    assert!(serving.http("/healthz").starts_with("HTTP/1.1 200"));
    stop(serving);

    let mut serving = crate::program::serve_in(&[("RUST_LOG", "info")], &["--metrics", "127.0.0.1:0"]);
    let address = serving.said_before.iter().find_map(|line| line.split("metrics are at http://").nth(1));
    let address = address.unwrap().trim().trim_end_matches("/metrics").to_owned();
    assert!(serving.http("/metrics").starts_with("HTTP/1.1 404"));
    let own = std::mem::replace(&mut serving.url, format!("ws://{address}/arcp"));
    assert_tells(&serving.http("/metrics"));
    assert!(serving.http("/healthz").starts_with("HTTP/1.1 404"));
    assert!(serving.http("/arcp").starts_with("HTTP/1.1 404"));
    serving.url = own;
    assert!(serving.http("/healthz").starts_with("HTTP/1.1 200"));
    stop(serving);
}

#[track_caller]
fn assert_tells(metrics: &str) {
    assert!(metrics.starts_with("HTTP/1.1 200") && metrics.contains("\narcp_jobs_running 0\n"), "{metrics}");
    assert!(metrics.contains("content-type: text/plain; version=0.0.4\r\n"), "{metrics}");
}
