//! As much of Prometheus as the measurements need, with answers as quick as can be.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::SystemTime;

use anyhow::Result;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response, StatusCode};

use crate::http;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Series that are sent in one piece.
const PIECE: usize = 1_000;

/// Pods of one metric.
const PODS: usize = 10_000;

/// A Prometheus with one sample for each of these pods in the namespace `bench`, whatever it is
/// asked for.
pub(crate) async fn with_pods(pods: Vec<String>) -> Result<SocketAddr> {
    http::serve(move |request: Request<Incoming>| match request.uri().path() {
        "/api/v1/series" => {
            let name = "http_requests_total";
            let series = pods
                .iter()
                .map(|pod| format!(r#"{{"__name__":"{name}","namespace":"bench","pod":"{pod}"}}"#));
            success(&format!("[{}]", series.collect::<Vec<_>>().join(",")))
        }
        "/api/v1/query" => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let now = now.as_secs_f64();
            let samples = pods.iter().zip(1..).map(|(pod, index)| {
                format!(
                    r#"{{"metric":{{"namespace":"bench","pod":"{pod}"}},"value":[{now:.3},"{index}2.345"]}}"#
                )
            });
            success(&format!(
                r#"{{"resultType":"vector","result":[{}]}}"#,
                samples.collect::<Vec<_>>().join(",")
            ))
        }
        _ => nothing(),
    })
    .await
}

/// A Prometheus that lists this many series, of 10,000 pods a metric.
pub(crate) async fn with_series(count: usize) -> Result<SocketAddr> {
    http::serve(move |request: Request<Incoming>| {
        if request.uri().path() != "/api/v1/series" {
            return nothing();
        }
        let pieces = (0..count).step_by(PIECE).map(move |first| {
            Bytes::from((first..count.min(first + PIECE)).map(series).collect::<String>())
        });
        let head = Bytes::from_static(br#"{"status":"success","data":["#);
        let pieces = [head].into_iter().chain(pieces).chain([Bytes::from_static(b"]}")]);
        let frames = stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        Response::new(StreamBody::new(frames).boxed_unsync())
    })
    .await
}

/// A series with the labels that a pod's have in life.
fn series(index: usize) -> String {
    let (metric, pod) = (index / PODS, index % PODS);
    let (team, node, high, low) = (pod % 50, pod % 200, pod / 256, pod % 256);
    let comma = if index == 0 { "" } else { "," };
    format!(
        r#"{comma}{{"__name__":"app_metric_{metric}_total","container":"app","endpoint":"http",
"instance":"10.0.{high}.{low}:8080","job":"app","namespace":"team-{team}","node":"node-{node}",
"pod":"app-6d5f9c7b64-{pod:05}","service":"app"}}"#
    )
}

fn success(data: &str) -> Answer {
    whole(format!(r#"{{"status":"success","data":{data}}}"#))
}

fn nothing() -> Answer {
    let text = r#"{"status":"error","errorType":"not_found","error":"not in this fake"}"#;
    let mut response = whole(text.to_owned());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn whole(text: String) -> Answer {
    Response::new(Full::from(text).boxed_unsync())
}
