//! Outbound HTTP to webhooks: the adapter behind [`WebhookClient`](relay_core::ports::webhook::WebhookClient).
//!
//! A subscriber chooses the URL that the broker posts to, so this crate assumes that both the URL and whatever answers at
//! it are hostile. One request goes through these steps, all of them inside the request's time-out:
//!
//! ```text
//!   url ──► Directory ──► Permits ──► Pool ──► Connection ──► answer
//!           parsed and    endpoint,   idle?      ▲   sent, read to its caps,
//!           checked once  then total    │ none   │   classified
//!                                       ▼        │
//!                                   Connector ───┘
//!                     resolve once ► drop forbidden addresses ► connect to what is left ► TLS
//! ```
//!
//! - **Addresses** ([`AddressPolicy`]): only public ones, unless an operator admits more. The address that was checked is the
//!   address that is connected to: nothing resolves a name a second time.
//! - **Bounds**: requests in progress per URL and in total, the size of the answer's head and body, and the whole exchange's time.
//! - **Not done**: redirects, proxies, cookies, decompression, HTTP/2.
//! - **Speed**: a connection is driven by the task that posts on it. No task is spawned per connection, so an exchange
//!   takes no hand-over between tasks, dropping the future closes the socket at once, and a process that is frozen between
//!   invocations has nothing running behind its back.
//!
//! ```
//! use relay_webhook::{AddressPolicy, Config, HttpWebhookClient};
//! use std::{sync::Arc, time::SystemTime};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = AddressPolicy::public_only().with_allowed(["10.1.0.0/16".parse()?]);
//! assert!(policy.check_url("https://example.com/hook").is_ok());
//! assert!(policy.check_url("http://10.1.2.3:8080/hook").is_ok(), "plain http, to a network that was admitted");
//! assert!(policy.check_url("https://169.254.169.254/latest/meta-data").is_err());
//!
//! // The broker passes its own clock here.
//! let client = HttpWebhookClient::new(Config::new(policy, Arc::new(|| SystemTime::UNIX_EPOCH)))?;
//! # drop(client);
//! # Ok(())
//! # }
//! ```

mod address;
mod answer;
mod client;
mod config;
mod connection;
mod connector;
mod directory;
mod fault;
mod headers;
mod pool;
mod resolver;
mod retry_after;
mod stream;
mod target;
mod tls;

pub use address::{AddressPolicy, parse_networks};
pub use client::HttpWebhookClient;
pub use config::{Config, ConfigFault, WallClock};
pub use resolver::{Resolver, SystemResolver};
pub use target::UrlFault;
pub use tls::client_tls;
