//! The section `backends`: where the Prometheus-compatible HTTP APIs are that rules and signals name,
//! and how they are asked.
//!
//! Files are taken relative to the directory of the configuration file. What is left out keeps the
//! client's own default.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use serde_saphyr::{Location, Spanned};
use url::{Host, Url};

pub(super) use self::file::Section;
use self::file::{Entry as Written, OAuth2 as WrittenOAuth2, Tenant as WrittenTenant};
use super::file::Text;
use super::report::{Report, with_causes};
use crate::model::backend::{Auth, OAuth2, Tenant};
use crate::model::duration;
use crate::promql::rule::DEFAULT_BACKEND;

/// Most backends of a file: each has connections, and series of our own metrics.
const MAX_BACKENDS: usize = 64;

/// Most replicas of one backend.
const MAX_URLS: usize = 8;

/// Longest name of a backend.
const MAX_NAME: usize = 63;

/// Most headers of one backend.
const MAX_HEADERS: usize = 64;

/// Longest wait for an answer.
const MAX_DEADLINE: Duration = Duration::from_mins(10);

/// A backend as the file declares it. `None` stands for the default of the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// What rules and signals call it.
    pub name: Arc<str>,
    /// Its replicas, at least one: the first is asked as long as it is well.
    pub urls: Vec<Url>,
    /// `method: POST`: whether queries are sent as forms.
    pub post: bool,
    /// Whom to trust, as PEM, in place of the system's authorities.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its key, as PEM.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// The name that the certificate of the server is for, where it is not the host of the URL.
    pub server_name: Option<String>,
    /// Who we are.
    pub auth: Option<Auth>,
    /// Headers of each request.
    pub headers: Vec<(String, String)>,
    /// Whose data is meant.
    pub tenant: Option<Tenant>,
    /// Parameters of each request: those of Thanos, Mimir and `VictoriaMetrics` that are set.
    pub parameters: Vec<(String, String)>,
    /// How long a query may take.
    pub deadline: Option<Duration>,
    /// How many queries may be under way at once.
    pub concurrency: Option<usize>,
    /// The most series of an answer.
    pub max_series: Option<usize>,
    /// The most samples of an answer to a range query.
    pub max_samples: Option<usize>,
    /// The longest answer in bytes.
    pub max_response_bytes: Option<usize>,
    /// How far the newest sample of a replica may be behind that of another.
    pub max_lag: Option<Duration>,
}

/// The names that rules and signals may use.
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// What is wrong with a name, if anything.
    pub(super) fn mistake(&self, name: &str) -> Option<String> {
        if self.0.contains(name) {
            return None;
        }
        let known: Vec<&str> = self.0.iter().map(String::as_str).collect();
        Some(format!("there is no backend {name:?} under `backends`, only {}", known.join(", ")))
    }
}

/// Compiles the section; what is wrong goes to the report and is left out. Its name is known all the
/// same, so that one mistake is told once.
pub(super) fn backends(
    section: Option<Spanned<Section>>,
    report: &mut Report<'_>,
) -> (Vec<Backend>, Names) {
    let mut names = BTreeSet::from([DEFAULT_BACKEND.to_owned()]);
    let mut backends = Vec::new();
    let Some(Spanned { value: section, referenced, .. }) = section else {
        return (backends, Names(names));
    };
    if section.len() > MAX_BACKENDS {
        let what = format!("there are {} of at most {MAX_BACKENDS} backends", section.len());
        report.error(referenced, "backends".to_owned(), what);
    }
    for (name, entry) in section {
        let at = entry.referenced;
        let path = format!("backends.{name}");
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_allowed) {
            let what = format!(
                "a backend's name has 1 to {MAX_NAME} letters of ASCII, digits, '-', '_' and '.'"
            );
            report.error(at, path.clone(), what);
        }
        let mut compiler = Compiler { path, at, report };
        backends.extend(compiler.backend(&name, entry.value.unwrap_or_default()));
        names.insert(name);
    }
    (backends, Names(names))
}

/// The backend that is being compiled.
struct Compiler<'a, 'b> {
    path: String,
    at: Location,
    report: &'a mut Report<'b>,
}

impl Compiler<'_, '_> {
    /// Looks at every field before it gives up, so that all mistakes are told.
    fn backend(&mut self, name: &str, written: Written) -> Option<Backend> {
        let parameters = self.parameters(&written);
        let urls = self.urls(written.urls.unwrap_or_default());
        let headers = self.headers(written.headers.unwrap_or_default());
        let auth = self.auth(written.basic_auth, written.bearer_token_file, written.oauth2);
        if auth.is_some() {
            self.check_only_identity(&urls, &headers);
        }
        let client_certificate =
            self.client_certificate(written.client_certificate, written.client_key);
        let server_name = written.server_name.and_then(|name| self.server_name(&name));
        let tenant = written.tenant.and_then(|tenant| self.tenant(tenant));
        let post = written.method.is_some_and(|method| self.is_post(&method));
        let counts = 1..=usize::MAX;
        (!urls.is_empty()).then(|| Backend {
            name: name.into(),
            urls,
            post,
            ca: written.ca.and_then(|ca| self.file("ca", ca)),
            client_certificate,
            server_name,
            auth,
            headers,
            tenant,
            parameters,
            deadline: self.duration("deadline", written.deadline, MAX_DEADLINE),
            concurrency: self.count("concurrency", written.concurrency, 1..=1_000),
            max_series: self.count("maxSeries", written.max_series, counts.clone()),
            max_samples: self.count("maxSamples", written.max_samples, counts.clone()),
            max_response_bytes: self.count("maxResponseBytes", written.max_response_bytes, counts),
            max_lag: self.duration("maxLag", written.max_lag, Duration::MAX),
        })
    }

