//! Rules on Rust files.

use super::Finding;
use super::source::Source;
use super::tree::Tree;
use crate::markdown::{self, Line};

const SHIPPED_LINES: usize = 600;
const TEST_LINES: usize = 1000;

/// A file opens by saying what lives in it.
pub(super) fn opening_doc(tree: &Tree) -> Vec<Finding> {
    let silent = tree.rust().filter(|(file, _)| !file.text.starts_with("//!"));
    silent.map(|(file, _)| Finding::at(file, 1, "the file does not open with a //! line")).collect()
}

/// A module is `foo.rs`, so that an editor's tabs differ; but cargo takes files in `tests/` for programs.
pub(super) fn mod_rs(tree: &Tree) -> Vec<Finding> {
    let found = tree.rust().filter(|(file, _)| file.name() == "mod.rs" && !file.is_test());
    found.map(|(file, _)| Finding::at(file, 1, "a module is foo.rs, not foo/mod.rs")).collect()
}

/// A long file holds more than one thing.
pub(super) fn file_length(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for (file, _) in tree.rust() {
        let limit = if file.is_test() { TEST_LINES } else { SHIPPED_LINES };
        let lines = file.text.lines().count();
        if lines > limit {
            out.push(Finding::at(file, limit + 1, format!("{lines} lines are more than {limit}")));
        }
    }
    out
}

/// What is shipped is finished, its examples too.
pub(super) fn unfinished(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for (file, source) in tree.rust().filter(|(file, _)| file.is_shipped()) {
        for mark in ["todo!", "unimplemented!", "dbg!"] {
            let calls = words(&source.without_literals, mark).filter(|(_, rest)| opens(rest));
            out.extend(calls.map(|(line, _)| Finding::at(file, line, format!("{mark} in shipped code"))));
        }
        for mark in ["TODO", "FIXME", "XXX", "HACK"] {
            let marks = words(&source.comments, mark);
            out.extend(marks.map(|(line, _)| Finding::at(file, line, format!("{mark} in shipped code"))));
        }
    }
    out
}

/// Tests move a simulated clock: a sleep makes them slow, or wrong on a busy machine.
pub(super) fn sleep(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for (file, source) in tree.rust() {
        let sleeps = calls(source, &["thread::sleep", "time::sleep", "sleep_ms"]);
        for line in sleeps.filter(|line| file.is_test() || source.is_test(*line)) {
            out.push(Finding::at(file, line, "a test does not sleep: move its clock"));
        }
    }
    out
}

/// A test that does not run, or an example that is not compiled, claims what nobody sees.
pub(super) fn ignored_test(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for (file, source) in tree.rust() {
        for (line, rest) in words(&source.code, "ignore") {
            let text = source.code.lines().nth(line - 1).unwrap_or("");
            let before = &text[..text.len() - rest.split('\n').next().unwrap_or("").len()];
            if before.replace(' ', "").ends_with("#[ignore") {
                out.push(Finding::at(file, line, "an ignored test runs nowhere"));
            }
        }
        let docs: Vec<_> = source.comments.lines().map(doc_text).collect();
        for (index, (_, kind)) in markdown::lines(&docs.join("\n")).into_iter().enumerate() {
            if matches!(kind, Line::Open(info) if markdown::is_ignored(info)) {
                out.push(Finding::at(file, index + 1, "an ignored example is not compiled"));
            }
        }
    }
    out
}

/// The text of a line of documentation.
fn doc_text(comment: &str) -> &str {
    let comment = comment.trim_start();
    comment.strip_prefix("///").or_else(|| comment.strip_prefix("//!")).unwrap_or("")
}

/// An assertion that cannot fail asserts nothing.
pub(super) fn empty_assert(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for (file, source) in tree.rust() {
        for (line, rest) in
            ["assert!", "debug_assert!"].into_iter().flat_map(|name| words(&source.code, name))
        {
            let argument = rest.trim_start().trim_start_matches(['(', '[', '{']).trim_start();
            let after = argument.strip_prefix("true").map(str::trim_start);
            if after.is_some_and(|after| after.starts_with([')', ']', '}', ','])) {
                out.push(Finding::at(file, line, "an assertion of true cannot fail"));
            }
        }
    }
    out
}

