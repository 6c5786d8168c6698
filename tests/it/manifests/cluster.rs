//! A real API server takes what we ship, and lets our account do what it needs and no more.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::chart::render;
use super::files::repository;
use crate::support::control_plane::ControlPlane;

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
    let plane = ControlPlane::start(test).await;
    if plane.is_none() {
        println!("(setup-envtest use -p path prints a directory with them, a kind node has them)");
    }
    plane
}

#[tokio::test]
async fn a_real_api_server_takes_the_base_the_chart_and_the_examples() {
    let Some(plane) = control_plane("applying the manifests").await else { return };
    let kubeconfig = plane.kubeconfig();
    let kubectl = Kubectl { kubeconfig: &kubeconfig };
    let base = repository("manifests/base");
    let base = base.to_str().unwrap();
    kubectl.run(&["apply", "-k", base]);
    kubectl.run(&["apply", "-k", base, "--dry-run=server"]);
    our_account_may_do_what_it_needs(&kubectl);
    what_the_program_writes_survives_the_next_apply(&kubectl, base);
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
        "list secrets/plimsoll-certs -n plimsoll",
        "patch secrets/plimsoll-certs -n plimsoll",
        "patch leases.coordination.k8s.io/plimsoll -n plimsoll",
        "patch apiservices.apiregistration.k8s.io/v1beta1.custom.metrics.k8s.io",
        "patch apiservices.apiregistration.k8s.io/v1beta2.custom.metrics.k8s.io",
        "patch apiservices.apiregistration.k8s.io/v1beta1.external.metrics.k8s.io",
    ];
    let kept = [
        "list secrets -n plimsoll",
        "create secrets -n plimsoll",
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

fn what_the_program_writes_survives_the_next_apply(kubectl: &Kubectl<'_>, base: &str) {
    let authority = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("ca.pem");
    fs::write(&bundle, authority.cert.pem()).unwrap();
    // kubectl encodes files in base64 for Secrets alone, so the Secret makes the bundle.
    let from_file = format!("--from-file=ca={}", bundle.display());
    let secret = ["create", "secret", "generic", "any", &from_file, "--dry-run=client"];
    let encoded = kubectl.run(&[secret.as_slice(), &["-o=jsonpath={.data.ca}"]].concat());
    let api_service = "v1beta1.custom.metrics.k8s.io";
    let patch = format!(
        "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata:\n  name: {api_service}\n\
         spec:\n  caBundle: {encoded}\n"
    );
    let file = directory.path().join("apiservice.yaml");
    fs::write(&file, patch).unwrap();
    let file = file.to_str().unwrap();
    let us = "--as=system:serviceaccount:plimsoll:plimsoll";
    // Not through run(): kubectl, unlike us, warns that it did not create the object.
    let applied =
        kubectl.output(&[us, "apply", "--server-side", "--field-manager=plimsoll", "-f", file]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let data = r#"{"data":{"tls.crt":"eA=="}}"#;
    kubectl.run(&[us, "patch", "secret", "plimsoll-certs", "-n=plimsoll", "-p", data]);
    kubectl.run(&["apply", "-k", base]);
    let bundle = ["get", "apiservice", api_service, "-o=jsonpath={.spec.caBundle}"];
    assert_eq!(kubectl.run(&bundle), encoded);
    let secret = ["get", "secret", "plimsoll-certs", "-n=plimsoll", "-o=jsonpath={.data}"];
    assert_eq!(kubectl.run(&secret), r#"{"tls.crt":"eA=="}"#);
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
