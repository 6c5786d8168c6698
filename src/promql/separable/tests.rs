use super::*;

/// `M` stands for the matchers of the request, `G` for the groupings, as a template has them.
fn judged(template: &str) -> Result<(), Reason> {
    let single = "namespace=\"s\"";
    let merged = "namespace=~\"s|t\"";
    let render = |matchers: &str, groups: &str| {
        template.replace("{M", &format!("{{{matchers}")).replace("(G", &format!("({groups}"))
    };
    let (one, many) = (render(single, "pod"), render(merged, "namespace,pod"));
    judge(
        Rendering { promql: &one, matchers: single },
        Rendering { promql: &many, matchers: merged },
    )
}

#[test]
fn what_treats_each_series_or_group_by_itself_is_separable() {
    let templates = [
        "x{M}",
        "x{M,a=\"b\",namespace!=\"kube-system\"}",
        "sum(rate(x{M}[5m])) by (G)",
        "sum by (G) (rate(x{M}[5m] offset 1h)) / sum by (G) (rate(y{M}[5m] @ 5))",
        "max_over_time(sum by (G) (rate(x{M}[1m]))[10m:1m])",
        "histogram_quantile(0.9, sum by (le, pod, namespace) (rate(x{M}[1m])))",
        "histogram_quantile(0.9, sum by (G, le) (rate(x{M}[1m])))",
        "sum without (instance) (x{M})",
        "topk by (G) (3, x{M})",
        "quantile by (G) (scalar(q), x{M})",
        "count_values by (G) (\"v\", x{M})",
        "-(clamp_min(x{M}, 0) * 100 + time()) > 5",
        "5 > bool x{M}",
        "label_replace(x{M}, \"a\", \"$1\", \"namespace\", \"(.*)\")",
        "label_replace(sum by (G) (x{M}), \"a\", \"$1\", \"pod\", \"(.*)\")",
        "x{M} / on (G) y{M}",
        "sum by (G) (x{M}) / on (G) group_left (a) y{M}",
        "x{M} * ignoring (a) group_right y{M}",
        "x{M} and y{M} unless on (G) z{M} or x{M}",
        // A join with what does not look at the request.
        "sum by (G) (x{M} * on (pod) group_left (node) kube_pod_info)",
        "sum by (G) (kube_pod_info * on (pod) group_right (node) x{M})",
        "x{M} * on (namespace, pod) kube_pod_info",
        "kube_pod_labels{a=\"b\"} and on (namespace, pod) x{M}",
        "x{M} and on (pod) kube_pod_info",
        "x{M} unless on (pod) kube_pod_info",
        "x{M} / scalar(sum(kube_node_info))",
        "x{M} + on (namespace) group_left sum by (namespace) (y)",
    ];
    for template in templates {
        assert_eq!(judged(template), Ok(()), "{template}");
    }
}

#[test]
fn what_mixes_series_is_not() {
    let templates = [
        ("sum(x{M})", What::Aggregates),
        ("sum by (pod) (x{M})", What::Aggregates),
        ("sum without (namespace) (x{M})", What::Aggregates),
        ("topk(5, x{M})", What::Aggregates),
        ("limitk by (G) (5, x{M})", What::Unknown),
        ("count_values by (G) (\"namespace\", x{M})", What::Rewrites),
        ("label_replace(x{M}, \"namespace\", \"a\", \"b\", \"c\")", What::Rewrites),
        ("label_join(x{M}, \"namespace\", \"-\", \"b\", \"c\")", What::Rewrites),
        ("label_join(sum by (G) (x{M}), \"a\", \"-\", \"b\", \"namespace\")", What::Rewrites),
        ("absent(x{M})", What::Fills),
        ("absent_over_time(x{M}[5m])", What::Fills),
        ("x{M} / scalar(y{M})", What::Fills),
        ("vector(scalar(x{M}))", What::Fills),
        ("sum by (G) (x{M}) or vector(0)", What::Fills),
        ("kube_pod_info or x{M}", What::Fills),
        ("kube_pod_info unless x{M}", What::Fills),
        ("kube_pod_info and on (pod) x{M}", What::Matches),
        ("x{M} / on (pod) y{M}", What::Matches),
        ("x{M} / ignoring (namespace) y{M}", What::Matches),
        ("x{M} * on (pod) group_left y{M}", What::Matches),
        ("x{M} and on (pod) y{M}", What::Matches),
        ("x{M} * on (pod) kube_pod_info", What::Matches),
        ("x{M} * on (pod) group_right kube_pod_info", What::Matches),
        ("x{M} * on (G) group_left kube_pod_info", What::Matches),
        ("sum by (G) (x{M}) * on (namespace, pod) kube_pod_info", What::Matches),
        ("x{M} / sum by (G) (y{M})", What::Matches),
        ("x{M} * on (pod) group_left (namespace) kube_pod_info", What::Rewrites),
        ("x{M} + ignoring (G) y{M}", What::Matches),
        ("info(x{M})", What::Unknown),
        ("kube_pod_info", What::Ignores),
        ("vector(1)", What::Ignores),
    ];
    for (template, wanted) in templates {
        let Err(Reason::Mixes { what, label, .. }) = judged(template) else {
            panic!("{template}: {:?}", judged(template));
        };
        assert_eq!((what, label.as_str()), (wanted, "namespace"), "{template}");
    }
}

