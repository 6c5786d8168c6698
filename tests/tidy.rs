//! Reads the source and fails where it breaks the rules of the house that no lint knows: which
//! room may look into which, what the pure rooms leave alone, how long things get, and whether
//! the architecture page tells the truth.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which clippy sees only under #[test]"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms and the rooms that each may use, itself apart. `app` puts them together, so only
/// `main.rs` may use that.
const ARROWS: &[(&str, &[&str])] = &[
    ("admin", &["serve", "telemetry"]),
    ("admission", &["engine", "model", "promql", "serve", "telemetry"]),
    (
        "apiserver",
        &["cluster", "engine", "model", "promql", "serve", "signals", "telemetry", "wire"],
    ),
    (
        "app",
        &[
            "admin",
            "admission",
            "apiserver",
            "cli",
            "cluster",
            "config",
            "engine",
            "model",
            "pki",
            "prometheus",
            "promql",
            "serve",
            "signals",
            "tasks",
            "telemetry",
            "wire",
        ],
    ),
    // The command line names the settings of those who are set by it, and exports rules.
    (
        "cli",
        &[
            "admission",
            "cluster",
            "config",
            "engine",
            "model",
            "pki",
            "prometheus",
            "promql",
            "serve",
            "signals",
            "telemetry",
        ],
    ),
    ("cluster", &["engine", "model", "pki", "tasks", "telemetry"]),
    ("config", &["model", "promql", "signals"]),
    ("engine", &["config", "model", "promql", "signals", "telemetry"]),
    ("model", &[]),
    ("pki", &[]),
    ("prometheus", &["engine", "model", "telemetry"]),
    ("promql", &["model"]),
    ("serve", &["model", "pki", "tasks", "telemetry"]),
    ("signals", &["model", "promql"]),
    ("tasks", &[]),
    ("telemetry", &[]),
    ("wire", &["model"]),
];

/// The rooms without IO and without a clock.
const PURE: &[&str] = &["config", "model", "pki", "promql", "signals", "wire"];

/// What pure rooms do not mention.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
];

/// What looks like it and is not: constants of the build.
const PURE_ENVIRONMENT: &str = "std::env::consts";

const MAX_FUNCTION: usize = 80;
const MAX_FILE: usize = 600;

