use super::*;
use crate::address::AddressPolicy;
use crate::directory::Directory;
use crate::stream::Stream;
use tokio::net::{TcpListener, TcpStream};

const MINUTE: Duration = Duration::from_secs(60);

struct Bench {
    pool: Pool,
    directory: Directory,
    listener: TcpListener,
    peers: Vec<TcpStream>,
}

impl Bench {
    async fn new(max_total: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let directory = Directory::new(AddressPolicy::public_only(), 8);
        Self { pool: Pool::new(max_total, MINUTE, 5 * MINUTE), directory, listener, peers: Vec::new() }
    }

    fn endpoint(&self, host: &str) -> Arc<Endpoint> {
        let url = format!("https://{host}.example/").into();
        Arc::clone(&self.directory.find(&url).unwrap().endpoint)
    }

    /// Opens a connection and returns it with the instant that tells it from others.
    async fn open(&mut self) -> (Connection, Instant) {
        let slot = self.pool.reserve();
        let stream = TcpStream::connect(self.listener.local_addr().unwrap()).await.unwrap();
        let (peer, _) = self.listener.accept().await.unwrap();
        self.peers.push(peer);
        let connection = Connection::open(Stream::Plain(stream), slot).await.unwrap();
        let opened = connection.opened;
        (connection, opened)
    }

    fn live(&self) -> usize {
        self.pool.live.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn the_connection_parked_last_is_taken_first_and_only_by_its_endpoint() {
    let mut bench = Bench::new(8).await;
    let (a, b) = (bench.endpoint("a"), bench.endpoint("b"));
    let (first, first_opened) = bench.open().await;
    let (second, second_opened) = bench.open().await;
    bench.pool.park(&a, first);
    bench.pool.park(&a, second);
    assert!(bench.pool.take(&b).is_none());
    assert_eq!(bench.pool.take(&a).unwrap().opened, second_opened);
    assert_eq!(bench.pool.take(&a).unwrap().opened, first_opened);
    assert!(bench.pool.take(&a).is_none());
    assert_eq!(bench.live(), 0);
}

#[tokio::test]
async fn room_is_made_by_closing_what_has_idled_longest() {
    let mut bench = Bench::new(2).await;
    let (a, b) = (bench.endpoint("a"), bench.endpoint("b"));
    let (first, _) = bench.open().await;
    let (second, second_opened) = bench.open().await;
    bench.pool.park(&a, first);
    bench.pool.park(&b, second);
    let (third, _) = bench.open().await;
    assert_eq!(bench.live(), 2);
    assert!(bench.pool.take(&a).is_none());
    assert_eq!(bench.pool.take(&b).unwrap().opened, second_opened);
    drop(third);
    assert_eq!(bench.live(), 0);
}

#[tokio::test]
async fn what_idled_too_long_is_closed() {
    let mut bench = Bench::new(8).await;
    let a = bench.endpoint("a");
    let (connection, _) = bench.open().await;
    bench.pool.park(&a, connection);
    tokio::time::pause();
    tokio::time::advance(MINUTE - Duration::from_secs(1)).await;
    bench.pool.close_expired();
    assert_eq!(bench.live(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    bench.pool.close_expired();
    assert_eq!(bench.live(), 0);
    assert!(bench.pool.take(&a).is_none());
}

#[tokio::test]
async fn what_is_too_old_is_not_kept() {
    let mut bench = Bench::new(8).await;
    let a = bench.endpoint("a");
    let (connection, _) = bench.open().await;
    tokio::time::pause();
    tokio::time::advance(5 * MINUTE).await;
    bench.pool.park(&a, connection);
    assert_eq!(bench.live(), 0);
}

#[tokio::test]
async fn an_endpoint_lives_as_long_as_its_idle_connections() {
    let mut bench = Bench::new(8).await;
    let a = bench.endpoint("a");
    let weak = Arc::downgrade(&a);
    let (connection, _) = bench.open().await;
    bench.pool.park(&a, connection);
    bench.directory = Directory::new(AddressPolicy::public_only(), 8);
    drop(a);
    assert!(weak.upgrade().is_some());
    drop(bench.pool);
    assert!(weak.upgrade().is_none());
}
