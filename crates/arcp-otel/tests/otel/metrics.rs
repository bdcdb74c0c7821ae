//! What a runtime counts, in OpenTelemetry and for Prometheus.

use arcp_client::Client;
use arcp_client::proto::Lease;
use arcp_otel::RuntimeMetrics;
use arcp_runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp_transport::memory;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

use crate::collected::numbers;

/// Everything that is counted, after a few things have happened that each count as something else.
async fn busy() -> Runtime {
    let spend = agent_fn(async |ctx: JobContext, (): ()| {
        ctx.info("one").await?;
        ctx.info("two").await?;
        ctx.charge("tokens", "USD", "0.25".parse().unwrap()).await?;
        ctx.charge("tokens", "EUR", "9".parse().unwrap()).await?; // of no budget
        let tool = async { Ok::<_, AgentError>(()) };
        let _ = ctx.call_tool("forbidden", &(), tool).await;
        Ok::<_, AgentError>(())
    });
    let fail = agent_fn(async |_: JobContext, (): ()| Err::<(), _>(AgentError::new("X_FAILED", "no")));
    let wait = agent_fn(async |ctx: JobContext, (): ()| {
        ctx.stopped().await;
        Ok::<_, AgentError>(())
    });
    let tokens = StaticTokens::new().token("t", "alice");
    let builder = Runtime::builder().authenticator(tokens).agent("spend@1.0.0", spend);
    let runtime = builder.agent("fail@1.0.0", fail).agent("wait@1.0.0", wait).build().unwrap();

    let (connector, listener) = memory::listener();
    let serving = runtime.clone();
    tokio::spawn(async move { serving.serve_all(listener).await });
    let client = Client::connect(connector.clone(), "t").await.unwrap();
    let lease = Lease::empty().grant("cost.budget", "USD:1.00");
    client.submit("spend").lease(lease).await.unwrap().result::<()>().await.unwrap();
    client.submit("fail").await.unwrap().result::<()>().await.unwrap_err();
    let mut job = client.submit("wait").await.unwrap();
    job.cancel().await.unwrap();
    job.result::<()>().await.unwrap_err();
    let _runs = client.submit("wait").await.unwrap();
    client.submit("nobody").await.unwrap_err();
    Client::connect(connector.clone(), "wrong").await.unwrap_err();

    // Left behind, taken up by another, and asked for with what is good no more.
    let state = client.resume_state().await.unwrap();
    let resumed = Client::connect(connector.clone(), "t").resume(state.clone()).await.unwrap();
    resumed.submit("fail").await.unwrap().result::<()>().await.unwrap_err();
    Client::connect(connector, "t").resume(state).await.unwrap_err();
    std::mem::forget((client, resumed)); // as they are, for as long as the test looks
    runtime
}

#[tokio::test]
async fn everything_is_counted_under_its_name() {
    let runtime = busy().await;
    let exporter = InMemoryMetricExporter::default();
    let provider =
        SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    let tally = runtime.tally();
    let metrics = RuntimeMetrics::new(move || tally.clone());
    metrics.observe_with(&provider.meter("test"));
    provider.force_flush().unwrap();
    let counted = numbers(&exporter.get_finished_metrics().unwrap());
    let expected = [
        ("arcp.sessions{state=connected}", 1.0),
        ("arcp.sessions{state=disconnected}", 0.0),
        ("arcp.sessions.opened", 1.0),
        ("arcp.resumes{outcome=resumed}", 1.0),
        ("arcp.resumes{outcome=PERMISSION_DENIED}", 1.0),
        ("arcp.refusals{reason=UNAUTHENTICATED,what=session}", 1.0),
        ("arcp.refusals{reason=PERMISSION_DENIED,what=resume}", 1.0),
        ("arcp.refusals{reason=AGENT_NOT_AVAILABLE,what=request}", 1.0),
        ("arcp.refusals{reason=PERMISSION_DENIED,what=operation}", 1.0),
        ("arcp.jobs.running", 1.0),
        ("arcp.jobs.accepted", 5.0),
        ("arcp.jobs.ended{status=success}", 1.0),
        ("arcp.jobs.ended{status=error}", 2.0),
        ("arcp.jobs.ended{status=cancelled}", 1.0),
        ("arcp.jobs.ended{status=timed_out}", 0.0),
        ("arcp.events{kind=log}", 2.0),
        ("arcp.events{kind=metric}", 3.0),
        ("arcp.events{kind=tool_call}", 1.0),
        ("arcp.events{kind=tool_result}", 1.0),
        ("arcp.events{kind=other}", 0.0),
        ("arcp.budget.spent{currency=USD}", 0.25),
        ("arcp.credentials.outstanding{state=held}", 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(counted.get(name), Some(&value), "{name} in {counted:#?}");
    }
    for name in ["arcp.ack.lag{of=all}", "arcp.ack.lag{of=most}", "arcp.queue.bytes{queue=unsent}"] {
        assert!(counted.contains_key(name), "{name}");
    }
    assert!(!counted.contains_key("arcp.budget.spent{currency=EUR}"), "no budget was spent");

    // What Prometheus reads is the same, line by line.
    let text = metrics.prometheus();
    let mut read = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let mut labels: Vec<_> =
            labels.trim_end_matches('}').split(',').map(|label| label.replace('"', "")).collect();
        labels.sort();
        let labels = labels.join(",");
        let found = counted.iter().find(|(other, _)| {
            let (of, with) = other.split_once('{').unwrap_or((other, ""));
            of.replace('.', "_") == name.trim_end_matches("_total") && with.trim_end_matches('}') == labels
        });
        assert_eq!(found.unwrap_or_else(|| panic!("{line}")).1, &value.parse::<f64>().unwrap(), "{line}");
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
        read += 1;
    }
    assert_eq!(read, counted.len());
    assert!(text.contains("arcp_budget_spent_total{currency=\"USD\"} 0.25\n"), "{text}");
}

