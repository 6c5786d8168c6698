//! A client that asks ten times a second, whatever happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Ten times a second.
const PERIOD: Duration = Duration::from_millis(100);

/// What the HPA controller wants.
const ACCEPT: &str = "application/vnd.kubernetes.protobuf,application/json";

/// How long the HPA controller would wait at most.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The client; it ends when it is dropped.
pub(crate) struct Probe {
    answers: Arc<Mutex<Vec<Answer>>>,
    _task: AbortOnDropHandle<()>,
}

struct Answer {
    asked: Instant,
    took: Duration,
    /// What it was, where it was no success.
    failure: Option<String>,
}

impl Probe {
    /// Asks for a URL as the administrator of the cluster.
    pub(crate) fn start(url: String) -> Self {
        Self::start_each(PERIOD, url)
    }

    /// The same with another period.
    pub(crate) fn start_each(period: Duration, url: String) -> Self {
        let answers = Arc::default();
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .timeout(TIMEOUT)
            .build()
            .unwrap();
        let task = tokio::spawn(ask(client, period, url, Arc::clone(&answers)));
        Self { answers, _task: AbortOnDropHandle::new(task) }
    }

    /// Whether all is well again: the last 20 questions had their answers.
    pub(crate) fn is_well(&self) -> bool {
        let answers = self.answers.lock().unwrap();
        let mut last = answers.iter().rev().take(20);
        answers.len() >= 20 && last.all(|answer| answer.failure.is_none())
    }

    /// How many questions had no good answer.
    pub(crate) fn failures(&self) -> usize {
        let answers = self.answers.lock().unwrap();
        answers.iter().filter(|answer| answer.failure.is_some()).count()
    }

    /// What has happened, in a line.
    pub(crate) fn summary(&self) -> String {
        let mut answers = self.answers.lock().unwrap();
        answers.sort_by_key(|answer| answer.asked);
        let slowest = answers.iter().map(|answer| answer.took).max().unwrap_or_default();
        let failed: Vec<_> = answers.iter().filter(|answer| answer.failure.is_some()).collect();
        let span = match (failed.first(), failed.last()) {
            (Some(first), Some(last)) => last.asked + last.took - first.asked,
            _ => Duration::ZERO,
        };
        let mut failures = BTreeMap::<_, usize>::new();
        for failure in failed.iter().filter_map(|answer| answer.failure.clone()) {
            *failures.entry(failure).or_default() += 1;
        }
        format!(
            "{} of {} requests failed within {:.1} s {failures:?}, the slowest took {:.1} s",
            failed.len(),
            answers.len(),
            span.as_secs_f64(),
            slowest.as_secs_f64()
        )
    }
}

async fn ask(
    client: reqwest::Client,
    period: Duration,
    url: String,
    answers: Arc<Mutex<Vec<Answer>>>,
) {
    let mut questions = JoinSet::new();
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        let question = client.get(&url).bearer_auth("lab").header("accept", ACCEPT);
        let answers = Arc::clone(&answers);
        questions.spawn(async move {
            let asked = Instant::now();
            let failure = match question.send().await {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(answer.status().to_string()),
                Err(error) if error.is_connect() => Some("no connection".to_owned()),
                Err(_) => Some("no answer".to_owned()),
            };
            answers.lock().unwrap().push(Answer { asked, took: asked.elapsed(), failure });
        });
        while questions.try_join_next().is_some() {}
    }
}
