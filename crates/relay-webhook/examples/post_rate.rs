//! How many posts a second the client makes to a server that does as little as it can:
//! `cargo run --release -p relay-webhook --example post_rate -- [concurrent] [seconds]`.

use bytes::Bytes;
use relay_core::ports::webhook::{WebhookClient, WebhookRequest};
use relay_webhook::{AddressPolicy, Config, HttpWebhookClient};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let concurrent: usize = arguments.next().as_deref().unwrap_or("64").parse()?;
    let seconds: u64 = arguments.next().as_deref().unwrap_or("5").parse()?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url: Arc<str> = format!("http://{}/hook", listener.local_addr()?).into();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });

    let policy = AddressPolicy::public_only().with_loopback(true);
    let client = Arc::new(HttpWebhookClient::new(Config::new(policy, Arc::new(|| SystemTime::UNIX_EPOCH)))?);
    let started = Instant::now();
    let mut posting = JoinSet::new();
    for _ in 0..concurrent {
        let (client, url) = (Arc::clone(&client), Arc::clone(&url));
        posting.spawn(async move {
            let mut posted = 0_u64;
            while started.elapsed() < Duration::from_secs(seconds) {
                client.post(typical(&url)).await?;
                posted += 1;
            }
            Ok::<_, relay_core::ports::webhook::WebhookError>(posted)
        });
    }
    let mut posted = 0;
    while let Some(of_one) = posting.join_next().await {
        posted += of_one??;
    }
    let rate = posted as f64 / started.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{rate:.0} posts/s, {concurrent} at a time")?;
    Ok(())
}

fn typical(url: &Arc<str>) -> WebhookRequest {
    WebhookRequest {
        url: Arc::clone(url),
        headers: vec![
            ("content-type".into(), "application/cloudevents+json".into()),
            ("user-agent".into(), "event-relay".into()),
            ("webhook-id".into(), "01890a5d-ac96-774b-bcce-b302099a8057".to_owned().into()),
            ("webhook-timestamp".into(), "1767225600".to_owned().into()),
            ("webhook-signature".into(), "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=".to_owned().into()),
            ("relay-topic".into(), "orders.placed".to_owned().into()),
            ("relay-subscription".into(), "sub_01890a5d".to_owned().into()),
            ("relay-partition-key".into(), "customer-42".to_owned().into()),
            ("relay-replay-id".into(), "00000000000000000042".to_owned().into()),
            ("relay-attempt".into(), "1".into()),
            ("traceparent".into(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned().into()),
        ],
        body: Bytes::from_static(&[b'x'; 512]),
        timeout: Duration::from_secs(10),
    }
}

/// Takes whatever is ready to be read as one request, which it is as long as requests are small and come one by one.
fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while matches!(stream.read(&mut buffer), Ok(read) if read > 0) {
        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
            return;
        }
    }
}
