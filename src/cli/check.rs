//! `plimsoll check`: judges manifests before anybody applies them, with the rules of the webhook.

mod context;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};
use serde_saphyr::Spanned;

use self::context::Context;
use crate::admission::judge::{Judgement, judge};
use crate::admission::report::{self, sarif};
use crate::admission::workload::{Unreadable, Workload};
use crate::cluster::file::FileError;
use crate::config::{self, ConfigError};
use crate::model::policy::{Mode, Policy};

/// Longest input: what `helm template` makes of a large chart is some megabytes.
const MAX_INPUT: u64 = 64 << 20;
/// What stands for standard input.
const STDIN: &str = "-";

/// `plimsoll check` as typed.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Manifests in YAML or JSON, lists and several documents included; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Configuration file whose `admission` says what is asked for [default: the built-in policy].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What surrounds them: namespaces, limit ranges, autoscalers and exemptions, as `kubectl get
    /// namespaces,limitranges,hpa,exemptions -A -o yaml` prints them.
    #[arg(long, value_name = "FILE")]
    objects: Option<PathBuf>,
    /// How findings are printed.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Sarif,
}

/// What is to be printed, and whether anything was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// For standard output.
    pub text: String,
    /// Whether there are findings that warn or deny.
    pub found: bool,
}

/// Why something cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too long.
    #[error("{} has more than {} MiB", .0.display(), MAX_INPUT >> 20)]
    TooLong(PathBuf),
    /// It is no YAML.
    #[error("{}: {what}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// An object is not what its kind says.
    #[error("{}:{line}", path.display())]
    Object {
        /// The file.
        path: PathBuf,
        /// Where the document begins.
        line: u64,
        /// The field at fault.
        source: Unreadable,
    },
    /// What surrounds the manifests cannot be used.
    #[error(transparent)]
    Objects(#[from] FileError),
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// An object that was judged.
struct Judged {
    file: String,
    line: u64,
    title: String,
    judgement: Judgement,
}

/// Judges all files.
pub fn run(args: &CheckArgs) -> Result<Report, CheckError> {
    let policy = policy(args.config.as_deref())?;
    let around = args.objects.as_deref().map(|path| Ok::<_, CheckError>((path, read(path)?)));
    let around = around.transpose()?;
    let context = Context::new(around.as_ref().map(|(path, text)| (*path, &**text)))?;
    let (policy, now) = (context.policy(&policy), Timestamp::now());
    let mut judged = Vec::new();
    for path in &args.files {
        let text = read(path)?;
        let documents: Vec<Spanned<Value>> = serde_saphyr::from_multiple(&text)
            .map_err(|error| CheckError::Syntax { path: path.clone(), what: error.to_string() })?;
        for document in &documents {
            let line = document.referenced.line();
            for object in objects(&document.value) {
                let outcome = examine(object, &policy, &context, now)
                    .map_err(|source| CheckError::Object { path: path.clone(), line, source })?;
                judged.extend(outcome.map(|(title, judgement)| Judged {
                    file: path.display().to_string(),
                    line,
                    title,
                    judgement,
                }));
            }
        }
    }
    let found =
        judged.iter().any(|one| one.judgement.findings.iter().any(|f| f.mode >= Mode::Warn));
    let text = match args.output {
        Output::Text => text(&judged),
        Output::Json => format!("{:#}\n", as_json(&judged)),
        Output::Sarif => format!("{:#}\n", as_sarif(&judged)),
    };
    Ok(Report { text, found })
}

/// What a configuration file asks for; the built-in policy where there is none.
pub(super) fn policy(config: Option<&Path>) -> Result<Arc<Policy>, CheckError> {
    Ok(match config {
        Some(path) => config::parse(&path.display().to_string(), &read(path)?)?.admission,
        None => Arc::default(),
    })
}

fn read(path: &Path) -> Result<String, CheckError> {
    let mut text = String::new();
    let failed = |source| CheckError::Read { path: path.to_owned(), source };
    let read = if path.as_os_str() == STDIN {
        io::stdin().take(MAX_INPUT + 1).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_INPUT + 1).read_to_string(&mut text)
    };
    read.map_err(failed)?;
    if text.len() as u64 > MAX_INPUT {
        return Err(CheckError::TooLong(path.to_owned()));
    }
    Ok(text)
}

/// A document's object, or those of its list.
fn objects(document: &Value) -> Vec<&Value> {
    match document.get("items").and_then(Value::as_array) {
        Some(items) if document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {
            items.iter().collect()
        }
        _ => vec![document],
    }
}

