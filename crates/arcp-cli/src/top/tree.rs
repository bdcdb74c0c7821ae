//! Jobs in the order in which they are shown: each below the job that delegated to it, and otherwise newest first.

use std::collections::{BTreeMap, BTreeSet};

use arcp::proto::JobId;

/// One line: a job, and how many of the jobs above it it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) job: JobId,
    pub(crate) depth: usize,
}

/// Every job once, whatever a runtime says of who belongs to whom.
pub(crate) fn order<'a>(jobs: impl Iterator<Item = (&'a JobId, Option<&'a JobId>)>) -> Vec<Node> {
    let jobs: Vec<_> = jobs.collect();
    let known: BTreeSet<_> = jobs.iter().map(|(job, _)| *job).collect();
    let mut children: BTreeMap<&JobId, Vec<&JobId>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (job, parent) in &jobs {
        match parent.filter(|parent| known.contains(parent) && parent != job) {
            Some(parent) => children.entry(parent).or_default().push(job),
            None => roots.push(*job),
        }
    }
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    // Those that would be below each other have no root: they come last, from the first that is met.
    for root in roots.into_iter().chain(jobs.iter().map(|(job, _)| *job)) {
        let mut open = vec![(root, 0)];
        while let Some((job, depth)) = open.pop() {
            if !seen.insert(job) {
                continue;
            }
            out.push(Node { job: job.clone(), depth });
            // The last one pushed comes next; children are shown as they ran, oldest first.
            open.extend(children.get(job).into_iter().flatten().map(|child| (*child, depth + 1)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(jobs: &[(&str, Option<&str>)]) -> Vec<String> {
        let id = |name: &str| name.parse::<JobId>().unwrap();
        let jobs: Vec<_> = jobs.iter().map(|(job, parent)| (id(job), parent.map(id))).collect();
        let nodes = order(jobs.iter().map(|(job, parent)| (job, parent.as_ref())));
        nodes.iter().map(|node| format!("{}{}", "-".repeat(node.depth), node.job)).collect()
    }

    #[test]
    fn children_are_below_their_parents_oldest_first() {
        let jobs = [
            ("e", Some("a")),
            ("d", None),
            ("c", Some("b")),
            ("b", Some("a")),
            ("a", None),
            ("x", Some("gone")),
        ];
        assert_eq!(lines(&jobs), ["d", "a", "-b", "--c", "-e", "x"]);
    }

    #[test]
    fn a_runtime_that_tells_of_circles_loses_no_job() {
        assert_eq!(lines(&[("a", Some("b")), ("b", Some("a")), ("c", Some("c"))]), ["c", "a", "-b"]);
    }
}
