//! The Helm chart: its values are those of prometheus-adapter's and more, and what it renders
//! passes the checks of the base.

use std::process::Command;

use regex::Regex;
use serde_json::{Value, json};

use super::files::{document, documents, kind, name, repository, run, strings, text, the};

/// The keys of the values of prometheus-community/helm-charts, charts/prometheus-adapter 5.3.0,
/// and of `psp` from before 4.0, which is left aside.
const PROMETHEUS_ADAPTER: &[&str] = &[
    "affinity",
    "automountServiceAccountToken",
    "certManager.caCertDuration",
    "certManager.caCertRevisionHistoryLimit",
    "certManager.certDuration",
    "certManager.certRevisionHistoryLimit",
    "certManager.enabled",
    "customAnnotations",
    "customLabels",
    "deploymentAnnotations",
    "dnsConfig",
    "dnsPolicy",
    "env",
    "extraArguments",
    "extraContainers",
    "extraManifests",
    "extraVolumeMounts",
    "extraVolumes",
    "fullnameOverride",
    "hostNetwork.enabled",
    "image.pullPolicy",
    "image.pullSecrets",
    "image.repository",
    "image.tag",
    "listenPort",
    "livenessProbe",
    "logLevel",
    "metricsRelistInterval",
    "nameOverride",
    "namespaceOverride",
    "nodeSelector",
    "podAnnotations",
    "podDisruptionBudget.enabled",
    "podDisruptionBudget.maxUnavailable",
    "podDisruptionBudget.minAvailable",
    "podDisruptionBudget.unhealthyPodEvictionPolicy",
    "podLabels",
    "podSecurityContext",
    "priorityClassName",
    "prometheus.path",
    "prometheus.port",
    "prometheus.url",
    "rbac.create",
    "rbac.customMetrics.resources",
    "rbac.externalMetrics.resources",
    "rbac.useAuthReaderClusterRole",
    "readinessProbe",
    "replicas",
    "resources",
    "revisionHistoryLimit",
    "rules.custom",
    "rules.default",
    "rules.existing",
    "rules.external",
    "rules.resource",
    "securityContext",
    "service.annotations",
    "service.clusterIP",
    "service.ipDualStack.enabled",
    "service.ipDualStack.ipFamilies",
    "service.ipDualStack.ipFamilyPolicy",
    "service.port",
    "service.type",
    "serviceAccount.annotations",
    "serviceAccount.automountServiceAccountToken",
    "serviceAccount.create",
    "serviceAccount.name",
    "startupProbe",
    "strategy",
    "tls.ca",
    "tls.certificate",
    "tls.enable",
    "tls.key",
    "tolerations",
    "topologySpreadConstraints",
];

/// The value at `a.b.c`; `None` where a key is not there at all.
fn at<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |value, key| value.get(key))
}

/// What the chart renders for these values; `None` where there is no `helm`.
pub(super) fn render(flags: &[&str]) -> Option<Vec<Value>> {
    let mut helm = Command::new("helm");
    helm.args(["template", "plimsoll"])
        .arg(repository("manifests/chart"))
        .args(["--namespace=plimsoll", "--kube-version=1.36.2"])
        .args(flags);
    let rendered = run(&mut helm, "rendering the chart")?;
    Some(documents("chart", &rendered))
}

fn values_of_prometheus_adapter() -> String {
    let file = repository("manifests/chart/ci/prometheus-adapter-values.yaml");
    format!("--values={}", file.display())
}

#[test]
fn every_value_of_prometheus_adapters_chart_is_a_value_of_ours() {
    let ours = document("manifests/chart/values.yaml");
    let theirs = document("manifests/chart/ci/prometheus-adapter-values.yaml");
    for key in PROMETHEUS_ADAPTER {
        assert!(at(&ours, key).is_some(), "{key} is not understood");
        assert!(at(&theirs, key).is_some() || key.starts_with("image."), "{key} is not tested");
    }
}

