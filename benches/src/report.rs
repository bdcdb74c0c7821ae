//! What was measured, as a page of Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::conduct::Side;
use crate::machine;
use crate::plot::Curve;
use crate::sample::{Sample, Spread};
use crate::workload::{Baseline, Case, Measure, Target};

/// The samples of each case and side, in the order of the rounds.
#[derive(Default)]
pub(crate) struct Results(BTreeMap<(usize, Side), Vec<Sample>>);

impl Results {
    pub(crate) fn add(&mut self, case: usize, side: Side, sample: Sample) {
        self.0.entry((case, side)).or_default().push(sample);
    }

    fn values(&self, case: usize, side: Side, key: &str) -> Vec<f64> {
        let samples = self.0.get(&(case, side)).into_iter().flatten();
        samples.filter_map(|sample| sample.value(key)).collect()
    }
}

/// What was measured in the same round, compared.
fn compared(target: Target, ours: &[f64], theirs: &[f64]) -> Option<Spread> {
    Spread::of(ours.iter().zip(theirs).map(|(ours, theirs)| target.compare(*ours, *theirs)))
}

const BEGINNING: &str = "\
<!-- Written by cargo xtask bench. -->

# Performance

`cargo xtask bench` measures `arcp serve --fixtures` and writes this page. Servers and loads are processes of their own, over loopback
WebSockets. Each workload is measured in every round, right before its baseline, and a ratio is of numbers of the same round: rates
change with the machine and with what else it does, ratios much less. Numbers are medians, with the least and the most in brackets.

The baseline is the least that the same work can cost: programs on the same WebSocket library that do it without a protocol.

| workload | baseline |
| --- | --- |
| W1 | serialises each event from a typed struct, flushes each 64; the client parses each, borrowed |
| W2 | answers each submit with two frames that are there already |
| W3 | subscribers pull slices of one shared log, a header spliced in front of each event; nothing is parsed on either side |
| W4 | connections with the smallest socket buffers, nothing else; memory of the heap |
| W5 | sends frames that are there already; on both sides each is parsed, borrowed |
| W6 | W1 |
| W7 | as many events as in W1, over as many connections |
| W8 | codes as base64 with the crate `base64`, ships and decodes the same pieces |

";

/// The page of a full run.
pub(crate) fn page(report: &str, curves: &[Curve]) -> String {
    let mut out =
        format!("{BEGINNING}## Ratios\n\n{report}\n## Growth\n\n![How cost grows](performance.svg)\n\n");
    out.push_str("| what grows | sizes | cost, as so many times the first |\n| --- | ---: | ---: |\n");
    for curve in curves {
        let sizes = curve.sizes.map(|size| number(size as f64)).join(" / ");
        let growth = curve.growth().map(|cost| format!("{cost:.2}")).join(" / ");
        let _ = writeln!(out, "| {} | {sizes} | {growth} |", curve.name);
    }
    out
}

pub(crate) fn markdown(cases: &[Case], results: &Results, rounds: u32) -> String {
    let mut out = format!("{} rounds on: {}\n\n", rounds, machine::description());
    out.push_str("| workload | measured | here | baseline | ratio | to reach | |\n");
    out.push_str("| --- | --- | ---: | ---: | ---: | ---: | --- |\n");
    for (index, case) in cases.iter().enumerate() {
        for measure in case.measures {
            row(&mut out, cases, results, (index, case), measure);
        }
    }
    comparison(&mut out, cases, results, Side::There, "the other revision");
    comparison(&mut out, cases, results, Side::Python, "the published Python SDK 1.1.3");
    out
}

/// The same measures of two runtimes, where there are any.
fn comparison(out: &mut String, cases: &[Case], results: &Results, side: Side, name: &str) {
    if !results.0.keys().any(|(_, other)| *other == side) {
        return;
    }
    let _ = writeln!(
        out,
        "\n| workload | measured | here | {name} | ratio |\n| --- | --- | ---: | ---: | ---: |"
    );
    for (index, case) in cases.iter().enumerate() {
        for measure in case.measures {
            let ours = results.values(index, Side::Here, measure.key);
            let theirs = results.values(index, side, measure.key);
            let Some(ratio) = compared(Target::Told, &ours, &theirs) else { continue };
            let (here, there, ratio) = (cell(&ours), cell(&theirs), ratio_cell(ratio));
            let _ = writeln!(out, "| {} | {} | {here} | {there} | {ratio} |", case.id, measure.unit);
        }
    }
}

fn row(
    out: &mut String,
    cases: &[Case],
    results: &Results,
    (index, case): (usize, &Case),
    measure: &Measure,
) {
    let ours = results.values(index, Side::Here, measure.key);
    let theirs = match case.baseline {
        Baseline::Floor(_) => results.values(index, Side::Floor, measure.key),
        Baseline::Case(id) => {
            let other = cases.iter().position(|case| case.id == id);
            other.map(|other| results.values(other, Side::Here, measure.key)).unwrap_or_default()
        }
    };
    let ratio = compared(measure.target, &ours, &theirs);
    let target = match measure.target {
        Target::AtLeast(least) => format!("≥ {least}"),
        Target::AtMost(most) => format!("≤ {most}"),
        Target::AtMostMore(most) => format!("≤ {} more", number(most)),
        Target::Told => String::new(),
    };
    let verdict = match ratio.and_then(|ratio| measure.target.is_reached(ratio.median)) {
        Some(true) => "reached",
        Some(false) => "not reached",
        None => "",
    };
    let ratio = match measure.target {
        Target::AtMostMore(_) => ratio.map(|ratio| format!("{} more", spread_cell(ratio))),
        _ => ratio.map(ratio_cell),
    };
    let ratio = ratio.unwrap_or_default();
    let (here, baseline) = (cell(&ours), cell(&theirs));
    let _ = writeln!(
        out,
        "| {}, {} | {} | {here} | {baseline} | {ratio} | {target} | {verdict} |",
        case.id, case.title, measure.unit
    );
}

/// A median with the ends.
fn cell(values: &[f64]) -> String {
    Spread::of(values.iter().copied()).map(spread_cell).unwrap_or_default()
}

fn spread_cell(Spread { median, least, most }: Spread) -> String {
    format!("{} ({} – {})", number(median), number(least), number(most))
}

fn ratio_cell(Spread { median, least, most }: Spread) -> String {
    format!("**{median:.2}** ({least:.2} – {most:.2})")
}

/// Three digits or more, with commas between thousands.
fn number(value: f64) -> String {
    if value.abs() < 100.0 && value.fract() != 0.0 {
        return format!("{value:.digits$}", digits = if value.abs() < 10.0 { 3 } else { 1 });
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!(
            [0.31, 6.0, 99.94, 100.0, 1_000.0, 1_234_567.8].map(number),
            ["0.310", "6", "99.9", "100", "1,000", "1,234,568"]
        );
    }

    #[test]
    fn a_ratio_is_of_one_round() {
        let spread = compared(Target::Told, &[1.0, 10.0], &[2.0, 20.0]).unwrap();
        assert_eq!((spread.least, spread.most), (0.5, 0.5));
    }
}