    fn error(&mut self, at: Location, field: &str, what: impl Into<String>) {
        let path = format!("{}.{field}", self.path);
        self.report.error(at, path, what);
    }

    fn urls(&mut self, written: Vec<Text>) -> Vec<Url> {
        if written.is_empty() {
            let what = "it is missing: write the base URL of each replica, `[http://host:9090]`";
            self.error(self.at, "urls", what);
        }
        if written.len() > MAX_URLS {
            let what = format!("there are {} of at most {MAX_URLS} replicas", written.len());
            self.error(self.at, "urls", what);
        }
        let mut urls = Vec::new();
        for (index, Spanned { value, referenced, .. }) in written.into_iter().enumerate() {
            let field = format!("urls[{index}]");
            match self.url(referenced, &field, &value) {
                Some(url) if urls.contains(&url) => {
                    self.error(referenced, &field, "it stands here twice");
                }
                url => urls.extend(url),
            }
        }
        urls
    }

    /// The text of a URL may hold a password and is not repeated.
    fn url(&mut self, at: Location, field: &str, text: &str) -> Option<Url> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Some(url),
            Ok(url) => {
                let what =
                    format!("it begins with {}:, not with http:// or https://", url.scheme());
                self.error(at, field, what);
                None
            }
            Err(error) => {
                self.error(at, field, format!("this is no URL: {error}"));
                None
            }
        }
    }

    fn file(&mut self, field: &str, Text { value, referenced, .. }: Text) -> Option<PathBuf> {
        if value.is_empty() {
            self.error(referenced, field, "it is empty: write the path of a file");
            return None;
        }
        Some(value.into())
    }

    fn client_certificate(
        &mut self,
        certificate: Option<Text>,
        key: Option<Text>,
    ) -> Option<(PathBuf, PathBuf)> {
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let certificate = self.file("clientCertificate", certificate);
                Some((certificate?, self.file("clientKey", key)?))
            }
            (Some(certificate), None) => {
                let what = "it goes with `clientKey`, which is missing";
                self.error(certificate.referenced, "clientCertificate", what);
                None
            }
            (None, Some(key)) => {
                let what = "it goes with `clientCertificate`, which is missing";
                self.error(key.referenced, "clientKey", what);
                None
            }
            (None, None) => None,
        }
    }

    fn server_name(&mut self, Text { value, referenced, .. }: &Text) -> Option<String> {
        match Host::parse(value) {
            Ok(Host::Domain(name)) => Some(name),
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => {
                let what = "it is the DNS name that the server's certificate is for";
                self.error(*referenced, "serverName", what);
                None
            }
        }
    }

    fn auth(
        &mut self,
        basic: Option<Spanned<file::BasicAuth>>,
        bearer: Option<Text>,
        oauth2: Option<Spanned<WrittenOAuth2>>,
    ) -> Option<Auth> {
        let written = [basic.is_some(), bearer.is_some(), oauth2.is_some()];
        if written.into_iter().filter(|is| *is).count() > 1 {
            let what = "only one of `basicAuth`, `bearerTokenFile` and `oauth2` can say who we are";
            self.report.error(self.at, self.path.clone(), what);
        }
        if let Some(Spanned { value, referenced, .. }) = basic {
            let username = value.username.filter(|name| !name.is_empty() && !name.contains(':'));
            if username.is_none() {
                let what = "it is missing, or has a colon, which no name may have";
                self.error(referenced, "basicAuth.username", what);
            }
            let password_file =
                self.needed_file(referenced, "basicAuth.passwordFile", value.password_file);
            return Some(Auth::Basic { username: username?, password_file: password_file? });
        }
        if let Some(file) = bearer {
            return self.file("bearerTokenFile", file).map(Auth::Bearer);
        }
        oauth2.and_then(|oauth2| self.oauth2(oauth2)).map(Auth::OAuth2)
    }

    fn needed_file(&mut self, at: Location, field: &str, file: Option<Text>) -> Option<PathBuf> {
        if file.is_none() {
            self.error(at, field, "it is missing");
        }
        self.file(field, file?)
    }

    fn oauth2(&mut self, written: Spanned<WrittenOAuth2>) -> Option<OAuth2> {
        let Spanned { value, referenced, .. } = written;
        let client_id = value.client_id.filter(|id| !id.is_empty());
        if client_id.is_none() {
            self.error(referenced, "oauth2.clientId", "it is missing");
        }
        let client_secret_file =
            self.needed_file(referenced, "oauth2.clientSecretFile", value.client_secret_file);
        let token_url = if let Some(url) = value.token_url {
            self.url(url.referenced, "oauth2.tokenUrl", &url.value)
        } else {
            self.error(referenced, "oauth2.tokenUrl", "it is missing");
            None
        };
        Some(OAuth2 {
            client_id: client_id?,
            client_secret_file: client_secret_file?,
            token_url: token_url?,
            scopes: value.scopes.unwrap_or_default(),
        })
    }

    /// What a URL or a header says would win over what `auth` says.
    fn check_only_identity(&mut self, urls: &[Url], headers: &[(String, String)]) {
        let in_url = urls.iter().any(|url| !url.username().is_empty() || url.password().is_some());
        let in_header = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        for (field, is_there) in [("urls", in_url), ("headers", in_header)] {
            if is_there {
                let what = format!("they say who we are, and another key does: {AUTHORIZATION}");
                self.error(self.at, field, what);
            }
        }
    }

    fn headers(&mut self, written: file::Headers) -> Vec<(String, String)> {
        if written.len() > MAX_HEADERS {
            let what = format!("there are {} of at most {MAX_HEADERS}", written.len());
            self.error(self.at, "headers", what);
        }
        let mut headers = Vec::new();
        for (name, Spanned { value, referenced, .. }) in written {
            let field = format!("headers.{name}");
            if self.is_header(referenced, &field, &name, &value) {
                headers.push((name, value));
            }
        }
        headers
    }

    fn is_header(&mut self, at: Location, field: &str, name: &str, value: &str) -> bool {
        if HeaderName::try_from(name).is_err() {
            self.error(at, field, format!("{name:?} is not the name of a header"));
            return false;
        }
        if HeaderValue::try_from(value).is_err() {
            self.error(at, field, "the value holds characters that HTTP does not allow there");
            return false;
        }
        true
    }

    fn tenant(&mut self, written: Spanned<WrittenTenant>) -> Option<Tenant> {
        let Spanned { value: tenant, referenced, .. } = written;
        let WrittenTenant { header, value, from_namespace } = tenant;
        let Some(header) = header else {
            let what = "it is missing: write the header's name, such as X-Scope-OrgID";
            self.error(referenced, "tenant.header", what);
            return None;
        };
        let from_namespace = from_namespace.unwrap_or_default();
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            let what = if from_namespace {
                "it is missing: the listing of series belongs to no namespace and needs a tenant"
            } else {
                "it is missing: write the tenant, or `fromNamespace: true`"
            };
            self.error(referenced, "tenant.value", what);
            return None;
        };
        let is_header = self.is_header(referenced, "tenant", &header, &value);
        is_header.then_some(Tenant { header, value, from_namespace })
    }

    fn is_post(&mut self, Text { value, referenced, .. }: &Text) -> bool {
        match value.as_str() {
            "GET" => false,
            "POST" => true,
            _ => {
                self.error(*referenced, "method", "it is GET or POST");
                false
            }
        }
    }

    fn parameters(&mut self, written: &Written) -> Vec<(String, String)> {
        let flag = |name: &str, value: Option<bool>, yes: &str, no: &str| {
            value.map(|value| (name.to_owned(), if value { yes } else { no }.to_owned()))
        };
        let resolution = written.max_source_resolution.as_ref().and_then(|text| {
            let is_one = text.value == "auto" || duration::parse(&text.value).is_ok();
            if !is_one {
                let what = "it is `auto` or a duration such as 5m";
                self.error(text.referenced, "maxSourceResolution", what);
            }
            is_one.then(|| ("max_source_resolution".to_owned(), text.value.clone()))
        });
        let nocache = written.nocache.filter(|nocache| *nocache);
        let parameters = [
            flag("dedup", written.dedup, "true", "false"),
            flag("partial_response", written.partial_response, "true", "false"),
            resolution,
            flag("nocache", nocache, "1", "0"),
        ];
        parameters.into_iter().flatten().collect()
    }

    fn duration(&mut self, field: &str, text: Option<Text>, max: Duration) -> Option<Duration> {
        let Text { value, referenced, .. } = text?;
        match duration::parse(&value) {
            Ok(Duration::ZERO) => self.error(referenced, field, "it is zero"),
            Ok(duration) if duration <= max => return Some(duration),
            Ok(_) => self.error(referenced, field, format!("it is longer than {max:?}")),
            Err(error) => self.error(referenced, field, with_causes(&error)),
        }
        None
    }

    fn count(
        &mut self,
        field: &str,
        count: Option<Spanned<u64>>,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        let Spanned { value, referenced, .. } = count?;
        let count = usize::try_from(value).ok().filter(|count| range.contains(count));
        if count.is_none() {
            let what = format!("it is a number from {} to {}", range.start(), range.end());
            self.error(referenced, field, what);
        }
        count
    }
}