#[tokio::test]
async fn what_anybody_can_make_up_makes_no_series() {
    let spend = agent_fn(async |ctx: JobContext, number: u32| {
        for more in 0..8 {
            let kind = format!("x-vendor.made.up{number}x{more}").as_str().into();
            ctx.emit(kind, &()).await?;
            ctx.charge("tokens", format!("C{number}x{more}"), "1".parse().unwrap()).await?;
        }
        Err::<(), _>(AgentError::new(format!("X_{number}").as_str(), "no"))
    });
    let tokens = StaticTokens::new().token("t", "alice");
    let runtime = Runtime::builder().authenticator(tokens).agent("spend@1.0.0", spend).build().unwrap();
    let (connector, listener) = memory::listener();
    let serving = runtime.clone();
    tokio::spawn(async move { serving.serve_all(listener).await });
    let client = Client::connect(connector, "t").await.unwrap();
    let looked = runtime.clone();
    let before = RuntimeMetrics::new(move || looked.tally()).prometheus().lines().count();
    for number in 0..8 {
        let currencies: Vec<_> = (0..8).map(|more| format!("C{number}x{more}:9")).collect();
        let grant = |lease: Lease, budget: &String| lease.grant("cost.budget", budget);
        let lease = currencies.iter().fold(Lease::empty(), grant);
        client.submit("spend").input(&number).lease(lease).await.unwrap().result::<()>().await.unwrap_err();
    }
    let looked = runtime.clone();
    let after = RuntimeMetrics::new(move || looked.tally()).prometheus();
    assert_eq!(after.lines().filter(|line| line.starts_with("arcp_budget_spent_total{")).count(), 32);
    assert_eq!(after.lines().count(), before + 32, "{after}");
    assert!(after.contains("arcp_events_total{kind=\"other\"} 64\n"), "{after}");
    assert!(after.contains("arcp_jobs_ended_total{status=\"error\"} 8\n"), "{after}");
}

/// Whoever reads the guide is to find there whatever a dashboard can show, and nothing else.
#[test]
fn the_guide_has_every_metric_with_its_kind_and_its_labels() {
    let guide = include_str!("../../../arcp/src/guides/observability.md");
    let rows: Vec<_> = guide.lines().filter(|line| line.starts_with("| `arcp.")).collect();
    let rows: Vec<_> = rows.into_iter().filter(|row| !row.starts_with("| `arcp.session` ")).collect();
    let text = RuntimeMetrics::new(Default::default).prometheus();
    let told: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(rows.len(), told.len(), "{rows:#?}");
    for (row, told) in rows.iter().zip(told) {
        let (name, kind) = told.split_once(' ').unwrap();
        let otel = name.trim_end_matches("_total").replace('_', ".");
        assert!(row.starts_with(&format!("| `{otel}` | {kind}, `")), "{told}: {row}");
        for line in text.lines().filter(|line| line.starts_with(&format!("{name}{{"))) {
            let mut words = line.split(['{', '=', '"', '}']);
            let (label, value) = (words.nth(1).unwrap(), words.nth(1).unwrap());
            assert!(row.contains(&format!("`{label}`")), "{line}: {row}");
            assert!(label == "kind" || row.contains(&format!("`{value}`")), "{line}: {row}");
        }
    }
}
