//! The least a TLS server in Rust can do: hyper and rustls as plimsoll uses them, one fixed answer.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the log says before the address.
pub(crate) const SERVING: &str = "Serving the bare answer on ";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory with the certificate, its key and the answer.
    dir: PathBuf,
}

/// The answer that both servers send. hyper adds `content-length` and `date` by itself.
#[derive(Deserialize, Serialize)]
pub(crate) struct Answer {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    /// The file in the directory that holds it.
    pub(crate) const FILE: &str = "answer.json";
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let answer: Answer = serde_json::from_slice(&std::fs::read(args.dir.join(Answer::FILE))?)?;
    let body = Bytes::from(answer.body);
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }

    let chain = CertificateDer::pem_file_iter(args.dir.join("apiserver.crt"))?
        .collect::<Result<_, _>>()
        .context("cannot read the certificate")?;
    let key = PrivateKeyDer::from_pem_file(args.dir.join("apiserver.key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    eprintln!("{SERVING}{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, headers, body) = (acceptor.clone(), headers.clone(), body.clone());
        tokio::spawn(async move {
            let stream = acceptor.accept(stream).await?;
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let mut response = hyper::Response::new(Full::new(body.clone()));
                response.headers_mut().clone_from(&headers);
                async move {
                    // What was sent is read, as who answers it would.
                    request.into_body().collect().await?;
                    Ok::<_, hyper::Error>(response)
                }
            });
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
            anyhow::Ok(())
        });
    }
}