fn examine(
    object: &Value,
    policy: &Policy,
    context: &Context,
    now: Timestamp,
) -> Result<Option<(String, Judgement)>, Unreadable> {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let kind = object["kind"].as_str().unwrap_or_default();
    let workload = Workload::read(group, kind, object, &policy.templates)?;
    Ok(workload.map(|workload| {
        let place = context.place(&workload.namespace);
        (workload.title(), judge(&workload, None, policy, &place.facts(now)))
    }))
}

fn text(judged: &[Judged]) -> String {
    let mut text = String::new();
    for Judged { file, line, title, judgement } in judged {
        for finding in judgement.findings.iter().filter(|finding| finding.mode >= Mode::Warn) {
            let (mode, finding_line) = (finding.mode.name(), report::line(finding));
            let title = report::clean(title, report::MAX_WARNING);
            text.extend([file, ":", &line.to_string(), ": ", mode, ": ", &title, ": "]);
            text.extend([&*finding_line, "\n"]);
        }
        let findings: Vec<_> = judgement.findings.iter().collect();
        if let Some(fragment) = report::fragment(&findings) {
            text.extend(["To paste:\n", &fragment]);
        }
    }
    text
}

fn as_json(judged: &[Judged]) -> Value {
    let object = |one: &Judged| {
        let findings: Vec<_> = one.judgement.findings.iter().map(report::json).collect();
        json!({"file": one.file, "line": one.line, "object": one.title, "findings": findings})
    };
    Value::Array(judged.iter().map(object).collect())
}

fn as_sarif(judged: &[Judged]) -> Value {
    let located: Vec<_> = judged
        .iter()
        .flat_map(|one| {
            one.judgement.findings.iter().map(move |finding| sarif::Located {
                finding,
                title: &one.title,
                file: &one.file,
                line: usize::try_from(one.line).unwrap_or(1),
            })
        })
        .collect();
    sarif::document(env!("CARGO_PKG_VERSION"), &located)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manifest: &str, output: Output) -> Result<Report, CheckError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), manifest).unwrap();
        let files = vec![file.path().to_owned()];
        let mut report = run(&CheckArgs { files, config: None, objects: None, output })?;
        report.text = report.text.replace(&file.path().display().to_string(), "FILE");
        Ok(report)
    }

    const BAD: &str = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: apps/v1\n  \
        kind: Deployment\n  metadata: {name: cart, namespace: shop}\n  \
        spec: {template: {spec: {containers: [{name: app, image: a}]}}}\n";

    #[test]
    fn what_the_webhook_would_say_is_printed_with_its_file() {
        let report = check(BAD, Output::Text).unwrap();
        assert!(report.found, "{}", report.text);
        let first = report.text.lines().next().unwrap();
        assert!(first.starts_with("FILE:1: warn: Deployment shop/cart: container"), "{first}");
        let json: Value = serde_json::from_str(&check(BAD, Output::Json).unwrap().text).unwrap();
        assert_eq!(json[0]["object"], "Deployment shop/cart");
        let sarif: Value = serde_json::from_str(&check(BAD, Output::Sarif).unwrap().text).unwrap();
        assert_eq!(sarif["version"], "2.1.0");
    }

    #[test]
    fn what_surrounds_a_manifest_is_taken_into_account() {
        let file = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            file
        };
        let objects = file(
            "apiVersion: v1\nkind: Namespace\n\
             metadata: {name: shop, labels: {plimsoll.dev/enforce: baseline}}\n---\n\
             apiVersion: v1\nkind: LimitRange\nmetadata: {name: l, namespace: shop}\n\
             spec: {limits: [{type: Container, default: {memory: 1Gi}, \
             defaultRequest: {cpu: 100m, memory: 1Gi}}]}\n",
        );
        let manifest = file(BAD);
        let report = run(&CheckArgs {
            files: vec![manifest.path().to_owned()],
            config: None,
            objects: Some(objects.path().to_owned()),
            output: Output::Text,
        })
        .unwrap();
        let lines: Vec<_> = report.text.lines().filter(|line| line.contains(": deny: ")).collect();
        assert_eq!(lines.len(), 1, "{}", report.text);
        assert!(lines[0].contains("readinessProbe"), "{}", report.text);
    }

    #[test]
    fn other_kinds_and_empty_documents_are_passed_over() {
        let manifest = "---\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
        let nothing = Report { text: String::new(), found: false };
        assert_eq!(check(manifest, Output::Text).unwrap(), nothing);
    }

    #[test]
    fn what_is_no_manifest_is_an_error() {
        let error = check("a: [", Output::Text).unwrap_err();
        assert!(matches!(error, CheckError::Syntax { .. }), "{error}");
        let error = check("apiVersion: v1\nkind: Pod\nspec: 7\n", Output::Text).unwrap_err();
        assert!(matches!(error, CheckError::Object { line: 1, .. }), "{error}");
    }
}