#[test]
fn every_value_that_a_template_reads_has_a_default_and_every_default_is_read() {
    let values = document("manifests/chart/values.yaml");
    let templates: String = std::fs::read_dir(repository("manifests/chart/templates"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let read = Regex::new(r"\.Values\.([A-Za-z.]*[A-Za-z])").unwrap();
    let mut top = std::collections::BTreeSet::new();
    for found in read.captures_iter(&templates) {
        assert!(at(&values, &found[1]).is_some(), "{} has no default", &found[1]);
        top.insert(found[1].split('.').next().unwrap().to_owned());
    }
    let defaults: std::collections::BTreeSet<_> =
        values.as_object().unwrap().keys().cloned().collect();
    assert_eq!(top, defaults);
}

#[test]
fn the_default_rules_load() {
    let rules = text("manifests/chart/files/default-rules.yaml").replace('\n', "\n  ");
    let config = plimsoll::config::parse("rules", &format!("rules:\n  {rules}\n")).unwrap();
    assert_eq!(config.rules.len(), 6);
}

#[test]
fn what_is_rendered_fits_itself_and_the_program() {
    let theirs = values_of_prometheus_adapter();
    let choices: [&[&str]; 6] = [
        &[],
        &[&theirs],
        &["--set=certManager.enabled=true,apiServices.external=true,apiServices.resource=true"],
        &["--set=serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true"],
        &["--set=apiServices.custom=false,nameOverride=metrics,listenPort=8443,adminPort=9090"],
        &["--set=customAnnotations=null,podAnnotations=null,prometheus.port=null"],
    ];
    for flags in choices {
        let Some(objects) = render(flags) else { return };
        super::deployment::agree(&objects);
        super::rights::agree(&objects);
        let config = the(
            &objects
                .iter()
                .filter(|object| object["data"]["config.yaml"].is_string())
                .cloned()
                .collect::<Vec<_>>(),
            "ConfigMap",
        )["data"]["config.yaml"]
            .clone();
        plimsoll::config::parse("config.yaml", config.as_str().unwrap()).unwrap();
    }
}

#[test]
fn a_values_file_of_prometheus_adapter_means_what_it_meant() {
    let Some(objects) = render(&[&values_of_prometheus_adapter()]) else { return };
    let deployment = the(&objects, "Deployment");
    assert_eq!(deployment["metadata"]["name"], "prometheus-adapter");
    assert_eq!(deployment["metadata"]["namespace"], "charted");
    let pod = &deployment["spec"]["template"]["spec"];
    let arguments = strings(&pod["containers"][0]["args"]);
    assert_eq!(
        arguments,
        [
            "serve",
            "--config=/etc/plimsoll/config.yaml",
            "--prometheus-url=http://prometheus.plimsoll.svc:80/prometheus",
            "--metrics-relist-interval=30s",
            "--secure-port=6444",
            "--admin-port=8080",
            "--admission-port=9443",
            "--tls-cert-file=/var/run/plimsoll/tls/tls.crt",
            "--tls-private-key-file=/var/run/plimsoll/tls/tls.key",
            "--authorization-webhook-cache-authorized-ttl=60s",
            "--shutdown-delay=15s",
            "--v=6",
            "--logtostderr=true",
            "--disable-http2",
        ]
    );
    let mut registered: Vec<_> = kind(&objects, "APIService").into_iter().map(name).collect();
    registered.sort_unstable();
    assert_eq!(
        registered,
        [
            "v1alpha1.insight.plimsoll.dev",
            "v1beta1.custom.metrics.k8s.io",
            "v1beta1.external.metrics.k8s.io",
            "v1beta1.metrics.k8s.io",
            "v1beta2.custom.metrics.k8s.io",
        ]
    );
    for api_service in kind(&objects, "APIService") {
        assert!(api_service["spec"]["caBundle"].is_string());
        assert_eq!(api_service["spec"]["service"]["port"], 8443);
    }
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(pod["containers"][1]["name"], "sidecar");
    assert_eq!(kind(&objects, "ServiceAccount")[0]["metadata"]["name"], "adapter");
    let extra = kind(&objects, "ConfigMap").into_iter().any(|map| name(map) == "plimsoll-extra");
    assert!(extra);
}

#[test]
fn by_default_only_groups_with_rules_are_registered() {
    let registered = |flags: &[&str]| -> Option<Vec<String>> {
        let objects = render(flags)?;
        let mut names: Vec<_> =
            kind(&objects, "APIService").into_iter().map(|found| name(found).to_owned()).collect();
        names.sort_unstable();
        Some(names)
    };
    let insight = "v1alpha1.insight.plimsoll.dev";
    let custom = [insight, "v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"];
    let Some(default) = registered(&[]) else { return };
    assert_eq!(default, custom);
    assert_eq!(registered(&["--set=rules.default=false"]).unwrap(), [insight]);
    assert_eq!(
        registered(&[
            "--set=rules.existing=mine",
            "--set=apiServices.custom=false,apiServices.external=true,apiServices.insight=false",
        ])
        .unwrap(),
        ["v1beta1.external.metrics.k8s.io"]
    );
}

#[test]
fn another_programs_image_is_refused() {
    let mut helm = Command::new("helm");
    helm.args(["template", "plimsoll"])
        .arg(repository("manifests/chart"))
        .arg("--kube-version=1.36.2")
        .arg("--set=image.repository=registry.k8s.io/prometheus-adapter/prometheus-adapter");
    let Ok(output) = helm.output() else {
        println!("skipped: rendering the chart needs helm");
        return;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("another program's image"), "{errors}");
}

#[test]
fn the_webhooks_of_the_chart_are_those_of_the_components() {
    let Some(objects) = render(&["--set=admission.enabled=true,admission.mutation=true"]) else {
        return;
    };
    for (kind, file) in [
        ("ValidatingWebhookConfiguration", "admission/validating"),
        ("MutatingWebhookConfiguration", "mutation/mutating"),
    ] {
        let component = document(&format!("manifests/components/{file}.yaml"));
        let rendered = the(&objects, kind);
        assert_eq!(rendered["metadata"]["name"], component["metadata"]["name"]);
        assert_eq!(rendered["webhooks"], component["webhooks"], "{kind}");
    }
}

#[test]
fn the_alerts_of_the_chart_are_those_of_the_component() {
    let Some(objects) = render(&["--set=prometheusRule.enabled=true,dashboard.enabled=true"])
    else {
        return;
    };
    let component = document("manifests/components/monitoring/prometheusrule.yaml");
    assert_eq!(the(&objects, "PrometheusRule")["spec"], component["spec"]);
    let maps = kind(&objects, "ConfigMap");
    let dashboard = maps.iter().find_map(|map| map["data"]["plimsoll.json"].as_str()).unwrap();
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    assert_eq!(dashboard["uid"], json!("plimsoll"));
}
