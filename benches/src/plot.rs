//! How cost grows with what there is, as an SVG: both axes logarithmic, so that what grows in proportion is a straight line.

use std::fmt::Write as _;

/// What something costs at 1, 4 and 16 times its smallest size.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) sizes: [u64; 3],
    /// In whatever unit.
    pub(crate) costs: [f64; 3],
}

impl Curve {
    /// Each cost as so many times the first.
    pub(crate) fn growth(&self) -> [f64; 3] {
        self.costs.map(|cost| cost / self.costs[0])
    }
}

const COLOURS: [&str; 3] = ["#1f6feb", "#d1571b", "#2f8f4e"];
const LEFT: f64 = 60.0;
const TOP: f64 = 20.0;
const SIDE: f64 = 320.0;

/// The place of a pair of factors, each from 1 to 32.
fn place(size: f64, cost: f64) -> (f64, f64) {
    let along = |factor: f64| SIDE * factor.max(1.0).log2() / 5.0;
    (LEFT + along(size), TOP + SIDE - along(cost))
}

pub(crate) fn svg(curves: &[Curve]) -> String {
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 620 400\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"620\" height=\"400\" fill=\"#ffffff\"/>\n",
    );
    let line = |out: &mut String, from: (f64, f64), to: (f64, f64), style: &str| {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(out, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>");
    };
    let text = |out: &mut String, (x, y): (f64, f64), anchor: &str, words: &str| {
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
    };
    for factor in [1.0, 4.0, 16.0] {
        let grey = "stroke=\"#dddddd\"";
        line(&mut out, place(factor, 1.0), place(factor, 32.0), grey);
        line(&mut out, place(1.0, factor), place(32.0, factor), grey);
        let (x, y) = place(factor, 1.0);
        text(&mut out, (x, y + 18.0), "middle", &format!("{factor}×"));
        let (x, y) = place(1.0, factor);
        text(&mut out, (x - 8.0, y + 4.0), "end", &format!("{factor}×"));
    }
    text(&mut out, (LEFT + SIDE / 2.0, TOP + SIDE + 40.0), "middle", "size");
    text(&mut out, (14.0, TOP + 10.0), "start", "cost");
    line(&mut out, place(1.0, 1.0), place(32.0, 32.0), "stroke=\"#888888\" stroke-dasharray=\"4 4\"");
    text(&mut out, (LEFT + SIDE + 20.0, TOP + 10.0), "start", "- - in proportion");
    for (index, (curve, colour)) in curves.iter().zip(COLOURS).enumerate() {
        let points: Vec<(f64, f64)> =
            [1.0, 4.0, 16.0].into_iter().zip(curve.growth()).map(|(size, cost)| place(size, cost)).collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let path = path.join(" ");
        let _ = writeln!(
            out,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        for (x, y) in points {
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
        }
        let (x, y) = (LEFT + SIDE + 20.0, TOP + 34.0 + 22.0 * index as f64);
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{}</text>", curve.name);
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_in_proportion_is_on_the_diagonal() {
        let curve = Curve { name: "events", sizes: [10, 40, 160], costs: [0.5, 2.0, 8.0] };
        for (size, cost) in [1.0, 4.0, 16.0].into_iter().zip(curve.growth()) {
            let (x, y) = place(size, cost);
            assert!((x - LEFT - (TOP + SIDE - y)).abs() < 1e-9, "{size} {cost}");
        }
        let drawn = svg(&[curve]);
        assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n") && drawn.contains("events"));
    }
}
