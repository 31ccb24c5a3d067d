//! What `serve` says when it is ready: where it listens, the key that it made, and what to do next.

use super::settings::{LogFormat, Settings};
use std::net::SocketAddr;

pub(super) fn greet(settings: &Settings, address: SocketAddr, made_key: Option<&str>) {
    eprint!("{}", greeting(settings, address, made_key));
}

fn greeting(settings: &Settings, address: SocketAddr, made_key: Option<&str>) -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    if let Some(key) = made_key {
        say(&format!("first admin key (shown this once, keep it): {key}"));
    }
    if settings.log_format == LogFormat::Pretty {
        let url = format!("http://{address}");
        say(&format!("Event Relay {}, data in {}", env!("CARGO_PKG_VERSION"), settings.data.display()));
        match (made_key, &settings.admin_key) {
            (Some(key), _) => say(&format!("\n  export RELAY_ADMIN_KEY={key}")),
            (None, Some(_)) => say("\n  # RELAY_ADMIN_KEY: as this broker has it"),
            (None, None) => say("\n  export RELAY_ADMIN_KEY=…   # the key that the first start showed"),
        }
        say("\nto receive events (a webhook on this machine, then a topic, then the subscription):");
        say("  relay listen 127.0.0.1:9000");
        say(&curl("-X PUT", &format!("{url}/v1/topics/orders"), "", "{}"));
        let subscription = r#"{"topic": "orders", "endpoint": {"url": "http://127.0.0.1:9000/orders"}}"#;
        say(&curl("", &format!("{url}/v1/subscriptions"), "", subscription));
        say("to publish:");
        let key = r#" -H "partitionKey: order-1""#;
        say(&curl("", &format!("{url}/v1/topics/orders/events"), key, r#"{"order": 1, "status": "placed"}"#));
        say("");
    }
    // Scripts wait for this line, so nothing follows it.
    say(&format!("listening on http://{address}"));
    text
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

    fn greeting_of(log_format: LogFormat, made_key: Option<&str>) -> String {
        let mut settings = Settings::from_args(ServeArgs::default()).unwrap();
        settings.log_format = log_format;
        greeting(&settings, "127.0.0.1:8123".parse().unwrap(), made_key)
    }

    #[test]
    fn the_last_line_says_where_it_listens() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let text = greeting_of(format, None);
            assert_eq!(text.lines().last(), Some("listening on http://127.0.0.1:8123"));
        }
    }

    #[test]
    fn a_key_that_was_made_is_shown_in_every_format_and_with_it_what_to_do() {
        assert!(greeting_of(LogFormat::Json, Some("rk_1")).contains("rk_1"));
        let text = greeting_of(LogFormat::Pretty, Some("rk_1"));
        assert!(text.contains("export RELAY_ADMIN_KEY=rk_1"));
        for path in ["-X PUT http://127.0.0.1:8123/v1/topics/orders", "/v1/subscriptions", "/v1/topics/orders/events"] {
            assert!(text.contains(path), "{path} in {text}");
        }
    }
}
