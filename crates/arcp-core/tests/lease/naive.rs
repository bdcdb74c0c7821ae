//! Matching as the rules read, by trying every way there is: what the library's matching is compared with. It takes time
//! without bound, and is for short texts.

/// Whether the pattern matches the target, both canonical.
pub(crate) fn matches(capability: &str, pattern: &str, target: &str) -> bool {
    match capability {
        "fs.read" | "fs.write" => path(pattern.trim_end_matches('/'), target.trim_end_matches('/')),
        "net.fetch" => url(pattern, target),
        "agent.delegate" => {
            let versioned = if pattern.contains('@') { pattern.to_owned() } else { format!("{pattern}@**") };
            path(&format!("/{}", versioned.replace('@', "/")), &format!("/{}", target.replace('@', "/")))
        }
        _ => path(&format!("/{pattern}"), &format!("/{target}")),
    }
}

fn url(pattern: &str, target: &str) -> bool {
    let halves = |text: &str| match text.split_once('?') {
        None => (text.to_owned(), None),
        Some((before, after)) => (before.to_owned(), Some(after.to_owned())),
    };
    let ((pattern, pattern_query), (target, target_query)) = (halves(pattern), halves(target));
    let queries_match = match (pattern_query, target_query) {
        (None, None) => true,
        (None, Some(_)) => pattern.ends_with("**"),
        (Some(_), None) => false,
        (Some(pattern), Some(target)) => literal(&pattern, &target),
    };
    queries_match && path(&with_port(&pattern), &with_port(&target))
}

/// `https://a/b` as `/https/a/443/b`.
fn with_port(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap());
    let default = if scheme == "http" { "80" } else { "443" };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, default),
    };
    format!("/{scheme}/{host}/{port}{path}")
}

/// Where wildcards may be whole segments.
fn path(pattern: &str, target: &str) -> bool {
    let whole = |wildcard: &str| {
        pattern.strip_prefix(wildcard).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if let Some(rest) = whole("/**") {
        let inside = target.strip_prefix('/');
        return path(rest, target)
            || inside.is_some_and(|inside| tails(inside).any(|(_, tail)| path(rest, tail)));
    }
    if let Some(rest) = whole("/*") {
        let inside = target.strip_prefix('/');
        let one = |inside| {
            tails(inside).any(|(head, tail)| !head.is_empty() && !head.contains('/') && path(rest, tail))
        };
        return inside.is_some_and(one);
    }
    within(pattern, target, path)
}

/// Where they are not, up to where they may be again.
fn within(pattern: &str, target: &str, then: fn(&str, &str) -> bool) -> bool {
    if let Some(rest) = pattern.strip_prefix("**") {
        return tails(target).any(|(_, tail)| then(rest, tail));
    }
    if let Some(rest) = pattern.strip_prefix('*') {
        return tails(target).any(|(head, tail)| !head.contains('/') && then(rest, tail));
    }
    let Some(first) = pattern.chars().next() else { return target.is_empty() };
    target.strip_prefix(first).is_some_and(|tail| then(&pattern[first.len_utf8()..], tail))
}

/// Every way to cut a text in two.
fn tails(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.map(|at| text.split_at(at))
}

/// Where no wildcard is a whole segment.
fn literal(pattern: &str, target: &str) -> bool {
    within(pattern, target, literal)
}
