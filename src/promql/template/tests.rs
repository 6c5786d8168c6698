//! Templates against what Go's own `text/template` (1.26) makes of them.

use proptest::prelude::*;

use super::*;

fn arguments() -> QueryArguments {
    let values = [("pod", "a|b"), ("namespace", "shop"), ("empty", "")];
    QueryArguments {
        series: "http_requests_total".to_owned(),
        label_matchers: r#"namespace="shop",pod=~"a|b""#.to_owned(),
        label_values_by_name: values.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        group_by: "pod,container".to_owned(),
        group_by_slice: vec!["pod".to_owned(), "container".to_owned()],
    }
}

fn render(text: &str) -> Result<String, TemplateError> {
    Template::compile(text, Fields::Query)?.render(&arguments())
}

/// The pairs were made by executing each template with Go and the same arguments.
#[test]
fn a_served_template_renders_as_go_renders_it() {
    let cases: Vec<(String, String)> =
        serde_json::from_str(include_str!("../../../tests/data/template/go.json")).unwrap();
    assert!(cases.len() > 40);
    for (template, expected) in cases {
        assert_eq!(render(&template), Ok(expected), "{template}");
    }
}

#[test]
fn what_is_not_served_is_refused_with_its_place() {
    let cases: Vec<(String, String, String)> =
        serde_json::from_str(include_str!("../../../tests/data/template/refused.json")).unwrap();
    assert!(cases.len() > 30);
    for (template, place, message) in cases {
        let error = render(&template).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{place} of the template: {message}")), "{error}");
    }
}

#[test]
fn a_resource_template_sees_group_and_resource_alone() {
    let template = Template::compile("kube_<<.Group>>_<<.Resource>>", Fields::Resource).unwrap();
    assert_eq!(template.render_resource("apps", "deployment").unwrap(), "kube_apps_deployment");
    let error = Template::compile("<<.Series>>", Fields::Resource).unwrap_err().to_string();
    assert!(error.ends_with(".Series is no field: there are .Group and .Resource"), "{error}");
}

#[test]
fn a_template_tells_which_fields_it_looks_at() {
    let template = Template::compile("<<if .GroupBy>><<$.Series>><<end>>", Fields::Query).unwrap();
    let fields = [Field::Series, Field::GroupBy, Field::LabelMatchers, Field::LabelValuesByName];
    assert_eq!(fields.map(|field| template.uses(field)), [true, true, false, false]);
}

#[test]
fn what_only_the_arguments_decide_fails_with_its_place() {
    let cases = [
        ("<<index .GroupBySlice 2>>", "index 2 lies outside of the list, which has 2 items"),
        ("<<index .GroupBySlice -1>>", "index -1 lies outside of the list, which has 2 items"),
        ("<<.LabelValuesByName.none>>", "the query has no label \"none\""),
        ("<<lt .LabelValuesByName.none \"\">>", "the query has no label \"none\""),
    ];
    for (template, message) in cases {
        let error = render(template).unwrap_err().to_string();
        let expected = format!("line 1, column 3 of the template: {message}");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn rendering_ends_at_its_bounds() {
    let long = QueryArguments { series: "x".repeat(MAX_OUTPUT / 2), ..arguments() };
    let template = Template::compile("<<.Series>><<.Series>>!", Fields::Query).unwrap();
    assert_eq!(template.render(&long), Err(TemplateError::TooLong));

    let many = QueryArguments { group_by_slice: vec!["x".to_owned(); 1000], ..arguments() };
    let loops = "<<range .GroupBySlice>><<range $.GroupBySlice>>x<<end>><<end>>";
    let template = Template::compile(loops, Fields::Query).unwrap();
    assert_eq!(template.render(&many), Err(TemplateError::TooManySteps));

    let doubling = "<<$x := .Series>><<range .GroupBySlice>><<$x = print $x $x>><<end>>";
    let error = Template::compile(doubling, Fields::Query).unwrap().render(&many).unwrap_err();
    assert!(error.to_string().contains("print and printf made more than"), "{error}");
}

#[test]
fn nesting_and_length_are_bounded() {
    let deep = format!("<<{}1{}>>", "(".repeat(10_000), ")".repeat(10_000));
    let piped = format!("<<1{}>>", " | not".repeat(5_000));
    let blocks = "<<if 1>>".repeat(8_000);
    let elses = format!("<<if 1>>{}<<end>>", "<<else if 1>>".repeat(4_000));
    let long = "x".repeat(MAX_TEMPLATE + 1);
    for template in [deep, piped, blocks, elses, long] {
        assert!(matches!(render(&template), Err(TemplateError::Refused { .. })));
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_compiler_or_a_template_panic(
        text in "(<<|>>|- | -|\\.Series|\\.GroupBySlice|\\.LabelValuesByName|\\.a|\\$x|\\$|:=|=|,|\
                 \\||\\(|\\)|\"[a%sd\\\\]*\"|`|if|else|end|range|with|index|printf|print|len|and|or|\
                 not|eq|lt|/\\*|\\*/|-?[0-9xX_.]{1,4}|true| |\n|é|\\PC){0,40}",
    ) {
        if let Ok(template) = Template::compile(&text, Fields::Query) {
            let _rendered = template.render(&arguments());
            let _mismatched = template.render_resource("apps", "deployment");
        }
        let _compiled = Template::compile(&text, Fields::Resource);
    }
}

#[test]
fn what_looks_into_a_field_does_more_than_print_it() {
    let only_prints = |text: &str| {
        let template = Template::compile(text, Fields::Query).unwrap();
        template.only_prints(Field::LabelMatchers)
    };
    let texts = [
        "x{<<.LabelMatchers>>}",
        "x{<<$.LabelMatchers>>} <<if .GroupBy>>/ y{<<.LabelMatchers>>}<<end>>",
        "x{<<.LabelMatchers>>}<<if eq .LabelMatchers `a`>>[5m]<<end>>",
        "<<with .LabelMatchers>>x{<<.>>}<<end>>",
        "<<$m := .LabelMatchers>>x{<<$m>>}",
        "x{<<printf `%s` .LabelMatchers>>}",
        "<<range .GroupBySlice>>x{<<print . $.LabelMatchers>>}<<end>>",
        "x",
    ];
    assert_eq!(texts.map(only_prints), [true, true, false, false, false, false, false, false]);
}