/// Two tests that want the same port do not run side by side.
///
/// An address that nothing listens on may have any port: a URL over HTTP, which is always of somebody else,
/// and a text in the unit tests of a file that opens no sockets.
pub(super) fn fixed_port(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for (file, source) in tree.rust() {
        let opens = file.is_test() || calls(source, SOCKET_CALLS).any(|line| source.is_test(line));
        let text = &source.without_comments;
        for host in ["127.0.0.1:", "0.0.0.0:", "[::1]:", "[::]:"] {
            for (at, _) in text.match_indices(host) {
                let line = line_of(text, at);
                let port = text[at + host.len()..].starts_with(|digit: char| matches!(digit, '1'..='9'));
                let http = text[..at].ends_with("http://") || text[..at].ends_with("https://");
                if port && !http && opens && (file.is_test() || source.is_test(line)) {
                    out.push(Finding::at(file, line, "a fixed port number: bind port 0"));
                }
            }
        }
    }
    out
}

const SOCKET_CALLS: &[&str] = &["bind", "listen", "serve", "connect"];

/// A getter is named after what it gives.
pub(super) fn get_prefix(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for (file, source) in tree.rust().filter(|(file, _)| file.is_shipped()) {
        for (line, rest) in words(&source.code, "fn").filter(|(line, _)| !source.is_test(*line)) {
            let text = source.code.lines().nth(line - 1).unwrap_or("").trim_start();
            let name = name_of(rest);
            if text.starts_with("pub ") && name.starts_with("get_") {
                out.push(Finding::at(file, line, format!("{name}: a getter has no get_ prefix")));
            }
        }
    }
    out
}

/// A name that fits every type says nothing about this one.
pub(super) fn type_name(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for (file, source) in tree.rust() {
        for keyword in ["struct", "enum", "trait", "type", "union"] {
            for (line, rest) in words(&source.code, keyword) {
                let name = name_of(rest);
                let empty = camel_words(name).find(|word| EMPTY_WORDS.contains(word));
                out.extend(empty.map(|word| Finding::at(file, line, format!("{name}: {word} says nothing"))));
            }
        }
    }
    out
}

const EMPTY_WORDS: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils"];

/// The lines with a call of one of these functions.
fn calls<'a>(source: &'a Source, names: &'a [&str]) -> impl Iterator<Item = usize> {
    let places = names.iter().flat_map(|name| words(&source.code, name));
    places.filter(|(_, rest)| opens(rest)).map(|(line, _)| line)
}

/// Each place of a word that is not part of a longer name: its line, and the text that follows it.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).filter_map(move |(at, _)| {
        let rest = &text[at + word.len()..];
        let alone = !text[..at].ends_with(is_name) && !rest.starts_with(is_name);
        alone.then(|| (line_of(text, at), rest))
    })
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Whether a call's or a macro's arguments follow.
fn opens(rest: &str) -> bool {
    rest.trim_start().starts_with(['(', '[', '{'])
}

fn name_of(rest: &str) -> &str {
    let rest = rest.trim_start();
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")
}

