//! What Plimsoll may do, and nothing more.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::files::{kind, name, resources, strings, the};

/// That bindings lead from our account to roles that exist, and that the rights end where they
/// should.
pub(super) fn agree(objects: &[Value]) {
    bindings_lead_somewhere(objects);
    rights_are_bounded(objects);
    the_ca_may_be_published_where_we_are_registered(objects);
}

fn bindings_lead_somewhere(objects: &[Value]) {
    // Kubernetes' own.
    let bootstrap = ["system:auth-delegator", "extension-apiserver-authentication-reader"];
    let account = the(objects, "ServiceAccount");
    for binding in kind(objects, "ClusterRoleBinding").iter().chain(&kind(objects, "RoleBinding")) {
        let role = binding["roleRef"]["name"].as_str().unwrap();
        let of_kind = kind(objects, binding["roleRef"]["kind"].as_str().unwrap());
        let exists = of_kind.into_iter().any(|found| name(found) == role);
        assert!(exists || bootstrap.contains(&role), "{} leads to {role}", name(binding));
        let subject = &binding["subjects"][0];
        if subject["namespace"] == "kube-system" {
            assert_eq!(subject["name"], "horizontal-pod-autoscaler");
        } else {
            assert_eq!(subject["name"], account["metadata"]["name"]);
            assert_eq!(subject["namespace"], account["metadata"]["namespace"]);
        }
    }
    let pod = &the(objects, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    assert_eq!(pod["automountServiceAccountToken"], true);
}

/// What may be written of any name: what is wrong with an autoscaler, and the state of our own
/// kinds.
const REPORTS: [&str; 2] = [
    r#"{"apiGroups":["events.k8s.io"],"resources":["events"],"verbs":["create","patch"]}"#,
    r#"{"apiGroups":["plimsoll.dev"],"resources":["clustersignals/status","exemptions/status","signals/status"],"verbs":["patch"]}"#,
];

/// What else may be written has a name, and nobody's Secrets are read. What people get by the roles
/// that Kubernetes has for them is not ours.
fn rights_are_bounded(objects: &[Value]) {
    for role in kind(objects, "ClusterRole").iter().chain(&kind(objects, "Role")) {
        let labels = role["metadata"]["labels"].as_object();
        let is_of_people = labels.is_some_and(|labels| {
            labels.contains_key("rbac.authorization.k8s.io/aggregate-to-edit")
        });
        if is_of_people {
            let bindings = kind(objects, "ClusterRoleBinding");
            assert!(bindings.iter().all(|it| it["roleRef"]["name"].as_str() != Some(name(role))));
            continue;
        }
        for rule in role["rules"].as_array().into_iter().flatten() {
            let verbs: BTreeSet<_> = strings(&rule["verbs"]).into_iter().collect();
            let reads = verbs.is_subset(&BTreeSet::from(["get", "list", "watch"]));
            let resources = strings(&rule["resources"]);
            let own_groups =
                strings(&rule["apiGroups"]).iter().all(|group| group.ends_with("metrics.k8s.io"));
            let named = !strings(&rule["resourceNames"]).is_empty();
            let reports = REPORTS.contains(&rule.to_string().as_str());
            assert!(reads || named || reports, "{}: {rule}", name(role));
            assert!(!verbs.contains("*"), "{}", name(role));
            assert!(own_groups || !resources.contains(&"*"), "{}: {rule}", name(role));
            for kept in ["secrets", "configmaps"] {
                assert!(named || !resources.contains(&kept), "{}: {rule}", name(role));
            }
        }
    }
}

fn the_ca_may_be_published_where_we_are_registered(objects: &[Value]) {
    let mut registered: Vec<_> = kind(objects, "APIService").into_iter().map(name).collect();
    let mut patched: Vec<_> = kind(objects, "ClusterRole")
        .iter()
        .flat_map(|role| role["rules"].as_array().into_iter().flatten())
        .filter(|rule| rule["resources"] == json!(["apiservices"]))
        .inspect(|rule| assert_eq!(rule["verbs"], json!(["get", "patch"])))
        .flat_map(|rule| strings(&rule["resourceNames"]))
        .collect();
    let roles = kind(objects, "Role");
    let Some(role) = roles.iter().find(|role| name(role).ends_with("-certificates")) else {
        assert!(patched.is_empty(), "certificates are not ours, and yet {patched:?}");
        return;
    };
    registered.sort_unstable();
    patched.sort_unstable();
    assert_eq!(patched, registered);
    let service = the(objects, "Service");
    let namespace = service["metadata"]["namespace"].as_str().unwrap();
    assert_eq!(role["metadata"]["namespace"], namespace);
    // What the program takes where no flag says otherwise.
    let default = |name: &str| format!("{namespace}/{name}").parse().unwrap();
    let serving = super::deployment::parse(&the(objects, "Deployment")["spec"]["template"]).serving;
    let secret = serving.certificate_secret.unwrap_or_else(|| default("plimsoll-certificates"));
    let lease = serving.service.unwrap_or_else(|| default("plimsoll"));
    assert_eq!((&lease.namespace, &secret.namespace), (&secret.namespace, &namespace.to_owned()));
    assert_eq!(service["metadata"]["name"], lease.name);
    assert_eq!(
        role["rules"],
        json!([
            {
                "apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret.name],
                "verbs": ["get", "list", "watch", "create", "patch"],
            },
            {
                "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                "resourceNames": [lease.name], "verbs": ["get", "create", "update"],
            },
        ])
    );
}

#[test]
fn the_base_gives_the_rights_that_are_needed_and_no_others() {
    agree(&resources("manifests/base"));
}

#[test]
fn the_kinds_of_objects_are_merged_from_labelled_roles() {
    let objects = resources("manifests/base");
    let roles = kind(&objects, "ClusterRole");
    let merged = roles.iter().find(|role| name(role) == "plimsoll-objects").unwrap();
    let selector = merged["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"].clone();
    assert!(merged.get("rules").is_none(), "applying would empty what the control plane merged");
    let labelled: Vec<_> = roles
        .iter()
        .filter(|role| {
            let labels = role["metadata"]["labels"].as_object().unwrap();
            selector.as_object().unwrap().iter().all(|(key, value)| labels.get(key) == Some(value))
        })
        .map(|role| name(role))
        .collect();
    assert_eq!(labelled, ["plimsoll-objects-builtin"]);
}
