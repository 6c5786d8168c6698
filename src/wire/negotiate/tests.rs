use proptest::prelude::*;

use super::*;

/// What the API server's aggregator sends to `/apis`.
const AGGREGATOR: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
/// What `kubectl get` sends.
const KUBECTL: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,\
                       application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
/// What the HPA controller sends (`--kube-api-content-type`).
const HPA: &str = "application/vnd.kubernetes.protobuf, */*";
const ENDPOINTS: [Endpoint; 5] = [
    Endpoint::MetricList,
    Endpoint::ExternalMetricList,
    Endpoint::Groups,
    Endpoint::Error,
    Endpoint::Other,
];

/// The message of a 406.
fn refused(endpoint: Endpoint) -> String {
    let json = "only the following media types are accepted: application/json";
    match endpoint {
        Endpoint::Groups | Endpoint::Other => json.to_owned(),
        _ => format!("{json}, application/vnd.kubernetes.protobuf"),
    }
}

fn headers(accept: &str, agent: &str) -> HeaderMap {
    [(ACCEPT, accept), (USER_AGENT, agent)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, HeaderValue::try_from(value).unwrap()))
        .collect()
}

fn shape(endpoint: Endpoint, accept: &str) -> Result<Shape, String> {
    negotiate(endpoint, &headers(accept, ""), None)
        .map(|choice| choice.shape)
        .map_err(|status| status.message)
}

fn choice(endpoint: Endpoint, accept: &str) -> Result<(Form, Shape), String> {
    negotiate(endpoint, &headers(accept, ""), None)
        .map(|Choice { form, shape }| (form, shape))
        .map_err(|status| status.message)
}

#[test]
fn every_endpoint_serves_json_to_those_who_take_it() {
    let taken = [
        "",
        "*/*",
        "*",
        "application/*",
        "application/json",
        "Application/JSON",
        " application/json ; charset=utf-8",
        "application/json, */*",
        "application/json, application/vnd.kubernetes.protobuf",
        "*/*, application/vnd.kubernetes.protobuf;q=0.9",
        "application/json, application/vnd.kubernetes.protobuf;q=0",
        "application/vnd.kubernetes.protobuf;q=x, application/json",
        "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1, application/json",
        "application/vnd.kubernetes.protobuf+x, application/json",
        "application/cbor, application/json",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
        "application/json;stream=watch",
        "application/json;unknown=x;v",
        ",,application/json",
    ];
    for accept in taken {
        for endpoint in ENDPOINTS {
            let json = Ok((Form::Json, Shape::Object));
            assert_eq!(choice(endpoint, accept), json, "{endpoint:?} {accept}");
        }
    }
}

#[test]
fn no_endpoint_serves_what_it_does_not_have() {
    let unserved = [
        "application/cbor",
        "application/yaml",
        "text/html",
        "text/*",
        "application",
        "application/json/x",
        "application/json;q=0",
        "*/*;q=0",
        "application/json;q=x",
        "application/json;q=NaN",
        "application/json;q=-1",
        "application/json;as=Widget;g=meta.k8s.io;v=v1",
        "application/json;as=Table;g=META.k8s.io;v=v1",
        "application/json;v=v1",
        "application/json;stream=x",
        "application/json;sv=v1",
        ",",
        ";q=1",
    ];
    for accept in unserved {
        for endpoint in ENDPOINTS {
            assert_eq!(shape(endpoint, accept), Err(refused(endpoint)), "{endpoint:?} {accept}");
        }
    }
}

