//! A network between the driver and a server that cuts connections, delays and stops reading, by a chance that a seed repeats.
//!
//! It counts bytes and knows nothing of what they mean. A connection that is cut is at its end on the server's side first: what
//! the server still makes of a request that was cut has happened before the driver can begin another.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

/// Bytes that are passed on at once.
const PIECE: usize = 32 << 10;
/// The server's own end of a connection is waited for as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// An address that leads to a server. Dropping it cuts every connection.
pub(crate) struct Network {
    address: SocketAddr,
    chance: Arc<Chance>,
    runtime: Option<Runtime>,
}

struct Chance {
    /// Nothing is left to it without a seed.
    random: Option<Mutex<StdRng>>,
    cuts: AtomicUsize,
    /// Nothing moves.
    held: AtomicBool,
}

/// What becomes of a connection.
struct Fate {
    /// After so many bytes to the server it is cut.
    there: usize,
    /// After so many bytes to the driver it is cut.
    back: usize,
    /// Each piece waits this long.
    delay: Duration,
    /// Before it is cut nothing moves for so long.
    stall: Duration,
}

impl Chance {
    /// Lengths of which all magnitudes are as likely, so that heads are met as well as bodies.
    fn draw(&self) -> Fate {
        let calm = Fate { there: usize::MAX, back: usize::MAX, delay: Duration::ZERO, stall: Duration::ZERO };
        let Some(random) = &self.random else { return calm };
        let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
        let mut length = |last: f64| 10f64.powf(random.random_range(1.5..last)) as usize;
        let (there, back) = (length(7.7), length(7.2));
        let mut rarely = |share: f64, most: u64| {
            let is_so = random.random_bool(share);
            Duration::from_millis(if is_so { random.random_range(1..most) } else { 0 })
        };
        Fate { there, back, delay: rarely(0.2, 15), stall: rarely(0.3, 1500) }
    }
}

impl Network {
    /// The way to the server at `address`.
    pub(crate) fn before(address: SocketAddr, seed: Option<u64>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let random = seed.map(|seed| Mutex::new(StdRng::seed_from_u64(seed)));
        let chance = Arc::new(Chance { random, cuts: AtomicUsize::default(), held: AtomicBool::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(accept(listener, address, Arc::clone(&chance)));
        Network { address: own, chance, runtime: Some(runtime) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops reading from both sides, or goes on.
    pub(crate) fn hold(&self, held: bool) {
        self.chance.held.store(held, Ordering::Relaxed);
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.chance.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.runtime.take().map(Runtime::shutdown_background).unwrap_or_default();
    }
}

async fn accept(listener: std::net::TcpListener, server: SocketAddr, chance: Arc<Chance>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((driver, _)) = listener.accept().await {
        tokio::spawn(connect(driver, server, Arc::clone(&chance)));
    }
}

/// One connection, to its end.
async fn connect(mut driver: TcpStream, server: SocketAddr, chance: Arc<Chance>) {
    let fate = chance.draw();
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let was_cut = {
        let (from_driver, to_driver) = driver.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            was_cut = pass(from_driver, to_server, fate.there, &fate, &chance.held) => was_cut,
            was_cut = pass(from_server, to_driver, fate.back, &fate, &chance.held) => was_cut,
        }
    };
    if was_cut {
        chance.cuts.fetch_add(1, Ordering::Relaxed);
    }
    let _ = server.shutdown().await;
    let mut rest = vec![0; PIECE];
    while let Ok(Ok(1..)) = timeout(PATIENCE, server.read(&mut rest)).await {}
}

/// Passes bytes on in one direction, until one side ends; whether it is cut before that.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut left: usize,
    fate: &Fate,
    held: &AtomicBool,
) -> bool {
    let mut piece = vec![0; PIECE];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else { return false };
        sleep(fate.delay).await;
        while held.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(10)).await;
        }
        let passed = length.min(left);
        if to.write_all(&piece[..passed]).await.is_err() {
            return false;
        }
        left -= passed;
        if left == 0 {
            sleep(fate.stall).await;
            return true;
        }
    }
}
