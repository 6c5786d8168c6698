//! `hack/bench refresh`: what the result of one query over all pods of a large cluster costs, against
//! merely reading its JSON; and what it costs to choose the pods of one workload among them.
//!
//! Each way of reading is measured in a process of its own, so that its peak of memory is known.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use plimsoll::model::inventory::{Object, Objects};
use plimsoll::model::rows::{ObjectLabels, Rows};
use plimsoll::model::selector::Selector;
use plimsoll::model::value::QueryResult;
use plimsoll::prometheus::answer::{self, Answer};
use serde::de::IgnoredAny;
use tokio::process::Command;

use crate::serve::memory;

/// How often each is done; the first is not counted.
const TIMES: u32 = 6;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many pods have a sample.
    #[arg(long, default_value_t = 100_000)]
    pods: usize,
}

#[derive(clap::Args)]
pub(crate) struct ReadArgs {
    #[arg(value_enum)]
    how: How,
    pods: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum How {
    /// As JSON, into nothing.
    Nothing,
    /// Into samples with all their labels.
    Samples,
    /// Into rows.
    Rows,
    /// Not read: the pods of a workload are chosen.
    Select,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    for how in ["nothing", "samples", "rows", "select"] {
        let mut reader = Command::new(std::env::current_exe()?);
        reader.args(["read", how, &args.pods.to_string()]).kill_on_drop(true);
        if !reader.status().await?.success() {
            bail!("the answer was not read into {how}");
        }
    }
    Ok(())
}

/// The process that is measured.
pub(crate) fn read(args: &ReadArgs) -> Result<()> {
    let &ReadArgs { how, pods } = args;
    let labels = ObjectLabels { namespace: Some("namespace".to_owned()), object: "pod".to_owned() };
    let body = if how == How::Select { String::new() } else { body(pods) };
    let objects = if how == How::Select { objects(pods) } else { Objects::default() };
    let selector = Selector::parse("app=web-17,tier in (front,back)")?;
    let before = memory(std::process::id(), "VmRSS")?;
    let mut seconds = 0.0;
    for round in 0..TIMES {
        let start = Instant::now();
        let found = match how {
            How::Nothing => serde_json::from_str::<IgnoredAny>(&body).map(|_| pods)?,
            How::Samples => match answer::query(body.as_bytes()) {
                Ok(Answer::Success { data: QueryResult::Vector(samples), .. }) => {
                    Rows::of(&samples, &labels).all().len()
                }
                other => bail!("{other:?}"),
            },
            How::Rows => match answer::rows(body.as_bytes(), &labels, true) {
                Ok(Answer::Success { data: Some(rows), .. }) => rows.all().len(),
                other => bail!("{other:?}"),
            },
            How::Select => objects.select("shop", &selector).count(),
        };
        if round > 0 {
            seconds += start.elapsed().as_secs_f64();
        }
        (found > 0).then_some(()).context("nothing was found")?;
    }
    let millis = seconds * 1000.0 / f64::from(TIMES - 1);
    let more = memory(std::process::id(), "VmHWM")? - before;
    println!("{pods} pods, {how:?}: {millis:.2} ms, at most {more:.1} MiB beside the answer");
    Ok(())
}

/// What Prometheus answers: some labels of no use, and the two that say whose a sample is.
fn body(pods: usize) -> String {
    let items: Vec<_> = (0..pods)
        .map(|pod| {
            format!(
                r#"{{"metric":{{"container":"app","instance":"10.0.{}.{}:8080","job":"pods","namespace":"team-{}","node":"node-{}","pod":"web-{}-6d5f9c7b64-{pod:05}"}},"value":[1700000000.123,"{}.25"]}}"#,
                pod % 250, pod % 240, pod % 1000, pod % 3000, pod % 100, pod % 977
            )
        })
        .collect();
    let items = items.join(",");
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{items}]}}}}"#)
}

/// All pods in one namespace, twenty of each workload.
fn objects(pods: usize) -> Objects {
    let mut objects = Objects::default();
    for workload in 0..pods.div_ceil(20) {
        let labels: plimsoll::model::inventory::LabelSet =
            [("app".into(), format!("web-{workload}").into()), ("tier".into(), "front".into())]
                .into();
        for pod in 0..20 {
            let name = format!("web-{workload:05}-{pod:02}").into();
            let object = Object { name, labels: Arc::clone(&labels), owner: None };
            objects.insert("shop", Arc::new(object));
        }
    }
    objects
}
