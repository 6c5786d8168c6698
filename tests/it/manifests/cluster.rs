//! A real API server takes what we ship, and lets our account do what it needs and no more.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use k8s_openapi::ByteString;

use super::chart::render;
use super::files::{repository, text};
use crate::support::control_plane::{Authorities, ControlPlane, Ways};
use crate::support::pki::Authority;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::FakePrometheus;

/// The APIServices of the base.
const API_SERVICES: [&str; 4] = [
    "v1beta1.custom.metrics.k8s.io",
    "v1beta2.custom.metrics.k8s.io",
    "v1beta1.external.metrics.k8s.io",
    "v1alpha1.insight.plimsoll.dev",
];
const BUNDLE: &str = "{.spec.caBundle}";

/// kubectl against a cluster.
struct Kubectl<'a> {
    kubeconfig: &'a Path,
}

impl Kubectl<'_> {
    fn output(&self, arguments: &[&str]) -> Output {
        Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.kubeconfig)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// What is printed; a failure or a warning, such as one about Pod Security, ends the test.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether our account may do this.
    fn may(&self, question: &str) -> bool {
        let account = ["--as=system:serviceaccount:plimsoll:plimsoll", "auth", "can-i", "--quiet"];
        let question: Vec<_> = question.split(' ').collect();
        self.output(&[account.as_slice(), &question].concat()).status.success()
    }
}

/// A control plane and the line of a skip where there is none, or no kubectl.
async fn control_plane(test: &str) -> Option<ControlPlane> {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        println!("skipped: {test} needs kubectl");
        return None;
    }
    let (front_proxy, users) = (Authority::new(), Authority::new());
    let authorities = Authorities { front_proxy: &front_proxy, users: &users };
    let plane = ControlPlane::start_whole(test, authorities, Ways::default()).await;
    if plane.is_none() {
        println!("(setup-envtest use -p path prints a directory with them, a kind node has them)");
    }
    plane
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_takes_the_base_the_chart_and_the_examples() {
    let Some(plane) = control_plane("applying the manifests").await else { return };
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    fs::write(kubeconfig.path(), plane.kubeconfig("lab")).unwrap();
    let kubectl = Kubectl { kubeconfig: kubeconfig.path() };
    let base = repository("manifests/base");
    let base = base.to_str().unwrap();
    kubectl.run(&["apply", "-k", base]);
    kubectl.run(&["apply", "-k", base, "--dry-run=server"]);
    // A controller merges the role of the objects.
    wait_until("our account may look at pods", async || kubectl.may("watch pods -A")).await;
    our_account_may_do_what_it_needs(&kubectl);
    the_program_runs_with_our_account_and_the_next_apply_keeps_what_it_wrote(
        &plane, &kubectl, base,
    )
    .await;
    let examples = repository("manifests/examples");
    kubectl.run(&["apply", "-k", examples.to_str().unwrap()]);
    for hpa in ["hpa-object.yaml", "hpa-external.yaml"] {
        let file = examples.join(hpa);
        kubectl.run(&[
            "apply",
            "--namespace=shop",
            "--dry-run=server",
            "-f",
            file.to_str().unwrap(),
        ]);
    }
    // Everything must be gone before the chart can bring it under the same names.
    kubectl.run(&["delete", "--wait=false", "-k", base]);
    chart(&kubectl);
}