#[test]
fn values_and_errors_come_as_protobuf_to_those_who_prefer_it() {
    let preferring = [
        HPA,
        "application/vnd.kubernetes.protobuf,application/json",
        "application/json;q=0.1, application/vnd.kubernetes.protobuf;q=0.9",
        "application/json;q=0.1, Application/VND.kubernetes.Protobuf ; q=0.9 ; unknown=x",
        "application/vnd.kubernetes.protobuf;stream=watch, application/json",
        "application/json;as=Widget;g=x;v=v1, application/vnd.kubernetes.protobuf, application/json",
    ];
    for accept in preferring {
        for endpoint in [Endpoint::MetricList, Endpoint::ExternalMetricList, Endpoint::Error] {
            let protobuf = Ok((Form::Protobuf, Shape::Object));
            assert_eq!(choice(endpoint, accept), protobuf, "{endpoint:?} {accept}");
        }
        for endpoint in [Endpoint::Groups, Endpoint::Other] {
            let json = Ok((Form::Json, Shape::Object));
            assert_eq!(choice(endpoint, accept), json, "{endpoint:?} {accept}");
        }
    }
    let protobuf_alone = "application/vnd.kubernetes.protobuf";
    assert_eq!(shape(Endpoint::MetricList, protobuf_alone), Ok(Shape::Object));
    assert_eq!(shape(Endpoint::Groups, protobuf_alone), Err(refused(Endpoint::Groups)));
    let aggregated = "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;\
                      as=APIGroupDiscoveryList";
    assert_eq!(shape(Endpoint::Groups, aggregated), Err(refused(Endpoint::Groups)));
}

#[test]
fn only_external_metrics_come_as_a_table() {
    use Endpoint::{Error, ExternalMetricList, Groups, MetricList, Other};

    assert_eq!(shape(ExternalMetricList, KUBECTL), Ok(Shape::Table(TableVersion::V1)));
    for endpoint in [MetricList, Groups, Error, Other] {
        assert_eq!(shape(endpoint, KUBECTL), Ok(Shape::Object), "{endpoint:?}");
    }
    let chosen = [
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Shape::Table(TableVersion::V1Beta1)),
        ("application/json,application/json;as=Table;v=v1;g=meta.k8s.io", Shape::Object),
        (
            "application/json;q=0.5,application/json;as=Table;v=v1;g=meta.k8s.io",
            Shape::Table(TableVersion::V1),
        ),
        ("application/json;as=Table;v=v2;g=meta.k8s.io,*/*", Shape::Object),
        ("*/*;as=Table;v=v1;g=meta.k8s.io,application/json", Shape::Object),
        ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,*/*", Shape::Object),
    ];
    for (accept, expected) in chosen {
        assert_eq!(shape(ExternalMetricList, accept), Ok(expected), "{accept}");
    }
}

#[test]
fn the_aggregated_document_goes_to_those_who_ask_for_its_second_version() {
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let chosen = [
        (AGGREGATOR.to_owned(), Ok(Shape::AggregatedDiscovery)),
        (format!("{aggregated};profile=nopeer"), Ok(Shape::AggregatedDiscovery)),
        (format!("application/json,{aggregated};q=0.1"), Ok(Shape::AggregatedDiscovery)),
        (format!("{aggregated};q=0,application/json"), Ok(Shape::Object)),
        (aggregated.replace("v2", "v2beta1"), Err(refused(Endpoint::Groups))),
        (aggregated.replace("v2", "v2beta1") + ",application/json", Ok(Shape::Object)),
    ];
    for (accept, expected) in chosen {
        assert_eq!(shape(Endpoint::Groups, &accept), expected, "{accept}");
    }
    assert_eq!(shape(Endpoint::Other, AGGREGATOR), Err(refused(Endpoint::Other)));
}

#[test]
fn several_fields_count_as_one() {
    let mut two = headers("application/cbor", "");
    two.append(ACCEPT, HeaderValue::from_static("application/json"));

    assert!(negotiate(Endpoint::Other, &two, None).is_ok());
}

#[test]
fn people_get_indented_json_unless_they_say_otherwise() {
    let forms = [
        ("kubectl/v1.36", "", None, Form::Json),
        ("kubectl/v1.36", "", Some("true"), Form::PrettyJson),
        ("kubectl/v1.36", "", Some("1"), Form::PrettyJson),
        ("kubectl/v1.36", "", Some("yes"), Form::Json),
        ("", "", None, Form::Json),
        ("", "application/json;pretty=1", None, Form::PrettyJson),
        ("", "application/json;pretty=0", None, Form::Json),
        ("curl/8.1", "", None, Form::PrettyJson),
        ("Wget/1.2", "", Some(""), Form::PrettyJson),
        ("Mozilla/5.0 (X11)", "", None, Form::PrettyJson),
        ("Mozilla/4.0", "", None, Form::Json),
        ("curl/8.1", "", Some("false"), Form::Json),
        ("curl/8.1", "", Some("0"), Form::Json),
        ("curl/8.1", HPA, Some("true"), Form::Protobuf),
        ("", "application/vnd.kubernetes.protobuf;pretty=1", None, Form::Protobuf),
    ];
    for (agent, accept, pretty, form) in forms {
        let choice = negotiate(Endpoint::MetricList, &headers(accept, agent), pretty).unwrap();
        assert_eq!(choice.form, form, "{agent} {accept} {pretty:?}");
    }
}

#[test]
fn errors_have_the_form_that_is_accepted_and_else_that_of_json() {
    assert_eq!(Form::for_errors(&headers(HPA, ""), None), Form::Protobuf);
    let protobuf_alone = headers("application/vnd.kubernetes.protobuf", "");
    assert_eq!(Form::for_errors(&protobuf_alone, None), Form::Protobuf);
    assert_eq!(Form::for_errors(&headers(KUBECTL, ""), None), Form::Json);
    let table_alone = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io";
    assert_eq!(Form::for_errors(&headers(table_alone, ""), None), Form::Json);
    assert_eq!(Form::for_errors(&headers("application/cbor", ""), None), Form::Json);
    assert_eq!(Form::for_errors(&headers("text/html", "curl/8"), None), Form::PrettyJson);
    assert_eq!(Form::for_errors(&headers("*/*", ""), Some("true")), Form::PrettyJson);
}

