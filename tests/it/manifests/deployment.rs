//! What runs: flags, ports, probes, limits and who reaches whom.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use plimsoll::cli::{self, Program};
use plimsoll::serve::health::Probe;
use plimsoll::wire::Group;

use super::files::{document, kind, name, resources, strings, text, the};

/// Longest drain of `serve`, after `--shutdown-delay`.
const DRAIN: Duration = Duration::from_secs(15);

/// That the parts of an installation fit each other and the program.
pub(super) fn agree(objects: &[Value]) {
    let deployment = the(objects, "Deployment");
    let pod = &deployment["spec"]["template"];
    flags_are_of_the_program(pod);
    ports_lead_to_the_listeners(objects, pod);
    selectors_find_the_pods(objects, pod);
    probes_ask_what_the_program_answers(pod);
    api_services_lead_to_the_service(objects);
    volumes_are_there(objects, pod);
}

/// The command line of the pod's container.
fn arguments(pod: &Value) -> Vec<String> {
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["name"], "plimsoll");
    strings(&container["args"]).into_iter().map(str::to_owned).collect()
}

pub(super) fn parse(pod: &Value) -> cli::serve::ServeArgs {
    let arguments = std::iter::once("plimsoll".to_owned()).chain(arguments(pod));
    match cli::parse(arguments).unwrap_or_else(|error| panic!("{error}")) {
        Program::Serve(invocation) => invocation.serve,
        Program::Certs(_)
        | Program::Check(_)
        | Program::Crds
        | Program::Rules(_)
        | Program::Scan(_) => {
            panic!("it does not serve")
        }
    }
}

fn flags_are_of_the_program(pod: &Value) {
    let settings = parse(pod).settings().unwrap();
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
    let needed = settings.shutdown_delay + DRAIN;
    assert!(Duration::from_secs(grace) > needed, "{grace} s is not more than {needed:?}");
}