#[test]
fn queries_that_differ_elsewhere_or_cannot_be_read_are_not_merged() {
    let (single, merged) = ("namespace=\"s\"", "namespace=~\"s|t\"");
    let judge = |one, many| {
        let rendering = |promql, matchers| Rendering { promql, matchers };
        judge(rendering(one, single), rendering(many, merged)).map_err(|reason| reason.to_string())
    };
    let cases = [
        ("x{namespace=\"s\"}", "y{namespace=~\"s|t\"}", "depends"),
        ("x{namespace=\"s\"}[1m]", "x{namespace=~\"s|t\"}[2m]", "depends"),
        ("x{namespace=\"s\"} * 1", "x{namespace=~\"s|t\"} * 2", "depends"),
        ("x{namespace=\"s\"} + 1", "x{namespace=~\"s|t\"} - 1", "depends"),
        ("x{namespace=\"s\"}", "x{namespace=\"s\"}", "depends"),
        ("x{namespace=\"t\"}", "x{namespace=~\"s|t\"}", "depends"),
        ("sum by (a) (x{namespace=\"s\"})", "sum by (b) (x{namespace=~\"s|t\"})", "depends"),
        (
            "x{namespace=\"s\"} * on(pod) group_left() sum by (pod) (y)",
            "x{namespace=~\"s|t\"} * on(pod) group_left() sum by (namespace, pod) (y)",
            "depends",
        ),
        ("x{namespace=\"s\"}", "x{namespace=~\"s|t\"", "PromQL"),
    ];
    for (one, many, word) in cases {
        let message = judge(one, many).unwrap_err();
        assert!(message.contains(word), "{many}: {message}");
    }
}

#[test]
fn several_labels_are_merged_as_one() {
    let (single, merged) = ("namespace=\"s\",pod=\"p\"", "namespace=~\"s|t\",pod=~\".+\"");
    let judge = |template: &str, groups: &str| {
        let one = template.replace('M', single).replace('G', "pod");
        let many = template.replace('M', merged).replace('G', groups);
        judge(
            Rendering { promql: &one, matchers: single },
            Rendering { promql: &many, matchers: merged },
        )
    };
    let template = "sum by (G) (rate(x{M}[1m])) / sum by (G) (y{M})";
    assert_eq!(judge(template, "namespace,pod"), Ok(()));
    assert!(judge(template, "pod").is_err());
    assert!(judge(template, "namespace").is_err());
    assert!(judge("topk by (namespace) (1, x{M})", "namespace,pod").is_err());
}

#[test]
fn matchers_that_tell_nothing_apart_are_refused() {
    let judge = |single, merged| {
        let promql = "x";
        judge(Rendering { promql, matchers: single }, Rendering { promql, matchers: merged })
    };
    for (single, merged) in
        [("a=\"1\"", "b=~\"1|2\""), ("a=\"1\"", "a=~\".*\""), ("a=\"1\"", ""), ("", "a!=\"\"")]
    {
        assert!(!matches!(judge(single, merged), Ok(()) | Err(Reason::Mixes { .. })));
    }
}
