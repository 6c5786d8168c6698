//! `Accept`: a choice is one that the endpoint serves, and an error is a 406 that can be written.

#![no_main]

use http::header::{ACCEPT, HeaderMap, HeaderValue, USER_AGENT};
use libfuzzer_sys::fuzz_target;
use plimsoll::wire::negotiate::{Endpoint, Form, Shape, negotiate};

fuzz_target!(|input: (&[u8], &[u8], Option<&str>)| {
    let (accept, agent, pretty) = input;
    let mut headers = HeaderMap::new();
    for field in accept.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(field) {
            headers.append(ACCEPT, value);
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(agent) {
        headers.insert(USER_AGENT, value);
    }
    let endpoints = [
        Endpoint::MetricList,
        Endpoint::ExternalMetricList,
        Endpoint::Groups,
        Endpoint::Error,
        Endpoint::Other,
    ];
    for endpoint in endpoints {
        match negotiate(endpoint, &headers, pretty) {
            Ok(choice) => {
                let documents = matches!(endpoint, Endpoint::Groups | Endpoint::Other);
                assert!(!(documents && choice.form == Form::Protobuf));
                let fits = match choice.shape {
                    Shape::Object => true,
                    Shape::Table(_) => endpoint == Endpoint::ExternalMetricList,
                    Shape::AggregatedDiscovery => endpoint == Endpoint::Groups,
                };
                assert!(fits, "{endpoint:?}: {choice:?}");
            }
            Err(status) => assert_eq!(status.code.as_u16(), 406),
        }
    }
    let _form = Form::for_errors(&headers, pretty);
});
