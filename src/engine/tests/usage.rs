//! What nodes and pods use, by `resourceRules`.

use super::*;
use crate::engine::demand::UsageDemand;
use crate::model::quantity::Milli;

const RULES: &str = "
resourceRules:
  cpu: &rule
    containerQuery: cpu{<<.LabelMatchers>>} by (<<.GroupBy>>)
    nodeQuery: node_cpu{<<.LabelMatchers>>}
    containerLabel: container
    resources: {template: <<.Resource>>}
  memory:
    <<: *rule
    containerQuery: memory{<<.LabelMatchers>>} by (<<.GroupBy>>)
    nodeQuery: node_memory{<<.LabelMatchers>>}
  window: 3m
";
const CPU: &str = r#"cpu{namespace="shop",pod=~".+"} by (pod,container)"#;
const MEMORY: &str = r#"memory{namespace="shop",pod=~".+"} by (pod,container)"#;

fn engine_of(inventory: FakeInventory) -> FakeEngine {
    engine_with(inventory, RULES, Duration::ZERO)
}

fn pods_of(namespace: Option<&str>) -> Demand {
    Demand::Usage(UsageDemand::Pods { namespace: namespace.map(str::to_owned) })
}

fn container(pod: &str, container: &str, value: f64) -> Sample {
    sample(&[("pod", pod), ("container", container)], value)
}

/// `namespace/name container cpu memory` of each container.
async fn usage(engine: &FakeEngine, demand: &Demand) -> Result<Vec<String>, Error> {
    let evaluation = engine.answer(demand).await?;
    let Answer::Usage(answer) = &evaluation.answer else { panic!("{evaluation:?}") };
    assert_eq!(answer.window, Duration::from_mins(3));
    let lines = answer.objects.iter().flat_map(|object| {
        object.containers.iter().map(move |container| {
            let (Milli(cpu), Milli(memory)) = (container.cpu, container.memory);
            format!("{}/{} {} {cpu} {memory}", object.namespace, object.name, container.name)
        })
    });
    Ok(lines.collect())
}

#[tokio::test]
async fn both_resources_are_joined_by_pod_and_container() {
    let engine = engine_of(FakeInventory::default());
    let backend = engine.backend();
    backend.answer(
        CPU,
        vector(&[
            container("web-0", "main", 0.0509),
            container("web-0", "side", f64::NAN),
            container("web-1", "main", -1.0),
            container("no-memory", "main", 1.0),
            container("", "main", 1.0),
            container("infinite", "main", f64::INFINITY),
            aged(&[("pod", "old")], 1.0, 301.0),
        ]),
    );
    let memory = ["web-0", "web-1", "no-cpu", "", "infinite", "old"];
    backend.answer(MEMORY, vector(&memory.map(|pod| container(pod, "main", 4096.0))));
    assert_eq!(
        usage(&engine, &pods_of(Some("shop"))).await.unwrap(),
        ["shop/web-0 main 50 4096000", "shop/web-0 side 0 0", "shop/web-1 main 0 4096000"]
    );
}

#[tokio::test]
async fn the_earliest_sample_says_when() {
    let engine = engine_of(FakeInventory::default());
    let now = Timestamp::now().as_second();
    engine.backend().answer(CPU, vector(&[container("web-0", "main", 1.0)]));
    let old = aged(&[("pod", "web-0"), ("container", "side")], 1.0, 100.0);
    engine.backend().answer(MEMORY, vector(&[container("web-0", "main", 1.0), old]));
    let evaluation = engine.answer(&pods_of(Some("shop"))).await.unwrap();
    let Answer::Usage(answer) = &evaluation.answer else { panic!("{evaluation:?}") };
    let age = now - answer.objects[0].timestamp;
    assert!((98..=100).contains(&age), "{age}");
}

