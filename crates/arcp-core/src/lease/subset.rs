//! Which patterns cover which others, proven (§9.4).

use super::pattern::{Pattern, Token};
use super::target::Letter;

/// Whether it is proven that `parent` matches whatever `child` matches.
///
/// The proof is a simulation. Both patterns are machines that read a target letter by letter. "At step `p` the parent follows
/// the child at step `c`" holds if
///
/// - the child, where it may end, finds the parent where it may end;
/// - wherever the child may go on to without a letter, the parent at `p` follows it;
/// - for each letter that the child may take, there is a step to which the parent may go by the same letter, and from which
///   it follows the child.
///
/// If the parent follows at the first step, then by induction over the letters of any target that the child matches, the
/// parent has a way through the same target, and ends where the child ends. So a proof is never wrong.
///
/// Of the many characters that a wildcard of the child takes, one is looked at that no pattern contains: a parent that
/// takes it does so by a wildcard, which takes every other one too. Steps only lead forward or back to themselves, so
/// the table of all pairs is filled once from its end, in time in proportion to both lengths multiplied.
///
/// Targets of paths and agents have no empty segments, so there the child is not asked for a separator after a separator.
///
/// What is covered may go unproven where the parent would have to know how the target goes on: the name pattern `**/*` is not
/// proven to cover `a**b`, since at each `/` it would have to know whether that is the last one. An identical pattern is always
/// covered, and a pattern covers what is covered by one that it covers.
pub fn covers(parent: &Pattern, child: &Pattern) -> bool {
    covers_within(parent, child, &mut usize::MAX.clone())
}

/// The same with a bound on the pairs of steps that are looked at, which is counted down. What is not proven within it is
/// not proven.
pub(super) fn covers_within(parent: &Pattern, child: &Pattern, effort: &mut usize) -> bool {
    if parent.kind() != child.kind() {
        return false;
    }
    if parent.tokens() == child.tokens() {
        return true;
    }
    // While both can only take one letter each, it must be the same.
    let mut start = 0;
    while let (Some(Token::Letter(own)), Some(Token::Letter(other))) =
        (parent.tokens().get(start), child.tokens().get(start))
    {
        if own != other {
            return false;
        }
        start += 1;
    }
    // Likewise from the end.
    let ends = parent.tokens().iter().rev().zip(child.tokens().iter().rev());
    for (own, other) in ends {
        match (own, other) {
            (Token::Letter(own), Token::Letter(other)) if own != other => return false,
            (Token::Letter(_), Token::Letter(_)) => {}
            _ => break,
        }
    }
    let pairs = (parent.tokens().len() - start + 1) * (child.tokens().len() - start + 1);
    match effort.checked_sub(pairs) {
        None => false,
        Some(left) => {
            *effort = left;
            Simulation { parent, child, empty_segments: parent.kind().has_empty_segments() }.holds_from(start)
        }
    }
}

/// For one step of the child and each of the parent: whether the parent follows, if the letter before was no separator, and
/// if it was one.
type Row = [Vec<bool>; 2];

struct Simulation<'a> {
    parent: &'a Pattern,
    child: &'a Pattern,
    /// Whether a separator may follow a separator, or be the last letter, in a target.
    empty_segments: bool,
}

impl Simulation<'_> {
    fn holds_from(&self, start: usize) -> bool {
        let steps = self.parent.tokens().len() + 1;
        let row = || [vec![true; steps], vec![true; steps]];
        // Those of the step that is looked at, the next, and the one after that.
        let mut rows = [row(), row(), row()];
        for c in (start..=self.child.tokens().len()).rev() {
            rows.rotate_right(1);
            rows[0] = row();
            for p in (start..steps).rev() {
                // A pair depends on greater ones, on itself and on the same one after a separator. Of what depends on
                // itself it is assumed that it holds, until something else refutes it.
                loop {
                    let before = [rows[0][0][p], rows[0][1][p]];
                    for after_separator in [false, true] {
                        rows[0][usize::from(after_separator)][p] = self.follows(p, c, after_separator, &rows);
                    }
                    if before == [rows[0][0][p], rows[0][1][p]] {
                        break;
                    }
                }
            }
        }
        rows[0][usize::from(start > 0 && self.parent.tokens()[start - 1] == Token::Letter(Letter::Separator))]
            [start]
    }

    fn follows(&self, p: usize, c: usize, after_separator: bool, rows: &[Row; 3]) -> bool {
        let same = usize::from(after_separator);
        let no_more = after_separator && !self.empty_segments;
        let Some(&token) = self.child.tokens().get(c) else {
            return no_more || self.parent.skips(p).any(|at| at == self.parent.tokens().len());
        };
        let skipped = token.skip(c).is_none_or(|to| rows[to - c][same][p]);
        let takes = |letter: Letter, to: usize| {
            let separator = letter == Letter::Separator;
            let row = &rows[to - c][usize::from(separator)];
            let mut ways = self
                .parent
                .skips(p)
                .filter_map(|at| self.parent.tokens().get(at).and_then(|token| token.take(at, letter)));
            (separator && no_more) || ways.any(|at| row[at])
        };
        skipped
            && match token {
                Token::Letter(letter) | Token::Open(letter) => takes(letter, c + 1),
                Token::Any => takes(Letter::Other, c + 1),
                Token::Run => takes(Letter::Other, c),
                Token::Cross => takes(Letter::Other, c) && takes(Letter::Separator, c),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_proven_within_the_effort_is_not_proven() {
        let [parent, child] = ["*a*", "*ab"].map(|text| Pattern::parse("tool.call", text).unwrap());
        let mut effort = 100;
        assert!(covers_within(&parent, &child, &mut effort));
        assert!(effort < 100, "no effort is counted");
        assert!(!covers_within(&parent, &child, &mut 10));
        assert!(covers_within(&parent, &parent, &mut 0), "an identical pattern needs no proof");
    }

    #[test]
    fn patterns_of_different_kinds_do_not_cover_each_other() {
        let [tool, model] = ["tool.call", "model.use"].map(|name| Pattern::parse(name, "a").unwrap());
        assert!(!covers(&tool, &model) && !covers(&model, &tool));
    }
}
