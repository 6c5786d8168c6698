use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use super::*;

/// 2020-01-01, 2021-01-01 and 2022-01-01 in seconds since the Unix epoch.
const YEARS: [u64; 3] = [1_577_836_800, 1_609_459_200, 1_640_995_200];

fn at(second: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(second))
}

/// A certificate authority of the years 2020 to 2021 and a client of the years 2021 to 2030.
fn pki(is_ca: IsCa) -> (String, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = is_ca;
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2022, 1, 1);
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "ops");
    params.distinguished_name.push(DnType::CommonName, "bob");
    params.not_before = date_time_ymd(2021, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    let client = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    (pem, client.der().clone())
}

fn authorities(pem: &str) -> Authorities {
    Authorities::parse(pem, "test").unwrap()
}

fn front_proxy(pem: &str, allowed_names: &[&str]) -> FrontProxy {
    let allowed_names = allowed_names.iter().map(|&name| name.to_owned()).collect();
    let headers = HeaderNames::new(&["x-remote-user".to_owned()], &[], &[], &[]);
    FrontProxy { authorities: authorities(pem), allowed_names, headers }
}

fn is_accepted(trust: &Trust, client: &CertificateDer<'static>, second: u64) -> [bool; 2] {
    let proven = trust.prove(std::slice::from_ref(client), at(second));
    let user = matches!(proven.user, Opinion::Accepted(ref subject) if subject.user == "bob");
    [proven.front_proxy == Opinion::Accepted(()), user]
}

#[test]
fn a_chain_counts_while_each_of_its_certificates_and_its_root_are_valid() {
    let (pem, client) = pki(IsCa::Ca(BasicConstraints::Unconstrained));
    let trust = Trust {
        front_proxy: Some(front_proxy(&pem, &["bob"])),
        users: Some(authorities(&pem)),
        ..Trust::default()
    };
    let [_, from, to] = YEARS;
    let accepted = [from - 1, from, to, to + 1].map(|second| is_accepted(&trust, &client, second));
    assert_eq!(accepted, [[false; 2], [true; 2], [true; 2], [false; 2]]);
}

#[test]
fn a_verdict_lasts_until_the_next_certificate_begins_or_ceases_to_be_valid() {
    let (pem, client) = pki(IsCa::Ca(BasicConstraints::Unconstrained));
    let trust = Trust { users: Some(authorities(&pem)), ..Trust::default() };
    let until = |second| trust.prove(std::slice::from_ref(&client), at(second)).until.as_secs();
    let [first, from, to] = YEARS;
    assert_eq!([until(first - 9), until(first), until(from)], [first, from, to + 1]);
}

#[test]
fn a_certificate_that_may_not_sign_vouches_for_nobody() {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let (pem, client) = pki(is_ca);
        let trust = Trust { users: Some(authorities(&pem)), ..Trust::default() };
        assert_eq!(is_accepted(&trust, &client, YEARS[1]), [false; 2]);
    }
}

#[test]
fn nothing_is_trusted_by_itself() {
    let (pem, client) = pki(IsCa::Ca(BasicConstraints::Unconstrained));
    let opinions = |trust: Trust| {
        let proven = trust.prove(std::slice::from_ref(&client), at(YEARS[1]));
        [matches!(proven.front_proxy, Opinion::None), matches!(proven.user, Opinion::None)]
    };
    assert_eq!(opinions(Trust::default()), [true, true]);
    assert_eq!(opinions(Trust::awaited()), [false, true]);
    let trust = Trust { users: Some(authorities(&pem)), ..Trust::default() };
    assert!(matches!(trust.prove(&[], at(YEARS[1])).user, Opinion::Refused(_)));
}

#[test]
fn each_state_has_its_number_and_one_in_which_anyone_is_the_front_proxy_is_refused() {
    let (pem, _) = pki(IsCa::Ca(BasicConstraints::Unconstrained));
    let (other, _) = pki(IsCa::Ca(BasicConstraints::Unconstrained));
    let users = Some(authorities(&pem));
    let first = Trust { users, ..Trust::default() };
    assert_eq!(first.succeeded_by(first.clone()).unwrap(), None);
    let with = |proxy| Trust { front_proxy: Some(proxy), ..first.clone() };
    let named = first.succeeded_by(with(front_proxy(&pem, &["a"]))).unwrap().unwrap();
    let apart = named.succeeded_by(with(front_proxy(&other, &[]))).unwrap().unwrap();
    assert_eq!([named.generation(), apart.generation()], [1, 2]);
    for pem in [pem.clone(), format!("{other}{pem}")] {
        let refused = first.succeeded_by(with(front_proxy(&pem, &[])));
        assert!(matches!(refused, Err(TrustError::AnyoneIsFrontProxy)));
    }
}

#[test]
fn a_bundle_without_or_with_a_bad_certificate_is_refused() {
    let (pem, _) = pki(IsCa::Ca(BasicConstraints::Unconstrained));
    let block =
        |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----");
    let bundles = [String::new(), "text".to_owned(), pem + &block("AAAA"), block("*")];
    let errors = bundles.map(|bundle| Authorities::parse(&bundle, "the bundle").unwrap_err());
    assert_eq!(
        errors.map(|error| error.to_string()),
        [
            "the bundle has no certificate",
            "the bundle has no certificate",
            "the bundle has a certificate that cannot be read",
            "the bundle is not PEM",
        ]
    );
}
