//! Metrics as an exporter in memory has collected them.

use std::collections::BTreeMap;

use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};

/// Each number by its metric and labels, as in `arcp.jobs.ended{status=success}`.
pub(crate) fn numbers(collected: &[ResourceMetrics]) -> BTreeMap<String, f64> {
    let mut numbers = BTreeMap::new();
    let last = collected.last().expect("something was collected");
    for metric in last.scope_metrics().flat_map(|scope| scope.metrics()) {
        let mut put = |labels: Vec<String>, value: f64| {
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            assert_eq!(numbers.insert(format!("{}{labels}", metric.name()), value), None);
        };
        let shown = |labels: &mut dyn Iterator<Item = &opentelemetry::KeyValue>| {
            let mut labels: Vec<_> = labels.map(|label| format!("{}={}", label.key, label.value)).collect();
            labels.sort();
            labels
        };
        match metric.data() {
            AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                assert!(sum.is_monotonic());
                sum.data_points().for_each(|at| put(shown(&mut at.attributes()), at.value() as f64));
            }
            AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                sum.data_points().for_each(|at| put(shown(&mut at.attributes()), at.value()));
            }
            AggregatedMetrics::U64(MetricData::Gauge(gauge)) => {
                gauge.data_points().for_each(|at| put(shown(&mut at.attributes()), at.value() as f64));
            }
            other => panic!("{}: {other:?}", metric.name()),
        }
    }
    numbers
}
