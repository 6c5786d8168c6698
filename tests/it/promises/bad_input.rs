//! Whatever comes over the socket gets an answer or a closed connection, and the next request
//! works as ever.
//!
//! The bytes are random with a fixed seed: a failure comes again.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{DEPTH, depth, prometheus, start};

/// Long enough for a busy machine, and far below what a silent client is given.
const PATIENCE: Duration = Duration::from_secs(8);

/// How many connections of each kind.
const CONNECTIONS: u64 = 300;

/// xorshift64*, Vigna 2014.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).unwrap() % bound
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = 1 + self.below(most);
        (0..length).map(|_| self.byte()).collect()
    }

    /// Changes, takes away, repeats or adds a few bytes.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = self.byte(),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, self.byte()),
                _ => {
                    let end = (at + self.below(64)).min(bytes.len());
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
            }
        }
    }
}

/// Sends bytes and the end of all bytes, and reads until the server closes the connection.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let exchange = async {
        // The server may hang up before it has read all, or without a word of goodbye.
        let _written = stream.write_all(bytes).await;
        let _ended = stream.shutdown().await;
        let _read = stream.read_to_end(&mut answer).await;
    };
    let ended = timeout(PATIENCE, exchange).await;
    assert!(ended.is_ok(), "the connection stays open after {}", bytes.escape_ascii());
    answer
}

/// A `ClientHello` as OpenSSL might send it, without extensions.
fn hello() -> Vec<u8> {
    let mut hello = vec![22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3];
    hello.extend([9; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x2f, 0x13, 0x01, 1, 0]);
    hello
}

#[tokio::test]
async fn garbage_in_place_of_tls_closes_the_connection_and_nothing_else() {
    let prometheus = prometheus().await;
    let plimsoll = start(&prometheus, &[]).await;
    let address = plimsoll.secure;
    join_all((0..CONNECTIONS).map(|seed| async move {
        let mut random = Random(seed + 1);
        let bytes = if seed % 2 == 0 {
            random.bytes(2_000)
        } else {
            let mut hello = hello();
            random.mutate(&mut hello);
            hello
        };
        let answer = exchange(TcpStream::connect(address).await.unwrap(), &bytes).await;
        // Nothing or an alert.
        assert!(answer.is_empty() || answer[0] == 21, "{}", answer.escape_ascii());
    }))
    .await;
    let plain = exchange(TcpStream::connect(address).await.unwrap(), b"GET / HTTP/1.1\r\n\r\n");
    assert!(!plain.await.starts_with(b"HTTP"));
    assert_eq!(depth(&plimsoll).await, "1");
}

#[tokio::test]
async fn a_malformed_request_is_answered_or_its_connection_closed() {
    let prometheus = prometheus().await;
    let plimsoll = start(&prometheus, &[]).await;
    assert_eq!(depth(&plimsoll).await, "1");
    let client = plimsoll.client();
    let request = format!(
        "GET {DEPTH}?labelSelector=a%3D1%2Cb+in+%28c%29&pretty=true HTTP/1.1\r\nhost: x\r\n\
         accept: application/vnd.kubernetes.protobuf, */*\r\naccept-encoding: gzip\r\n\
         if-none-match: \"x\"\r\nuser-agent: curl/8\r\ncontent-length: 5\r\n\r\nhello"
    );
    let answers = join_all((0..CONNECTIONS).map(|seed| {
        let (client, mut bytes) = (client.clone(), request.clone().into_bytes());
        async move {
            Random(seed + 1_000).mutate(&mut bytes);
            let answer = exchange(client.connect(&[b"http/1.1"]).await, &bytes).await;
            let line = answer.get(..12).unwrap_or_default();
            let line = String::from_utf8_lossy(line).into_owned();
            let fine = line.is_empty() || matches!(line.as_bytes()[9], b'2' | b'4');
            assert!(fine, "{line}: {}", bytes.escape_ascii());
            line
        }
    }))
    .await;
    for expected in ["HTTP/1.1 200", "HTTP/1.1 400"] {
        assert!(answers.iter().any(|line| line == expected), "{expected}: {answers:?}");
    }
    assert_eq!(depth(&plimsoll).await, "1");
}

#[tokio::test]
async fn malformed_http2_closes_its_connection_and_no_other() {
    let prometheus = prometheus().await;
    let plimsoll = start(&prometheus, &[]).await;
    let client = plimsoll.client();
    let beside = client.open_http2().await;
    join_all((0..CONNECTIONS).map(|seed| {
        let client = client.clone();
        async move {
            let mut random = Random(seed + 2_000);
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
            for _ in 0..random.below(20) {
                let payload = random.bytes(40);
                let kind = u8::try_from(random.below(12)).unwrap();
                let stream = u8::try_from(random.below(8)).unwrap();
                let length = u8::try_from(payload.len()).unwrap();
                bytes.extend([0, 0, length, kind, random.byte(), 0, 0, 0, stream]);
                bytes.extend(payload);
            }
            exchange(client.connect(&[b"h2"]).await, &bytes).await;
        }
    }))
    .await;
    assert_eq!(beside.get(DEPTH).await.status, 200);
    assert_eq!(depth(&plimsoll).await, "1");
}

#[tokio::test]
async fn bad_paths_selectors_and_headers_are_told_and_the_next_request_works() {
    let prometheus = prometheus().await;
    let plimsoll = start(&prometheus, &[]).await;
    let session = plimsoll.client().open_http2().await;
    let alphabet: Vec<_> = "/%2F%00%2e.*?&=,()!<>+%zz%ffaZ0-_:é\u{202e}".chars().collect();
    let mut random = Random(3_000);
    for _ in 0..300 {
        let text: String =
            (0..=random.below(12)).map(|_| alphabet[random.below(alphabet.len())]).collect();
        // What a client library would refuse to send is encoded.
        let safe = |text: &str| -> String {
            let keep = |it: char| it.is_ascii() && !"<>".contains(it);
            text.chars()
                .map(|it| if keep(it) { it.to_string() } else { "%C3%A9".to_owned() })
                .collect()
        };
        for target in [
            format!("/{}", safe(&text)),
            format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}", safe(&text)),
            format!("{DEPTH}?labelSelector={}", safe(&text)),
            format!("{DEPTH}{}", safe(&text)),
        ] {
            let answer = session.get(&target).await;
            assert!(answer.status < 500, "{target}: {}", answer.text());
            if answer.status >= 400 {
                assert_eq!(answer.json()["code"], answer.status, "{target}");
                assert!(!answer.message().is_empty(), "{target}");
            }
        }
    }
    assert_eq!(depth(&plimsoll).await, "1");
}
