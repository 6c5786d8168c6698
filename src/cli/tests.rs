use std::time::Duration;

use super::*;
use crate::cli::serve::Error;
use crate::prometheus::Verb;
use crate::serve::tls::MinimumVersion;
use crate::telemetry::LogFormat;

fn invoke(flags: &str) -> Invocation {
    parse(std::iter::once("plimsoll").chain(flags.split_whitespace()))
        .unwrap_or_else(|error| panic!("{flags}: {error}"))
}

#[test]
fn no_subcommand_is_serve() {
    let without = invoke("--config a.yaml --secure-port 1");
    let with = invoke("serve --config a.yaml --secure-port 1");
    assert_eq!(format!("{without:?}"), format!("{with:?}"));
}

#[test]
fn the_defaults_are_those_of_prometheus_adapter() {
    let serve = invoke("--config a.yaml").serve;
    let settings = serve.settings().unwrap();
    assert_eq!(settings.secure.to_string(), "0.0.0.0:6443");
    assert_eq!(settings.admin.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.max_age, Duration::from_mins(10));
    assert_eq!(serve.prometheus.prometheus_url, "https://localhost");
    assert_eq!(serve.prometheus.prometheus_verb, Verb::Get);
    assert_eq!(serve.prometheus.metrics_relist_interval, Duration::from_mins(10));
    assert_eq!(serve.serving.cert_dir.to_str(), Some("apiserver.local.config/certificates"));
}

#[test]
fn a_deployment_of_the_helm_chart_starts_and_is_told_what_has_no_meaning() {
    let flags = "--secure-port=6443 --cert-dir=/tmp/cert --logtostderr=true \
        --prometheus-url=http://prometheus.default.svc:9090 --metrics-relist-interval=1m --v=4 \
        --config=/etc/adapter/config.yaml --profiling=false --audit-log-path - \
        --tls-cipher-suites TLS_AES_128_GCM_SHA256 --disable-http2 --client-qps 50";
    for prefix in ["", "serve "] {
        let Invocation { serve, ignored } = invoke(&format!("{prefix}{flags}"));
        assert_eq!(serve.logging.verbosity, 4);
        assert!(serve.serving.disable_http2);
        assert_eq!(
            ignored,
            [
                "--logtostderr",
                "--profiling",
                "--audit-log-path",
                "--client-qps",
                "--tls-cipher-suites"
            ]
        );
    }
}

#[test]
fn switches_take_a_value_only_after_an_equals_sign() {
    assert!(!invoke("--disable-http2=false").serve.serving.disable_http2);
    assert!(invoke("--prometheus-auth-incluster").serve.prometheus.prometheus_auth_incluster);
    assert_eq!(invoke("--logtostderr --config a").serve.config, Some("a".into()));
}

#[test]
fn words_of_other_programs_are_understood() {
    let serve = invoke(
        "--logging-format json -v=6 --prometheus-verb post --tls-min-version VersionTLS13 \
         --prometheus-header X-Scope-OrgID=a=b --prometheus-header X-Other= \
         --metrics-relist-interval 1h15m30.5s --metrics-max-age 2h",
    )
    .serve;
    assert_eq!(serve.logging.log_format, LogFormat::Json);
    assert_eq!(serve.logging.verbosity, 6);
    assert_eq!(serve.prometheus.prometheus_verb, Verb::Post);
    assert_eq!(serve.serving.tls_min_version, MinimumVersion::Tls13);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        serve.prometheus.prometheus_header,
        [header("X-Scope-OrgID", "a=b"), header("X-Other", "")]
    );
    assert_eq!(serve.prometheus.metrics_relist_interval, Duration::from_millis(4_530_500));
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let refusals = [
        (
            "--config a --metrics-relist-interval 1m --metrics-max-age 59s",
            Error::MaxAgeTooShort {
                max_age: Duration::from_secs(59),
                relist_interval: Duration::from_mins(1),
            },
        ),
        ("--standalone", Error::NoConfig),
        ("--config a --metrics-relist-interval 0", Error::NoRelistInterval),
        (
            "--config a --standalone --bind-address 0.0.0.0",
            Error::NotLoopback("0.0.0.0".parse().unwrap()),
        ),
    ];
    for (flags, refusal) in refusals {
        assert_eq!(invoke(flags).serve.settings().unwrap_err(), refusal, "{flags}");
    }
}

#[test]
fn what_is_no_flag_or_no_value_of_it_is_refused_by_name() {
    let refusals = [
        "--no-such-flag",
        "--objects a",
        "--secure-port 70000",
        "--metrics-relist-interval fast",
        "--prometheus-header nothing",
        "--prometheus-header =x",
        "--prometheus-verb PUT",
        "--tls-cert-file a",
        "--standalone --kubeconfig a",
        "nonsense",
    ];
    for flags in refusals {
        let error = parse(std::iter::once("plimsoll").chain(flags.split(' '))).unwrap_err();
        let culprit = flags.split(' ').next_back().unwrap();
        let named = error.to_string();
        assert!(
            flags.split(' ').any(|word| named.contains(word)),
            "{flags}: {named} does not name {culprit}"
        );
    }
}
