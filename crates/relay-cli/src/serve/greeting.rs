//! What `serve` says when it is ready: where it listens, the key that it made, and what to do next.

use super::settings::{LogFormat, Settings};
use relay_core::ports::Clock;
use relay_system::SystemClock;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const KEY: &str = "first admin key (shown this once, keep it)";
/// A webhook that the hints are about.
const WEBHOOK: &str = "http://127.0.0.1:9000/orders";

pub(super) fn greet(settings: &Settings, address: SocketAddr, made_key: Option<&str>) {
    let text = match settings.log_format {
        LogFormat::Pretty => {
            // As it was typed: the binary may not be on the path.
            let program = std::env::args_os().next().unwrap_or_else(|| "relay".into());
            greeting(settings, &program.to_string_lossy(), address, made_key)
        }
        LogFormat::Json => json_lines(&SystemClock.now().to_string(), address, made_key),
    };
    eprint!("{text}");
}

/// The greeting among lines of JSON, in the log's own form.
fn json_lines(timestamp: &str, address: SocketAddr, made_key: Option<&str>) -> String {
    let line = |message: &str, key: Option<&str>| {
        let mut line = json!({ "timestamp": timestamp, "level": "INFO", "target": "relay::serve", "message": message });
        if let Some(key) = key {
            line["key"] = key.into();
        }
        format!("{line}\n")
    };
    let key = made_key.map(|key| line(KEY, Some(key))).unwrap_or_default();
    key + &line(&format!("listening on http://{address}"), None)
}

fn greeting(settings: &Settings, program: &str, address: SocketAddr, made_key: Option<&str>) -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    if let Some(key) = made_key {
        say(&format!("{KEY}: {key}"));
    }
    let url = format!("http://{}", reachable(address));
    say(&format!("Event Relay {}, {}", env!("CARGO_PKG_VERSION"), settings.storage));
    match (made_key, &settings.admin_key) {
        (Some(key), _) => say(&format!("\n  export RELAY_ADMIN_KEY={key}")),
        (None, Some(_)) => say("\n  # RELAY_ADMIN_KEY: as this broker has it"),
        (None, None) => say("\n  export RELAY_ADMIN_KEY=…   # the key that was shown once"),
    }
    let topic = curl("-X PUT", &format!("{url}/v1/topics/orders"), "", "{}");
    if settings.address_policy().check_url(WEBHOOK).is_ok() {
        say("\nto receive events (a webhook on this machine, then a topic, then the subscription):");
        say(&format!("  {program} listen 127.0.0.1:9000"));
        say(&topic);
        let subscription = format!(r#"{{"topic": "orders", "endpoint": {{"url": "{WEBHOOK}"}}}}"#);
        say(&curl("", &format!("{url}/v1/subscriptions"), "", &subscription));
    } else {
        say("\nwebhooks must be https; --allow-endpoint-cidrs 127.0.0.0/8 admits those on this machine, http too");
        say("to make a topic:");
        say(&topic);
    }
    say("to publish:");
    let key = r#" -H "partitionKey: order-1""#;
    say(&curl("", &format!("{url}/v1/topics/orders/events"), key, r#"{"order": 1, "status": "placed"}"#));
    say("");
    // Scripts wait for this line, so nothing follows it.
    say(&format!("listening on http://{address}"));
    text
}

/// Where a client on this machine finds the broker: nobody can connect to "all addresses".
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn curl(method: &str, url: &str, headers: &str, body: &str) -> String {
    let method = if method.is_empty() { String::new() } else { format!("{method} ") };
    format!(
        "  curl {method}{url} -H \"Authorization: Bearer $RELAY_ADMIN_KEY\" \
         -H \"Content-Type: application/json\"{headers} -d '{body}'"
    )
}

#[cfg(test)]
mod tests {
    use super::super::settings::ServeArgs;
    use super::*;

    fn greeting_of(listen: &str, made_key: Option<&str>) -> String {
        let mut settings = Settings::from_args(ServeArgs::default()).unwrap();
        settings.listen = listen.parse().unwrap();
        greeting(&settings, "target/release/relay", settings.listen, made_key)
    }

    #[test]
    fn the_last_line_says_where_it_listens() {
        let text = greeting_of("127.0.0.1:8123", None);
        assert_eq!(text.lines().last(), Some("listening on http://127.0.0.1:8123"));
    }

    #[test]
    fn among_lines_of_json_it_is_lines_of_json() {
        let text = json_lines("2026-11-21T08:00:00.000Z", "127.0.0.1:8123".parse().unwrap(), Some("rk_1"));
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["key"], &lines[0]["level"]), (2, &json!("rk_1"), &json!("INFO")));
        assert_eq!(lines[1]["message"], "listening on http://127.0.0.1:8123");
    }

    #[test]
    fn a_key_that_was_made_is_shown_and_with_it_what_to_do() {
        let text = greeting_of("127.0.0.1:8123", Some("rk_1"));
        assert!(text.contains("export RELAY_ADMIN_KEY=rk_1"));
        let told = [
            "  target/release/relay listen 127.0.0.1:9000",
            "-X PUT http://127.0.0.1:8123/v1/topics/orders",
            "/v1/subscriptions",
            "/v1/topics/orders/events",
        ];
        for line in told {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn a_broker_for_other_machines_hints_at_no_webhook_that_it_refuses() {
        let text = greeting_of("0.0.0.0:8123", None);
        assert!(
            text.contains("--allow-endpoint-cidrs 127.0.0.0/8") && text.contains("http://127.0.0.1:8123/v1"),
            "{text}"
        );
        assert!(!text.contains("127.0.0.1:9000"), "{text}");
        assert_eq!(text.lines().last(), Some("listening on http://0.0.0.0:8123"));
    }
}
