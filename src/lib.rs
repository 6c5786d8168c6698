//! Plimsoll keeps Kubernetes workloads within their load line: it computes metrics for the
//! native `HorizontalPodAutoscaler` from Prometheus, and serves them as `custom.metrics.k8s.io`,
//! `external.metrics.k8s.io` and, where the configuration has `resourceRules`, `metrics.k8s.io`.
//!
//! This page is the map of the code. It tells what does not change often; what does is told by
//! the first lines of each file.
//!
//! # Rooms
//!
//! Each module at the top is a room with a door: what it may use is a table in `tests/tidy.rs`,
//! which fails where the code or this page says something else.
//!
//! Pure, without IO and without a clock, so that all of it is tested with data alone:
//!
//! * [`model`]: the words for all others: objects, kinds, selectors, values, quantities.
//! * [`pki`]: what is in a certificate, how one is issued, and when the next one is due.
//! * [`promql`]: a rule and a request become a query, as prometheus-adapter writes it.
//! * [`config`]: what a person writes becomes checked rules, or all mistakes at once.
//! * [`signals`]: a declared signal becomes queries, and their results its values.
//! * [`wire`]: what goes over the wire: JSON, protobuf, discovery, `Status`, and which form of it.
//!
//! The heart:
//!
//! * [`engine`]: what is asked for, how it is computed, and the answers that are ready.
//!
//! Adapters, which implement the engine's [`ports`](engine::ports) and do not know each other:
//!
//! * [`prometheus`]: the backend's client: queries and listings, within bounds.
//! * [`cluster`]: kinds and objects, from an API server or a file; who asks and what they may;
//!   the certificate that the replicas share, Events and statuses, and the Lease of the one replica
//!   that writes them.
//!
//! Servers:
//!
//! * [`apiserver`]: the aggregated API: from a URL to the engine, from an answer to a response.
//! * [`admission`]: limits and probes at deploy: what is judged, the rules, the answer.
//! * [`admin`]: the plain port: health, metrics, version.
//! * [`serve`]: what both stand on: listeners, TLS and its certificate, limits, the end.
//!
//! Around them:
//!
//! * [`cli`]: flags, prometheus-adapter's among them, and what they mean.
//! * [`tasks`]: background tasks: a crash ends the process, or begins a half's task anew.
//! * [`telemetry`]: logs and the process's own metrics.
//! * [`app`]: puts all of it together; nothing else knows every room.
//!
//! # Ways through the house
//!
//! **Discovery**, in the background: [`engine::discovery`] lists the series of each rule at an
//! interval, and joins rules, series, signals and kinds into a
//! [`Catalog`](engine::catalog::Catalog) of what is served. It runs at once when a changed configuration file has been taken up.
//!
//! **Refresh**, in the background: what autoscalers will ask for and what somebody has asked for
//! lately is an [`Interest`](engine::table::Interest) in a namespace of a
//! [`Table`](engine::table::Table): the values of one metric of one kind in all namespaces where
//! somebody needs it. Each table is [planned](engine::plan) as the fewest queries that answer it,
//! asked of the backend, [evaluated](engine::evaluate) every
//! [refresh](engine::refresh) interval, and published whole. What a [signal](engine::signals)
//! serves comes from the queries that it names and from what the inventory knows of its objects'
//! pods; a decision keeps its [history](engine::decisions), and a forecast reads the past.
//!
//! **Read**, the hot way: TLS → [who asks and whether they may](apiserver::access) →
//! [what for](apiserver::path) → the demand's [`Slot`](engine::demand::slots::Slot), which knows
//! the table → [the objects that are meant](engine::read) → [`wire`]. No call over the network and
//! no lock, but for a verdict on a token or on access that is not known yet, and for the first
//! request for something: that waits, with a deadline, for one evaluation which all who ask for
//! the same share. Documents of discovery are written once for a catalog and then copied from
//! memory, and so is an answer that is asked for again before there is a new one.
//!
//! # Always true
//!
//! * Missing data is an error, because an HPA holds still on an error and acts on a wrong zero.
//!   NaN, infinities and what does not fit into a quantity are missing data; a rule that was
//!   written for prometheus-adapter keeps its zero for NaN in [`promql::compat`].
//! * Discovery never waits for a backend: while the groups cannot be read, no namespace can be
//!   deleted.
//! * An error of the API is a [`Status`](wire::status::Status) whose message names the cause: the
//!   rule, the query, what the backend said. Two are not: a probe that fails says so in plain text,
//!   as Kubernetes has it, and what cannot be read as a request (a URL or head beyond the bounds
//!   of [`serve`], a bad header line) hyper refuses with a code alone.
//! * The last good configuration, certificate, catalog and file of objects stay in use while the
//!   next one is bad, and the badness is logged.
//! * Every wait for a peer has a deadline; every queue, body, table and set of labels has a bound,
//!   which is a constant at the top of its file.
//! * No input makes the process panic. `unsafe` is forbidden, `unwrap` and slicing of text are
//!   lints, and each exception says why it holds.
//!
//! What is not there on purpose: state other than a certificate, in a Secret or on disk; a way to
//! change anything through the API; a lock on the hot way; objects' contents beyond names and
//! labels, but for a few fields of a few kinds; a log line per request; traits with one
//! implementation, the engine's ports apart; mocks of libraries: tests talk to fakes over sockets,
//! or to the real thing.
//!
//! # Where to find what
//!
//! * a flag: [`cli::serve`]; one that is accepted and ignored: [`cli::ignored`]
//! * a key of the configuration file: `src/config/file.rs`
//! * the code and message of an error: [`wire::status`] has the forms, [`apiserver::failure`]
//!   chooses among them, the enum of the room at fault has the words
//! * a metric of the process: [`telemetry::metrics`], one method per event
//! * a behaviour of prometheus-adapter: `tests/data`, and the comment that names its source
//! * tests: beside the code for what is pure, in `tests/it` for what needs a socket, in
//!   `hack/fuzz` for hostile input; `hack/test` runs everything

pub mod admin;
pub mod admission;
pub mod apiserver;
pub mod app;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod engine;
pub mod model;
pub mod pki;
pub mod prometheus;
pub mod promql;
pub mod serve;
pub mod signals;
pub mod tasks;
pub mod telemetry;
pub mod wire;
