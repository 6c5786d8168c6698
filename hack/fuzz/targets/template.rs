//! Rule templates: rendering stays within its bound and is the same each time, and text without
//! actions renders as it is.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use plimsoll::promql::template::{Fields, MAX_OUTPUT, QueryArguments, Template};

fuzz_target!(|text: &str| {
    let arguments = QueryArguments {
        series: "http_requests_total".to_owned(),
        label_matchers: r#"namespace="shop",pod=~"web-0|web-1""#.to_owned(),
        label_values_by_name: BTreeMap::from([
            ("namespace".to_owned(), "shop".to_owned()),
            ("pod".to_owned(), "web-0|web-1".to_owned()),
        ]),
        group_by: "pod".to_owned(),
        group_by_slice: vec!["pod".to_owned()],
    };
    if let Ok(template) = Template::compile(text, Fields::Query) {
        let rendered = template.render(&arguments);
        assert_eq!(rendered, template.render(&arguments));
        check(text, rendered.ok());
    }
    if let Ok(template) = Template::compile(text, Fields::Resource) {
        check(text, template.render_resource("apps", "deployment").ok());
    }
});

fn check(text: &str, rendered: Option<String>) {
    if let Some(rendered) = &rendered {
        assert!(rendered.len() <= MAX_OUTPUT);
    }
    if !text.contains("<<") {
        assert_eq!(rendered.as_deref(), Some(text));
    }
}
