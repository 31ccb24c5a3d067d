//! An address that stays while the broker behind it is another one, or none.

use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};

pub struct Proxy {
    url: String,
    behind: Arc<Mutex<Option<String>>>,
}

impl Proxy {
    /// An address with nobody behind it.
    pub async fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behind = Arc::new(Mutex::new(None::<String>));
        let now = Arc::clone(&behind);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let address = now.lock().unwrap().clone();
                tokio::spawn(async move {
                    let Some(address) = address else { return };
                    if let Ok(mut broker) = TcpStream::connect(address).await {
                        // Either side may end at any time.
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut broker).await;
                    }
                });
            }
        });
        Proxy { url, behind }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whom new connections reach from now on.
    pub fn lead_to(&self, url: Option<&str>) {
        *self.behind.lock().unwrap() = url.map(|url| url.trim_start_matches("http://").to_owned());
    }
}
