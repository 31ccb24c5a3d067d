//! A client of the API: what it sends is what a test wrote, what it gets is looked at as it is.

use relay_cli::load::connection::{Connection, authority};
use serde_json::{Value, json};
use url::Url;

/// A client with a key.
#[derive(Clone)]
pub struct Client {
    url: Url,
    key: String,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: Value,
}

impl Client {
    pub fn new(url: &str, key: &str) -> Client {
        Client { url: Url::parse(url).unwrap(), key: key.to_owned() }
    }

    /// Sends a request with these headers; a body of `None` sends none.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\nconnection: close\r\n",
            authority(&self.url),
            self.key,
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut connection = Connection::open(&self.url).await.unwrap();
        let answer = connection.exchange(&[request.as_bytes(), body].concat()).await.unwrap();
        let body = if answer.body.is_empty() { Value::Null } else { serde_json::from_slice(answer.body).unwrap() };
        Response { status: answer.status, body }
    }

    /// Sends JSON, or nothing.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        let text = body.map(|body| body.to_string()).unwrap_or_default();
        self.send(method, path, &[("content-type", "application/json")], text.as_bytes()).await
    }

    /// Sends JSON, or nothing, and expects this status.
    pub async fn expect(&self, status: u16, method: &str, path: &str, body: Option<Value>) -> Value {
        let response = self.call(method, path, body).await;
        assert_eq!(response.status, status, "{method} {path}: {}", response.body);
        response.body
    }

    pub async fn create_topic(&self, topic: &str) {
        self.expect(201, "PUT", &format!("/v1/topics/{topic}"), Some(json!({}))).await;
    }

    /// Subscribes; the answer holds the id and, once, the secret.
    pub async fn subscribe(&self, topic: &str, url: &str, more: Value) -> Value {
        let mut wanted = json!({ "topic": topic, "endpoint": { "url": url } });
        merge(&mut wanted, more);
        self.expect(201, "POST", "/v1/subscriptions", Some(wanted)).await
    }

    /// Publishes one plain event under a key.
    pub async fn publish(&self, topic: &str, key: &str, data: Value) -> Value {
        let path = format!("/v1/topics/{topic}/events");
        let headers = [("content-type", "application/json"), ("partitionKey", key)];
        let response = self.send("POST", &path, &headers, data.to_string().as_bytes()).await;
        assert_eq!(response.status, 202, "{}", response.body);
        response.body["events"][0].clone()
    }

    /// A subscription as it is now.
    pub async fn subscription(&self, id: &str) -> Value {
        self.expect(200, "GET", &format!("/v1/subscriptions/{id}"), None).await
    }

    /// A page of a list that belongs to a subscription.
    pub async fn list(&self, id: &str, what: &str) -> Vec<Value> {
        let page = self.expect(200, "GET", &format!("/v1/subscriptions/{id}/{what}"), None).await;
        page["items"].as_array().unwrap_or_else(|| panic!("no items in {page}")).clone()
    }

    /// An action on a subscription.
    pub async fn act(&self, id: &str, action: &str) -> Value {
        self.expect(200, "POST", &format!("/v1/subscriptions/{id}/{action}"), Some(json!({}))).await
    }
}

/// Adds fields, those of objects within too.
fn merge(into: &mut Value, fields: Value) {
    match (into, fields) {
        (Value::Object(into), Value::Object(fields)) => {
            for (name, value) in fields {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, fields) => *into = fields,
    }
}

/// The id of what was made.
pub fn id(made: &Value) -> String {
    made["id"].as_str().unwrap_or_else(|| panic!("no id in {made}")).to_owned()
}
