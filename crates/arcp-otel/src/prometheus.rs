//! Metrics as a Prometheus server reads them: the text format, version 0.0.4.

use std::fmt::Write as _;

use arcp_core::runtime::Tally;

use crate::metrics::{Kind, Label, METRICS};

/// The content type of [`RuntimeMetrics::prometheus`](crate::RuntimeMetrics::prometheus).
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4";

pub(crate) fn text(tally: &Tally) -> String {
    let mut out = String::new();
    for metric in METRICS {
        let (suffix, kind) = match metric.kind {
            Kind::Counter => ("_total", "counter"),
            Kind::Gauge => ("", "gauge"),
        };
        let name = format!("{}{suffix}", metric.name.replace('.', "_"));
        // Writing to a string cannot fail.
        let _ = write!(out, "# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help);
        for (labels, value) in (metric.read)(tally) {
            let _ = writeln!(out, "{name}{} {value}", shown(&labels));
        }
    }
    out
}

fn shown(labels: &[Label]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let each: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", each.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let labels = [("a", "x\"\\\n".to_owned()), ("b", "y".to_owned())];
        assert_eq!(shown(&labels), "{a=\"x\\\"\\\\\\n\",b=\"y\"}");
        assert_eq!(shown(&[]), "");
    }

    #[test]
    fn money_is_exact() {
        let mut tally = Tally::default();
        tally.spent.insert("USD".parse().unwrap(), "0.30000000000000000001".parse().unwrap());
        let line = "\narcp_budget_spent_total{currency=\"USD\"} 0.30000000000000000001\n";
        assert!(text(&tally).contains(line), "{}", text(&tally));
    }
}