#[test]
fn clauses_beyond_the_bound_are_not_looked_at() {
    let noise = "a/b,".repeat(MAX_CLAUSES - 1);

    assert!(shape(Endpoint::Other, &format!("{noise}*/*")).is_ok());
    assert!(shape(Endpoint::Other, &format!("{noise}a/b,*/*")).is_err());
}

proptest! {
    #[test]
    fn whatever_the_header_an_answer_is_one_that_the_endpoint_serves(
        accept in "[ -~\t]{0,80}|\
                   ([*,;=/ .]|application/json|application/vnd\\.kubernetes\\.protobuf|\
                   q=|as=|v=|g=|Table|meta\\.k8s\\.io|[0-9]){0,30}|\
                   ((application/(json|vnd\\.kubernetes\\.protobuf|\\*)|\\*/\\*)\
                   (;q=(0|1)(\\.[0-9]{1,3})?|;as=Table;g=meta\\.k8s\\.io;v=v1)?,){0,8}",
        pretty in proptest::option::of(".{0,5}"),
    ) {
        for endpoint in ENDPOINTS {
            let result = negotiate(endpoint, &headers(&accept, ""), pretty.as_deref());
            let served = match result {
                Ok(Choice { form: Form::Protobuf, shape }) => {
                    endpoint.serves_protobuf() && shape == Shape::Object
                }
                Ok(Choice { shape: Shape::Table(_), .. }) => {
                    endpoint == Endpoint::ExternalMetricList
                }
                Ok(Choice { shape: Shape::AggregatedDiscovery, .. }) => {
                    endpoint == Endpoint::Groups
                }
                Ok(Choice { shape: Shape::Object, .. }) => true,
                Err(status) => status.code == http::StatusCode::NOT_ACCEPTABLE,
            };
            prop_assert!(served, "{:?} {}", endpoint, accept);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(accept in proptest::collection::vec(0x20_u8..=0xff, 0..80)) {
        let Ok(value) = HeaderValue::from_bytes(&accept) else { return Ok(()) };
        _ = negotiate(Endpoint::Other, &HeaderMap::from_iter([(ACCEPT, value)]), None);
    }
}
