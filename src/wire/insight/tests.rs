use super::*;
use crate::wire::negotiate::TableVersion;
use crate::wire::table::{self, IncludeObject};

const NOW: Seconds = Seconds(1_790_000_060);

fn decision(history: bool) -> Decision {
    let latest = Record {
        time: Seconds(1_790_000_045),
        pods: 4,
        replicas: 5,
        action: "Up".to_owned(),
        reason: "cpu 0.96 is above 0.8".to_owned(),
        confidence: 0.9,
        inputs: Inputs(vec![("cpu".to_owned(), 0.96), ("memory".to_owned(), 0.5)]),
    };
    Decision {
        metadata: Metadata {
            name: "checkout.replicas_wanted".to_owned(),
            namespace: "shop".to_owned(),
            creation_timestamp: Seconds(1_790_000_000),
        },
        spec: Spec {
            metric: "replicas_wanted".to_owned(),
            target: Target {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                name: "checkout".to_owned(),
            },
        },
        status: Status { history: if history { vec![latest.clone()] } else { vec![] }, latest },
    }
}

const METADATA: &str = r#""metadata":{"name":"checkout.replicas_wanted","namespace":"shop","creationTimestamp":"2026-09-21T14:13:20Z"}"#;
const SPEC: &str = r#""spec":{"metric":"replicas_wanted","target":{"apiVersion":"apps/v1","kind":"Deployment","name":"checkout"}}"#;
const RECORD: &str = r#""time":"2026-09-21T14:14:05Z","pods":4,"replicas":5,"action":"Up","reason":"cpu 0.96 is above 0.8","confidence":0.9,"inputs":{"cpu":0.96,"memory":0.5}"#;

#[test]
fn one_decision_says_what_it_is_and_has_its_history() {
    assert_eq!(
        object(Form::Json, &decision(true)),
        format!(
            r#"{{"kind":"Decision","apiVersion":"insight.plimsoll.dev/v1alpha1",{METADATA},{SPEC},"status":{{{RECORD},"history":[{{{RECORD}}}]}}}}"#
        ) + "\n"
    );
}

#[test]
fn a_list_has_what_holds_now() {
    assert_eq!(
        list(Form::Json, &[decision(false)]),
        format!(
            r#"{{"kind":"DecisionList","apiVersion":"insight.plimsoll.dev/v1alpha1","metadata":{{}},"items":[{{{METADATA},{SPEC},"status":{{{RECORD}}}}}]}}"#
        ) + "\n"
    );
}

#[test]
fn a_row_of_the_table_says_why() {
    let rows = |include| {
        let items = [decision(false)];
        let table = table::decisions(Form::Json, TableVersion::V1, include, &items, NOW);
        let table: serde_json::Value = serde_json::from_slice(&table).unwrap();
        table["rows"].to_string()
    };
    let cells = r#""cells":["checkout.replicas_wanted","Deployment/checkout","4","5","Up","cpu 0.96 is above 0.8","0.9","15s"]"#;
    assert_eq!(rows(IncludeObject::None), format!("[{{{cells}}}]"));
    let metadata: serde_json::Value = serde_json::from_str(&format!("{{{METADATA}}}")).unwrap();
    let metadata = &metadata["metadata"];
    assert_eq!(
        rows(IncludeObject::Metadata),
        format!(
            r#"[{{{cells},"object":{{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{metadata}}}}}]"#
        )
    );
}