fn ports_lead_to_the_listeners(objects: &[Value], pod: &Value) {
    let settings = parse(pod).settings().unwrap();
    let listeners = json!({
        "https": settings.secure.port(),
        "admission": settings.admission.port(),
        "admin": settings.admin.port(),
    });
    let container: BTreeMap<_, _> = pod["spec"]["containers"][0]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (port["name"].as_str().unwrap(), &port["containerPort"]))
        .collect();
    assert_eq!(json!(container), listeners);
    let service: BTreeMap<_, _> = the(objects, "Service")["spec"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (port["name"].as_str().unwrap(), &port["targetPort"]))
        .collect();
    assert_eq!(
        json!(service),
        json!({"https": "https", "admission": "admission", "admin": "admin"})
    );
    let ingress = &the(objects, "NetworkPolicy")["spec"]["ingress"];
    let open: Vec<_> = ingress
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rule| rule["ports"].as_array().unwrap())
        .map(|port| &port["port"])
        .collect();
    assert_eq!(json!(open), json!(["https", "admission", "admin"]));
    for monitor in kind(objects, "ServiceMonitor") {
        assert_eq!(monitor["spec"]["endpoints"][0]["port"], "admin");
        assert_eq!(monitor["spec"]["endpoints"][0]["path"], "/metrics");
        let labels = &the(objects, "Service")["metadata"]["labels"];
        assert!(selects(&monitor["spec"]["selector"]["matchLabels"], labels));
    }
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().expect("a selector");
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn selectors_find_the_pods(objects: &[Value], pod: &Value) {
    let labels = &pod["metadata"]["labels"];
    let terms = &pod["spec"]["affinity"]["podAntiAffinity"];
    let mut selectors = vec![
        &the(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        &the(objects, "Service")["spec"]["selector"],
        &the(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        &the(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ];
    if !terms.is_null() {
        let term = &terms["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"];
        selectors.push(&term["labelSelector"]["matchLabels"]);
    }
    for selector in &selectors {
        assert!(selects(selector, labels), "{selector} does not select {labels}");
    }
}

fn probes_ask_what_the_program_answers(pod: &Value) {
    let container = &pod["spec"]["containers"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        let path = get["path"].as_str().unwrap();
        assert!(Probe::of(path).is_some(), "{probe} asks for {path}");
        let tls = get["scheme"] == "HTTPS";
        assert_eq!(get["port"], if tls { "https" } else { "admin" }, "{probe}");
    }
}

fn api_services_lead_to_the_service(objects: &[Value]) {
    let service = the(objects, "Service");
    for api_service in kind(objects, "APIService") {
        let spec = &api_service["spec"];
        let [group, version] = ["group", "version"].map(|key| spec[key].as_str().unwrap());
        assert_eq!(name(api_service), format!("{version}.{group}"));
        let to = &spec["service"];
        assert_eq!(to["name"], service["metadata"]["name"]);
        assert_eq!(to["namespace"], service["metadata"]["namespace"]);
        assert_eq!(to["port"], service["spec"]["ports"][0]["port"]);
        assert!(spec.get("insecureSkipTLSVerify").is_none());
        assert_eq!(spec["groupPriorityMinimum"], 100);
        // The HPA controller takes the first version.
        assert_eq!(spec["versionPriority"], if version == "v1beta2" { 200 } else { 100 });
    }
}

fn volumes_are_there(objects: &[Value], pod: &Value) {
    let exists = |wanted: &str, kind: &str| {
        objects.iter().any(|object| object["kind"] == kind && name(object) == wanted)
    };
    for volume in pod["spec"]["volumes"].as_array().unwrap() {
        if let Some(secret) = volume["secret"]["secretName"].as_str() {
            let made = objects.iter().any(|object| object["spec"]["secretName"] == secret);
            assert!(made || exists(secret, "Secret"), "no Secret {secret}");
        }
    }
}

#[test]
fn the_base_fits_itself_and_the_program() {
    agree(&resources("manifests/base"));
}

#[test]
fn every_command_of_the_guide_to_certificates_is_one() {
    let guide = text("certs/README.md");
    let commands: Vec<_> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with("plimsoll "))
        .collect();
    assert_eq!(commands.len(), 3);
    for command in commands {
        let parsed = cli::parse(command.split(' ').map(str::to_owned));
        assert!(matches!(parsed, Ok(Program::Certs(_))), "{command}: {parsed:?}");
    }
}

#[test]
fn every_version_that_the_program_serves_is_registered() {
    let mut objects = resources("manifests/base");
    objects.extend(resources("manifests/components/resource-metrics"));
    let mut registered: Vec<_> = kind(&objects, "APIService").into_iter().map(name).collect();
    let mut served: Vec<_> = Group::ALL
        .iter()
        .flat_map(|group| {
            group
                .versions()
                .iter()
                .map(|version| format!("{}.{}", version.version(), group.as_str()))
        })
        .collect();
    registered.sort_unstable();
    served.sort_unstable();
    assert_eq!(registered, served);
}

#[test]
fn the_configuration_of_the_base_loads_and_has_all_kinds_of_metrics() {
    let text = text("manifests/base/config.yaml");
    let config = plimsoll::config::parse("config.yaml", &text).unwrap();
    assert!(!config.rules.is_empty() && !config.external_rules.is_empty());
    assert!(config.resource_rules.is_some());
    assert_eq!(config.warnings, Vec::<String>::new());
    let objects = resources("manifests/base");
    let deployment = the(&objects, "Deployment");
    let volume = &deployment["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"];
    let generator = &document("manifests/base/kustomization.yaml")["configMapGenerator"][0];
    assert_eq!(*volume, generator["name"]);
    let mount = &deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0];
    let config = parse(&deployment["spec"]["template"]).config.unwrap();
    assert_eq!(config.parent().unwrap().to_str(), mount["mountPath"].as_str());
    assert_eq!(generator["files"][0].as_str(), config.file_name().unwrap().to_str());
}

#[test]
fn prometheus_may_be_reached_where_the_flag_says_it_is() {
    let objects = resources("manifests/base");
    let pod = &the(&objects, "Deployment")["spec"]["template"];
    let url = url::Url::parse(&parse(pod).prometheus.prometheus_url).unwrap();
    let namespace = url.host_str().unwrap().split('.').nth(1).unwrap().to_owned();
    let peer = json!([{"namespaceSelector": {
        "matchLabels": {"kubernetes.io/metadata.name": namespace}
    }}]);
    let policy = &the(&objects, "NetworkPolicy")["spec"];
    let egress = policy["egress"].as_array().unwrap();
    let port = json!([{"port": url.port().unwrap(), "protocol": "TCP"}]);
    assert!(egress.iter().any(|rule| rule["to"] == peer && rule["ports"] == port));
    // The same Prometheus scrapes.
    assert_eq!(policy["ingress"][2]["from"], peer);
}

#[test]
fn the_pod_has_what_we_ask_of_others() {
    let objects = resources("manifests/base");
    let deployment = &the(&objects, "Deployment")["spec"];
    assert_eq!(deployment["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    assert_eq!(deployment["replicas"], 2);
    assert_eq!(the(&objects, "PodDisruptionBudget")["spec"]["minAvailable"], 1);
    restricted(&deployment["template"]["spec"]);
}

/// The profile `restricted` of the Pod Security Standards, a read-only root and bounds.
pub(super) fn restricted(pod: &Value) {
    let of_pod = &pod["securityContext"];
    for container in pod["containers"].as_array().unwrap() {
        let of_container = &container["securityContext"];
        let setting = |key: &str| of_container.get(key).or_else(|| of_pod.get(key)).cloned();
        assert_eq!(setting("runAsNonRoot"), Some(json!(true)));
        assert_eq!(setting("seccompProfile"), Some(json!({"type": "RuntimeDefault"})));
        assert_ne!(setting("runAsUser"), Some(json!(0)));
        assert_eq!(of_container["allowPrivilegeEscalation"], false);
        assert_eq!(of_container["readOnlyRootFilesystem"], true);
        assert_eq!(of_container["capabilities"], json!({"drop": ["ALL"]}));
        for bound in ["requests", "limits"] {
            for resource in ["cpu", "memory"] {
                assert!(container["resources"][bound][resource].is_string(), "{bound} {resource}");
            }
        }
    }
}
