//! An HTTP/1.1 server on loopback that can go away and come back at the same address.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What it answers with.
pub(crate) type Answer = Response<BoxBody<Bytes, io::Error>>;

/// Where it is, and whether it is there: while it is not, it hangs up on everybody.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) is_open: watch::Sender<bool>,
}

/// Answers requests until the runtime ends.
pub(crate) async fn serve<F: Future<Output = Answer> + Send + 'static>(
    answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
) -> Result<Gate> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on loopback")?;
    let address = listener.local_addr()?;
    let (is_open, open) = watch::channel(true);
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, mut open) = (Arc::clone(&answer), open.clone());
            // It is slower without, and no matter.
            stream.set_nodelay(true).ok();
            tokio::spawn(async move {
                if !*open.borrow_and_update() {
                    return;
                }
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    // A peer that hangs up in the middle is no news here.
                    _ = connection => {}
                    _ = open.wait_for(|open| !open) => {}
                }
            });
        }
    });
    Ok(Gate { address, is_open })
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {});
    let mut response = Response::new(BoxBody::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
