use super::*;
#[test]
fn probe() {
    for text in ["", "# only\n", "rules:\n", "rules:\n- \n- {}\n- seriesQuery: a\n  name:\n  resources: ~\n", "foo: 1", "rules: []\nrules: []", "rules:\n- seriesQuery: {a: b}", "rules:\n- name: {as: 1, matches: yes}\n  seriesQuery: 010", "rules:\n  - a\n bad: [", "rules:\n- name: {foo: 1}", "rules:\n- resources:\n    overrides:\n      value: {resourc: a}\n      pod: {resource: pod}", "rules:\n- resources:\n    overrides:\n      pod: {resource: pod}\n      pod: {resource: pod}", "rules:\n- seriesFilters:\n  - is: [a]", "a: &x 1\n", "rules:\n- &r\n  seriesQuery: a\n- <<: *r\n  metricsQuery: b", "---\nrules: []\n---\n", "rules: []\n---\nfoo: 1", "rules: []\n...\n","\u{feff}rules: []", "- a", "x", "rules:\n\t- a", "rules: {}", "rules:\n- resources: {namespaced: maybe}", "rules:\n- resources: {namespaced: no}","rules:\n- metricsQuery: \"a\"b\"", "rules:\n- compat: {nan: true}", "rules:\n- metricsQuery: a: b", "rules:\n- metricsQuery: |\n   a\n   b\n  seriesQuery: >-\n    x\n    y","rules: [*a]", "rules:\n- {seriesQuery: !!binary aGk=}"] {
        let mut path = String::new();
        let parsed = serde_saphyr::with_deserializer_from_str(text, |de| {
            serde_path_to_error::deserialize::<_, Option<file::File>>(de).map_err(|e| { path = e.path().to_string(); e.into_inner() })
        });
        match parsed {
            Ok(f) => println!("{text:?}\n   OK {f:?}"),
            Err(e) => println!("{text:?}\n   ERR path={path:?} line={:?} {}", e.location().map(|l| l.line()), e.without_snippet()),
        }
    }
}