/// `JobLogId` as `Job`, `Log`, `Id`.
fn camel_words(name: &str) -> impl Iterator<Item = &str> {
    let starts: Vec<_> = name.char_indices().filter(|(_, c)| c.is_uppercase()).map(|(at, _)| at).collect();
    let ends = starts.clone().into_iter().skip(1).chain([name.len()]);
    starts.into_iter().zip(ends).map(|(start, end)| &name[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines at which a rule finds something in a file.
    fn found(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[(path, text)])).iter().map(|finding| finding.line).collect()
    }

    const LIB: &str = "crates/a/src/lib.rs";
    const TEST: &str = "tests/src/a.rs";

    #[test]
    fn a_file_must_open_with_what_lives_in_it() {
        assert_eq!(found(opening_doc, LIB, "use a;\n//! A.\n"), [1]);
        assert_eq!(found(opening_doc, LIB, "//! A.\nuse a;\n"), [0; 0]);
    }

    #[test]
    fn mod_rs_is_for_tests_alone() {
        assert_eq!(found(mod_rs, "crates/a/src/b/mod.rs", ""), [1]);
        assert_eq!(found(mod_rs, "crates/a/tests/common/mod.rs", ""), [0; 0]);
    }

    #[test]
    fn files_must_be_short() {
        assert_eq!(found(file_length, LIB, &"\n".repeat(601)), [601]);
        assert_eq!(found(file_length, LIB, &"\n".repeat(600)), [0; 0]);
        assert_eq!(found(file_length, TEST, &"\n".repeat(1001)), [1001]);
        assert_eq!(found(file_length, TEST, &"\n".repeat(1000)), [0; 0]);
    }

    #[test]
    fn shipped_code_must_be_finished() {
        for line in
            ["todo!()", "unimplemented!(\"a\")", "dbg!(a)", "// TODO a", "/* FIXME */", "// XXX", "//! HACK"]
        {
            assert_eq!(found(unfinished, LIB, &format!("\n{line};\n")), [2], "{line}");
            assert_eq!(found(unfinished, TEST, &format!("\n{line};\n")), [0; 0], "{line}");
        }
        assert_eq!(found(unfinished, LIB, "/// ```\n/// todo!()\n/// ```\n"), [2]);
        for line in ["\"todo!() TODO\"", "my_todo!()", "// a TODOLIST", "const TODO: u8", "// [`todo!`]"] {
            assert_eq!(found(unfinished, LIB, line), [0; 0], "{line}");
        }
    }

    #[test]
    fn tests_must_not_sleep() {
        for call in ["std::thread::sleep(a)", "tokio::time::sleep(a).await", "time::sleep(a)"] {
            assert_eq!(found(sleep, TEST, call), [1], "{call}");
            assert_eq!(found(sleep, LIB, &format!("#[cfg(test)]\nmod tests {{ {call} }}")), [2], "{call}");
            assert_eq!(found(sleep, LIB, call), [0; 0], "{call}");
        }
        assert_eq!(found(sleep, TEST, "// thread::sleep(a)\n"), [0; 0]);
    }

    #[test]
    fn tests_and_examples_must_run() {
        assert_eq!(found(ignored_test, TEST, "\n#[ignore]\nfn a() {}"), [2]);
        assert_eq!(found(ignored_test, LIB, "\n#[ignore = \"slow\"]\nfn a() {}"), [2]);
        assert_eq!(found(ignored_test, LIB, "/// A.\n/// ```ignore\n/// a\n/// ```\n"), [2]);
        assert_eq!(found(ignored_test, LIB, "//! ```rust,ignore\n//! a\n//! ```\n"), [1]);
        assert_eq!(
            found(ignored_test, LIB, "/// ```no_run\n/// a.ignore\n/// ```\nlet ignore = a[ignore];"),
            [0; 0]
        );
    }

    #[test]
    fn assertions_must_be_able_to_fail() {
        for line in ["assert!(true)", "assert!( true , \"a\")", "debug_assert!(true)"] {
            assert_eq!(found(empty_assert, TEST, line), [1], "{line}");
        }
        for line in ["assert!(trueish)", "assert!(true == a)", "assert_eq!(true, a)", "\"assert!(true)\""] {
            assert_eq!(found(empty_assert, TEST, line), [0; 0], "{line}");
        }
    }

    #[test]
    fn tests_must_not_choose_ports() {
        for host in ["127.0.0.1", "0.0.0.0", "[::1]", "ws://127.0.0.1"] {
            assert_eq!(found(fixed_port, TEST, &format!("\"{host}:{}\"", 8080)), [1], "{host}");
            assert_eq!(
                found(fixed_port, TEST, &format!("\"{host}:0\" \"{host}:{{port}}\"")),
                [0; 0],
                "{host}"
            );
        }
        let unit =
            |code: &str| format!("#[cfg(test)]\nmod tests {{\nlet a = \"127.0.0.1:{}\";\n{code}\n}}\n", 8080);
        assert_eq!(found(fixed_port, LIB, &unit("TcpListener::bind(a)")), [3]);
        assert_eq!(found(fixed_port, LIB, &unit("assert_eq!(a, error.to_string())")), [0; 0]);
        assert_eq!(found(fixed_port, LIB, &format!("\"127.0.0.1:{}\"", 8080)), [0; 0]);
        assert_eq!(found(fixed_port, TEST, &format!("\"http://127.0.0.1:{}/\"", 8080)), [0; 0]);
    }

    #[test]
    fn getters_must_have_no_prefix() {
        for line in ["pub fn get_a()", "    pub async fn get_a()", "pub const unsafe fn get_a()"] {
            assert_eq!(found(get_prefix, LIB, line), [1], "{line}");
        }
        for line in
            ["pub fn get(a)", "fn get_a()", "pub(crate) fn get_a()", "// pub fn get_a()", "pub fn target_a()"]
        {
            assert_eq!(found(get_prefix, LIB, line), [0; 0], "{line}");
        }
    }

    #[test]
    fn type_names_must_say_something() {
        for line in
            ["pub struct JobManager;", "enum UtilKind {}", "trait Helper {}", "type A = B; type Utils = C;"]
        {
            assert_eq!(found(type_name, LIB, line), [1], "{line}");
        }
        for line in
            ["struct Utilization;", "struct Managers;", "// struct JobManager", "let manager = Manager;"]
        {
            assert_eq!(found(type_name, LIB, line), [0; 0], "{line}");
        }
    }
}