fn our_account_may_do_what_it_needs(kubectl: &Kubectl<'_>) {
    let needed = [
        "create tokenreviews.authentication.k8s.io",
        "create subjectaccessreviews.authorization.k8s.io",
        "watch configmaps/extension-apiserver-authentication -n kube-system",
        "watch customresourcedefinitions.apiextensions.k8s.io",
        "watch horizontalpodautoscalers.autoscaling -A",
        "create events.events.k8s.io -A",
        "patch events.events.k8s.io -A",
        "watch limitranges -A",
        "watch controllerrevisions.apps -A",
        "watch deployments.apps -A",
        "watch namespaces",
        "watch secrets/plimsoll-certificates -n plimsoll",
        "create secrets/plimsoll-certificates -n plimsoll",
        "patch secrets/plimsoll-certificates -n plimsoll",
        "create leases.coordination.k8s.io/plimsoll -n plimsoll",
        "update leases.coordination.k8s.io/plimsoll -n plimsoll",
        "patch apiservices.apiregistration.k8s.io/v1beta1.custom.metrics.k8s.io",
        "patch apiservices.apiregistration.k8s.io/v1beta2.custom.metrics.k8s.io",
        "patch apiservices.apiregistration.k8s.io/v1beta1.external.metrics.k8s.io",
    ];
    let kept = [
        "update horizontalpodautoscalers.autoscaling -A",
        "list events.events.k8s.io -A",
        "list secrets -n plimsoll",
        "create secrets -n plimsoll",
        "create secrets/another -n plimsoll",
        "create leases.coordination.k8s.io -n plimsoll",
        "list secrets -A",
        "list configmaps -n kube-system",
        "patch apiservices.apiregistration.k8s.io/v1beta1.metrics.k8s.io",
        "delete apiservices.apiregistration.k8s.io/v1beta1.custom.metrics.k8s.io",
        "create pods -n plimsoll",
        "patch deployments.apps -A",
        "get pods.custom.metrics.k8s.io -n plimsoll",
        "impersonate users",
    ];
    let allowed = |questions: &[&'static str]| -> Vec<&'static str> {
        questions.iter().copied().filter(|question| kubectl.may(question)).collect()
    };
    assert_eq!(allowed(&needed), needed);
    assert_eq!(allowed(&kept), [""; 0]);
}

async fn the_program_runs_with_our_account_and_the_next_apply_keeps_what_it_wrote(
    plane: &ControlPlane,
    kubectl: &Kubectl<'_>,
    base: &str,
) {
    let token = kubectl.run(&["create", "token", "plimsoll", "--namespace=plimsoll"]);
    let prometheus = FakePrometheus::start().await;
    let mut plimsoll = Plimsoll::start_unready(&Start {
        config: &text("manifests/base/config.yaml"),
        prometheus: prometheus.url().as_str(),
        kubeconfig: &plane.kubeconfig(token.trim()),
        flags: &["--certificate-secret=plimsoll/plimsoll-certificates"],
        ..Start::default()
    });
    let field = |object: &str, path: &str| {
        let path = format!("-o=jsonpath={path}");
        // It may not be there yet.
        let output = kubectl.output(&["get", object, &path, "--namespace=plimsoll"]);
        String::from_utf8(output.stdout).unwrap()
    };
    let bundles = || API_SERVICES.map(|name| field(&format!("apiservice/{name}"), BUNDLE));
    let written = async || {
        let [first, others @ ..] = bundles();
        !first.is_empty() && others.iter().all(|other| *other == first)
    };
    wait_until("the CA is in all APIServices", written).await;
    let serving = || field("secret/plimsoll-certificates", r"{.data.tls\.crt}");
    wait_until("the certificate is made", async || !serving().is_empty()).await;
    let listed = kubectl.run(&["get", "apiservices"]);
    let ours = listed.lines().filter(|line| line.contains("plimsoll/plimsoll"));
    assert_eq!(ours.count(), API_SERVICES.len(), "{listed}");
    assert_ne!(field("lease/plimsoll", "{.spec.holderIdentity}"), "");
    let authority = a_ca_of_the_operator(kubectl);
    let trusted = async || bundles().iter().all(|bundle| decoded(bundle).contains(&authority));
    wait_until("the operator's CA is in all APIServices", trusted).await;
    plimsoll.terminate();
    plimsoll.end().await;
    let log = plimsoll.log();
    let denied: Vec<_> = log.iter().filter(|line| line.to_string().contains("forbidden")).collect();
    assert!(denied.is_empty(), "{denied:?}");

    let before = (bundles(), serving());
    kubectl.run(&["apply", "-k", base]);
    assert_eq!((bundles(), serving()), before);
}

/// Puts one into the Secret, as certs/README.md says; its certificate.
fn a_ca_of_the_operator(kubectl: &Kubectl<'_>) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut issue = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    issue.args(["certs", "issue", "--name=any", "--dir", &path("")]);
    assert!(issue.output().unwrap().status.success());
    let [certificate, key] =
        ["ca.crt", "ca.key"].map(|name| format!("--from-file={name}={}", path(name)));
    let create = ["create", "secret", "generic", "plimsoll-certificates", "--namespace=plimsoll"];
    let dry = [&certificate, &key, "--dry-run=client", "--output=yaml"];
    fs::write(path("secret.yaml"), kubectl.run(&[create.as_slice(), &dry].concat())).unwrap();
    let secret = path("secret.yaml");
    kubectl.run(&["apply", "--server-side", "--force-conflicts", "-f", &secret]);
    fs::read_to_string(path("ca.crt")).unwrap()
}

/// The text that a field of bytes holds.
fn decoded(field: &str) -> String {
    let ByteString(bytes) = serde_json::from_value(field.into()).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn chart(kubectl: &Kubectl<'_>) {
    let values = repository("manifests/chart/ci/prometheus-adapter-values.yaml");
    let values = format!("--values={}", values.display());
    let directory = tempfile::tempdir().unwrap();
    kubectl.run(&["create", "namespace", "charted"]);
    let pair = rcgen::generate_simple_self_signed(["plimsoll".to_owned()]).unwrap();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| directory.path().join(name));
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let [certificate, key] = [certificate.display(), key.display()];
    let tls =
        format!("--set-file=tls.ca={certificate},tls.certificate={certificate},tls.key={key}");
    let choices: [&[&str]; 2] =
        [&["--set=namespaceOverride=charted,apiServices.external=true"], &[&values, &tls]];
    for flags in choices {
        let Some(objects) = render(flags) else { return };
        for (index, mut object) in objects.into_iter().enumerate() {
            let file = directory.path().join(format!("{index}.json"));
            // Helm puts objects without a namespace into the release's.
            if object["metadata"]["name"] == "plimsoll-extra" {
                object["metadata"]["namespace"] = "charted".into();
            }
            fs::write(&file, object.to_string()).unwrap();
            kubectl.run(&["create", "--dry-run=server", "-f", file.to_str().unwrap()]);
        }
    }
}
