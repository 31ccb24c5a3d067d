//! `relay listen`: a webhook for trying things out, which shows what it receives and checks signatures.

use crate::failure::Failure;
use crate::load::signature::Verifier;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// Flags of `relay listen`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Address to listen on: a number or a name, and a port
    #[arg(default_value = "127.0.0.1:9000", value_parser = parse_address)]
    address: SocketAddr,
    /// Signing secret of a subscription (`whsec_…`): deliveries that it does not verify are answered with 401. May be
    /// given several times.
    #[arg(long = "secret", value_name = "WHSEC")]
    secrets: Vec<String>,
    /// Status to answer deliveries with: 500 to see a lane held, 410 to see a subscription disabled.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..600))]
    status: u16,
    /// Show headers too.
    #[arg(long)]
    headers: bool,
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|_| "write an address and a port, such as 127.0.0.1:9000")?;
    found.next().ok_or_else(|| "no address has this name".to_owned())
}

struct Listener {
    verifiers: Vec<Verifier>,
    status: StatusCode,
    headers: bool,
}

/// Listens until it is interrupted.
///
/// # Errors
/// If a secret is none, or the address is taken.
pub async fn run(args: Args) -> Result<(), Failure> {
    let mut verifiers = Vec::new();
    let mut faults = Vec::new();
    for (index, secret) in args.secrets.iter().enumerate() {
        match Verifier::new(secret) {
            Some(verifier) => verifiers.push(verifier),
            None => faults.push(format!("--secret number {} is no signing secret: it begins with whsec_", index + 1)),
        }
    }
    let status = StatusCode::from_u16(args.status).unwrap_or(StatusCode::OK);
    if !faults.is_empty() {
        return Err(Failure::configuration(faults));
    }
    let socket = tokio::net::TcpListener::bind(args.address)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {}: {error}", args.address))?;
    eprintln!("listening on http://{}", socket.local_addr()?);
    let listener = Arc::new(Listener { verifiers, status, headers: args.headers });
    let app = Router::new().fallback(receive).layer(DefaultBodyLimit::disable()).with_state(listener);
    axum::serve(socket, app).with_graceful_shutdown(interrupted()).await?;
    Ok(())
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("interrupts cannot be caught: {error}");
        std::future::pending::<()>().await;
    }
}

async fn receive(
    State(listener): State<Arc<Listener>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let verified = listener.verify(&headers, &body);
    let text = show(&method, &uri, &headers, &body, verified, listener.headers);
    // Whoever reads may have gone: the answer matters more.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    if verified == Some(false) { StatusCode::UNAUTHORIZED } else { listener.status }
}

impl Listener {
    /// Whether a delivery's signature verifies; none if there is no secret to check with.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Option<bool> {
        let [id, timestamp, signature] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| header(headers, name));
        let verifies = |verifier: &Verifier| verifier.verifies(id, timestamp, body, signature);
        (!self.verifiers.is_empty()).then(|| self.verifiers.iter().any(verifies))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn show(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    verified: Option<bool>,
    with_headers: bool,
) -> String {
    let signature = match verified {
        Some(true) => "signature verifies",
        Some(false) => "SIGNATURE DOES NOT VERIFY",
        None if headers.contains_key("webhook-signature") => "signed",
        None => "not signed",
    };
    let mut text = format!(
        "{method} {uri}  webhook-id {}  key {}  attempt {}  {signature}\n",
        or_dash(header(headers, "webhook-id")),
        or_dash(header(headers, "relay-partition-key")),
        or_dash(header(headers, "relay-attempt")),
    );
    if with_headers {
        for (name, value) in headers {
            text.push_str(&format!("  {name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
    }
    text.push_str(&format!("  {}\n", String::from_utf8_lossy(body)));
    text
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_on_names_as_the_broker_does() {
        assert!(parse_address("localhost:9009").unwrap().ip().is_loopback());
        assert!(parse_address("[::1]:9009").is_ok());
        for bad in ["9009", "localhost", ""] {
            assert!(parse_address(bad).unwrap_err().contains("127.0.0.1:9000"), "{bad}");
        }
    }

    #[test]
    fn a_delivery_is_shown_with_what_identifies_it() {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "evt_1".parse().unwrap());
        headers.insert("relay-partition-key", "order-1".parse().unwrap());
        headers.insert("webhook-signature", "v1,x".parse().unwrap());
        let shown = show(&Method::POST, &Uri::from_static("/hook"), &headers, b"{}", None, false);
        assert_eq!(shown, "POST /hook  webhook-id evt_1  key order-1  attempt -  signed\n  {}\n");
    }

    #[test]
    fn a_wrong_signature_is_told_from_none_to_check() {
        let listener = |secrets: &[&str]| Listener {
            verifiers: secrets.iter().filter_map(|secret| Verifier::new(secret)).collect(),
            status: StatusCode::OK,
            headers: false,
        };
        let headers = HeaderMap::new();
        assert_eq!(listener(&[]).verify(&headers, b""), None);
        assert_eq!(listener(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).verify(&headers, b""), Some(false));
    }
}
