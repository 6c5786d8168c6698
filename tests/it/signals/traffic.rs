//! Counters, histograms and gauges of known traffic, as a scrape every 15 seconds saw them.

use std::fmt::Write as _;

/// The moment of the evaluation, at which there is a scrape.
pub(super) const NOW: i64 = 1_700_000_000;
const SCRAPE: usize = 15;

/// The bounds of the histograms.
const BOUNDS: [&str; 4] = ["0.1", "0.5", "1", "+Inf"];

/// All series in the `OpenMetrics` text form.
pub(super) fn data() -> String {
    let mut text = String::from("# TYPE http_requests counter\n");
    let mut requests = |pod: &str, code: &str, span: [i32; 2], value: &dyn Fn(f64) -> f64| {
        let name =
            format!("http_requests_total{{namespace=\"shop\",pod=\"{pod}\",code=\"{code}\"}}");
        series(&mut text, &name, span, value);
    };
    let always = [-300, 0];
    requests("web-1", "200", always, &|at| 5000.0 + 10.0 * at);
    requests("web-1", "500", always, &|at| 500.0 + 0.5 * at);
    // It starts from zero in the middle of the window.
    requests("web-2", "200", always, &|at| {
        if at <= -60.0 { 20.0 * (at + 900.0) } else { 20.0 * (at + 60.0) }
    });
    requests("new", "200", [-45, 0], &|at| 10.0 * (at + 45.0));
    requests("dead", "200", [-300, -60], &|at| 9000.0 + 8.0 * at);
    requests("idle", "200", always, &|_| 100.0);
    requests("one", "500", always, &|at| f64::from(u8::from(at >= -30.0)));
    requests("nan", "200", always, &|_| f64::NAN);
    for (pod, rate) in [("a", 3.0), ("b", 4.0)] {
        let name = format!("http_requests_total{{namespace=\"other\",pod=\"{pod}\",code=\"200\"}}");
        series(&mut text, &name, always, &|at| rate * (at + 900.0));
    }
    histograms(&mut text);
    let gauges: [(&str, &str, f64); 4] = [
        ("http_requests_in_flight", "pod=\"web-1\"", 4.0),
        ("http_requests_in_flight", "pod=\"web-2\"", 8.0),
        ("depth", "deployment=\"worker\",queue=\"a\"", 5.0),
        ("depth", "deployment=\"worker\",queue=\"b\"", 7.0),
    ];
    gauge(&mut text, &gauges);
    resources(&mut text);
    text + "# EOF\n"
}

/// What each pod answers per second within 0.1 s, 0.5 s, 1 s and at all, and how long it takes.
fn histograms(text: &mut String) {
    let pods: [(&str, [f64; 4], f64); 4] = [
        ("fast", [6.0, 9.0, 10.0, 10.0], 1.5),
        ("slow", [0.0, 0.0, 10.0, 10.0], 6.5),
        ("infinite", [0.0, 0.0, 0.0, 10.0], 50.0),
        ("still", [0.0; 4], 0.0),
    ];
    text.push_str("# TYPE http_request_duration_seconds histogram\n");
    for (pod, rates, sum) in pods {
        let labels = format!("namespace=\"shop\",pod=\"{pod}\"");
        let mut one = |name: &str, rate: f64| {
            series(text, name, [-300, 0], &|at| rate * (at + 900.0));
        };
        for (bound, rate) in BOUNDS.iter().zip(rates) {
            let name = format!("http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}}");
            one(&name, rate);
        }
        one(&format!("http_request_duration_seconds_count{{{labels}}}"), rates[3]);
        one(&format!("http_request_duration_seconds_sum{{{labels}}}"), sum);
    }
    let blind = "namespace=\"shop\",pod=\"blind\"";
    let name = format!("http_request_duration_seconds_bucket{{{blind},le=\"+Inf\"}}");
    series(text, &name, [-300, 0], &|at| at + 900.0);
}

fn resources(text: &mut String) {
    text.push_str("# TYPE container_cpu_usage_seconds counter\n");
    for (pod, rate) in [("db-0", 0.25), ("db-1", 0.75), ("db-2", 0.1)] {
        for container in ["db", ""] {
            let name = format!(
                "container_cpu_usage_seconds_total{{namespace=\"shop\",pod=\"{pod}\",container=\"{container}\"}}"
            );
            series(text, &name, [-300, 0], &|at| rate * (at + 900.0));
        }
    }
    let db = |pod: &str, resource: &str| {
        format!("pod=\"{pod}\",container=\"db\",resource=\"{resource}\"")
    };
    let asked = "kube_pod_container_resource_requests";
    gauge(text, &[(asked, &db("db-0", "cpu"), 1.0), (asked, &db("db-1", "cpu"), 1.0)]);
    gauge(text, &[("kube_pod_container_resource_limits", &db("db-0", "memory"), 4096.0)]);
    gauge(text, &[("container_memory_working_set_bytes", "pod=\"db-0\",container=\"db\"", 1024.0)]);
}

fn gauge(text: &mut String, series_of_name: &[(&str, &str, f64)]) {
    let mut last = "";
    for (name, labels, value) in series_of_name {
        if last != *name {
            writeln!(text, "# TYPE {name} gauge").unwrap();
            last = name;
        }
        series(text, &format!("{name}{{namespace=\"shop\",{labels}}}"), [-300, 0], &|_| *value);
    }
}

fn series(text: &mut String, name: &str, span: [i32; 2], value: &dyn Fn(f64) -> f64) {
    series_at(text, NOW, name, span, value);
}

/// The samples of one series from so many seconds to so many after a moment.
pub(super) fn series_at(
    text: &mut String,
    moment: i64,
    name: &str,
    [from, to]: [i32; 2],
    value: &dyn Fn(f64) -> f64,
) {
    for at in (from..=to).step_by(SCRAPE) {
        writeln!(text, "{name} {} {}", value(f64::from(at)), moment + i64::from(at)).unwrap();
    }
}