/// Spelt in two halves, so that this file does not find itself.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("unimple", "mented!"),
    concat!("to", "do!"),
];

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let mut problems = Vec::new();
    for file in production() {
        let Some(room) = file.room() else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            problems.push(format!("{}: the room {room} is not in ARROWS", file.name));
            continue;
        };
        for (number, line) in file.code() {
            for used in line.split("crate::").skip(1).map(first_word) {
                if used != room && !allowed.contains(&used) {
                    problems.push(format!("{}:{number}: {room} uses {used:?}", file.name));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn pure_rooms_do_no_io_and_read_no_clock() {
    let mut problems = Vec::new();
    for file in production().filter(|file| file.room().is_some_and(|room| PURE.contains(&room))) {
        for (number, line) in file.code() {
            let line = line.replace(PURE_ENVIRONMENT, "");
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                problems.push(format!("{}:{number}: mentions {word}", file.name));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn the_architecture_page_names_every_room_and_no_other() {
    let page = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let named = page.lines().filter_map(|line| {
        line.strip_prefix("//! * [`")?.split_once("`]: ").map(|(room, _)| room.to_owned())
    });
    let declared = page
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned));
    let declared: BTreeSet<String> = declared.collect();
    assert_eq!(named.collect::<BTreeSet<_>>(), declared);
    assert_eq!(
        ARROWS.iter().map(|(room, _)| (*room).to_owned()).collect::<BTreeSet<_>>(),
        declared
    );
}

#[test]
fn every_file_says_first_what_it_is_for() {
    // The tests beside a module are introduced by the module.
    let silent = sources()
        .filter(|file| !file.text.starts_with("//! ") && !file.name.ends_with("/tests.rs"));
    assert_none(&silent.map(|file| file.name).collect::<Vec<_>>());
}

#[test]
fn every_file_belongs_to_a_crate() {
    let mut reached = BTreeSet::new();
    for crate_root in ["src/lib.rs", "src/main.rs", "tests/it/main.rs", "tests/tidy.rs"] {
        reach(&root().join(crate_root), true, &mut reached);
    }
    let lost = sources().filter(|file| !reached.contains(&root().join(&file.name)));
    assert_none(&lost.map(|file| file.name).collect::<Vec<_>>());
}

#[test]
fn functions_and_files_stay_short() {
    let mut problems = Vec::new();
    for file in sources() {
        let lines: Vec<&str> = file.text.lines().collect();
        let tests = lines.windows(2).position(|pair| is_inline_tests(pair[0], pair[1]));
        let length = tests.unwrap_or(lines.len());
        if length > MAX_FILE {
            problems.push(format!("{} has {length} lines", file.name));
        }
        // rustfmt puts the end of a function under its beginning.
        for (start, line) in lines.iter().enumerate().filter(|(_, line)| is_function(line)) {
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            let is_end = |line: &str| line == end || is_declared(line, indent);
            let length = lines[start..].iter().position(|line| is_end(line)).unwrap_or(0) + 1;
            if length > MAX_FUNCTION {
                problems.push(format!("{}:{}: {length} lines", file.name, start + 1));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn nothing_is_left_for_later() {
    let mut problems = Vec::new();
    for file in sources() {
        for (number, line) in file.text.lines().enumerate() {
            for mark in UNFINISHED.iter().filter(|mark| line.contains(**mark)) {
                problems.push(format!("{}:{}: {mark}", file.name, number + 1));
            }
        }
    }
    assert_none(&problems);
}

/// A file of Rust.
struct Source {
    /// From the root of the repository: `src/model/value.rs`.
    name: String,
    text: String,
}

impl Source {
    /// `model` of `src/model.rs` and `src/model/value.rs`; the roots of the crates are in none.
    fn room(&self) -> Option<&str> {
        let name = self.name.strip_prefix("src/")?;
        let room = name.split('/').next()?.trim_end_matches(".rs");
        (!["lib", "main"].contains(&room)).then_some(room)
    }

    /// The numbered lines without tests and comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| is_inline_tests(pair[0], pair[1]));
        let end = tests.unwrap_or(lines.len());
        (1..).zip(lines).take(end).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn is_inline_tests(line: &str, next: &str) -> bool {
    line == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{')
}

fn is_function(line: &str) -> bool {
    let words = line.split_whitespace();
    let mut words = words.skip_while(|word| {
        word.starts_with("pub") || ["async", "const", "in", "unsafe"].contains(word)
    });
    words.next() == Some("fn") && line.ends_with(['{', '(', ','])
}

/// Whether a line ends a function that has no body: `) -> Result<(), Error>;`.
fn is_declared(line: &str, indent: usize) -> bool {
    line.ends_with(';') && line.find(')') == Some(indent)
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Every file below `src` and `tests`.
fn sources() -> impl Iterator<Item = Source> {
    let mut paths = Vec::new();
    find(&root().join("src"), &mut paths);
    find(&root().join("tests"), &mut paths);
    assert!(paths.len() > 50, "the source is not where it was: {paths:?}");
    paths.into_iter().map(|path| Source {
        name: path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(),
        text: fs::read_to_string(&path).unwrap(),
    })
}

/// The files below `src` that are no tests.
fn production() -> impl Iterator<Item = Source> {
    sources().filter(|file| {
        let test = ["/tests/", "/tests.rs", "/fixtures.rs"].iter().any(|at| file.name.contains(at));
        file.name.starts_with("src/") && !test
    })
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

/// Follows `mod name;` from a file to all that belong to its crate.
fn reach(file: &Path, is_root: bool, reached: &mut BTreeSet<PathBuf>) {
    let text = fs::read_to_string(file).unwrap();
    reached.insert(file.to_owned());
    let folder = if is_root { file.parent().unwrap().to_owned() } else { file.with_extension("") };
    let mut before_it = "";
    for line in text.lines().map(str::trim_start) {
        // A file that is shared by its path belongs to the module that it lies in.
        let shared = std::mem::replace(&mut before_it, line).starts_with("#[path");
        let line = if shared { "" } else { line };
        let declaration = line.strip_suffix(';').and_then(|line| line.split_once("mod "));
        if let Some((before, name)) = declaration
            && (before.is_empty() || before.starts_with("pub"))
        {
            reach(&folder.join(format!("{name}.rs")), false, reached);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