#[tokio::test]
async fn what_exists_is_asked_for_by_name_and_what_does_not_is_left_out() {
    let engine = engine_of(FakeInventory::of(&[("web-0", "web"), ("web-1", "web")]));
    let labels = r#"{namespace="shop",pod=~"web-0|web-1"} by (pod,container)"#;
    for query in [format!("cpu{labels}"), format!("memory{labels}")] {
        let samples = ["web-1", "stranger"].map(|pod| container(pod, "main", 1.0));
        engine.backend().answer(&query, vector(&samples));
    }
    assert_eq!(
        usage(&engine, &pods_of(Some("shop"))).await.unwrap(),
        ["shop/web-1 main 1000 1000"]
    );
    let asked = engine.backend().asked();
    assert_eq!(usage(&engine, &pods_of(Some("empty"))).await.unwrap(), [""; 0]);
    assert_eq!(engine.backend().asked(), asked, "there is nothing to ask for");
}

#[tokio::test]
async fn pods_of_all_namespaces_are_asked_for_at_once() {
    let engine = engine_of(FakeInventory::default());
    let labels = r#"{namespace=~".+",pod=~".+"} by (namespace,pod,container)"#;
    let of = |namespace| sample(&[("namespace", namespace), ("pod", "web-0")], 1.0);
    for query in [format!("cpu{labels}"), format!("memory{labels}")] {
        engine.backend().answer(&query, vector(&[of("shop"), of("bank")]));
    }
    assert_eq!(
        usage(&engine, &pods_of(None)).await.unwrap(),
        ["bank/web-0  1000 1000", "shop/web-0  1000 1000"]
    );
    assert_eq!(engine.backend().asked(), 2);

    engine.backend().answer(&format!("cpu{labels}"), vector(&[container("web-0", "main", 1.0)]));
    assert_eq!(
        message(&engine, &pods_of(None)).await,
        format!(
            "resourceRules.cpu.containerQuery cannot use what Prometheus answered: the sample \
             {{container=\"main\",pod=\"web-0\"}} has no label namespace, which pods of all \
             namespaces need; aggregate `by (<<.GroupBy>>)`, or ask for one namespace (cpu{labels})"
        )
    );
}

#[tokio::test]
async fn nodes_have_one_amount_each() {
    let engine = engine_of(FakeInventory::default());
    let node = |value| vector(&[sample(&[("node", "n1")], value)]);
    engine.backend().answer(r#"node_cpu{node=~".+"}"#, node(1.5));
    engine.backend().answer(r#"node_memory{node=~".+"}"#, node(1_073_741_824.5));
    let nodes = Demand::Usage(UsageDemand::Nodes);
    assert_eq!(usage(&engine, &nodes).await.unwrap(), ["/n1  1500 1073741824500"]);

    let twice = ["a", "b"].map(|cpu| sample(&[("node", "n1"), ("cpu", cpu)], 1.0));
    engine.backend().answer(r#"node_cpu{node=~".+"}"#, vector(&twice));
    assert_eq!(
        message(&engine, &nodes).await,
        "resourceRules.cpu.nodeQuery cannot use what Prometheus answered: there are several \
         values for n1, one of them {cpu=\"b\",node=\"n1\"}; aggregate them with \
         `by (<<.GroupBy>>)` (node_cpu{node=~\".+\"})"
    );
}

#[tokio::test]
async fn a_failing_query_is_an_error_and_not_a_shorter_list() {
    let engine = engine_of(FakeInventory::default());
    engine.backend().answer(CPU, vector(&[container("web-0", "main", 1.0)]));
    engine.backend().answer(MEMORY, Err(failed(Fault::Unreachable("refused".to_owned()))));
    assert_eq!(
        message(&engine, &pods_of(Some("shop"))).await,
        format!(
            "backend default: Prometheus cannot be reached: refused (asked by \
             resourceRules.memory.containerQuery: {MEMORY})"
        )
    );
    let without_rules = super::engine();
    assert_eq!(
        message(&without_rules, &Demand::Usage(UsageDemand::Nodes)).await,
        "no resourceRules are configured"
    );
}
