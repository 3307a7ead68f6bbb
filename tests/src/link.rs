//! A line to a node that can be cut and slowed down: a proxy in between, for TCP and UDP.
//!
//! Others reach the node at the line's address. A node speaks from its own address, so the line
//! knows who speaks. Cut means silence, as on a network, and not a connection that is refused: that
//! is what [`Link::close`] is for, when the node's process has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// How often what is held back looks whether it may go on.
const LOOK: Duration = Duration::from_millis(10);
const TRIES: u32 = 500;
const PACKET_MAX: usize = 64 << 10;

/// What the lines of a cluster do to what they carry.
#[derive(Default)]
pub(crate) struct Weather(RwLock<State>);

#[derive(Default)]
struct State {
    cut: BTreeSet<IpAddr>,
    slow: BTreeMap<IpAddr, Duration>,
}

impl Weather {
    /// Lets nothing through from a node's address, or to it.
    pub(crate) fn cut(&self, node: IpAddr) {
        self.0.write().expect("never poisoned").cut.insert(node);
    }

    /// Has everything from a node's address, and to it, take longer.
    pub(crate) fn slow(&self, node: IpAddr, by: Duration) {
        self.0.write().expect("never poisoned").slow.insert(node, by);
    }

    /// Takes it all back.
    pub(crate) fn mend(&self, node: IpAddr) {
        let mut state = self.0.write().expect("never poisoned");
        state.cut.remove(&node);
        state.slow.remove(&node);
    }

    fn is_cut(&self, ends: [IpAddr; 2]) -> bool {
        let state = self.0.read().expect("never poisoned");
        ends.iter().any(|end| state.cut.contains(end))
    }

    fn delay(&self, ends: [IpAddr; 2]) -> Duration {
        let state = self.0.read().expect("never poisoned");
        ends.iter().filter_map(|end| state.slow.get(end)).sum()
    }

    async fn pass(&self, ends: [IpAddr; 2]) {
        while self.is_cut(ends) {
            tokio::time::sleep(LOOK).await;
        }
        let delay = self.delay(ends);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

/// A line to one node.
pub(crate) struct Link {
    runtime: Arc<Runtime>,
    weather: Arc<Weather>,
    at: SocketAddr,
    to: SocketAddr,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Link {
    /// A line at an address to a node; closed yet.
    pub(crate) fn new(
        runtime: &Arc<Runtime>,
        weather: &Arc<Weather>,
        at: SocketAddr,
        to: SocketAddr,
    ) -> Self {
        let (runtime, weather) = (Arc::clone(runtime), Arc::clone(weather));
        Self { runtime, weather, at, to, tasks: Mutex::default() }
    }

    /// Takes connections.
    ///
    /// # Panics
    /// When the address is taken.
    pub(crate) fn open(&self) {
        let (at, to, weather) = (self.at, self.to, Arc::clone(&self.weather));
        let (listener, socket) = self.runtime.block_on(async {
            // What carried for it before may not have ended quite.
            for _ in 0..TRIES {
                let bound = (TcpListener::bind(at).await, UdpSocket::bind(at).await);
                if let (Ok(listener), Ok(socket)) = bound {
                    return (listener, socket);
                }
                tokio::time::sleep(LOOK).await;
            }
            panic!("{at} is taken");
        });
        let tcp = self.runtime.spawn(connections(listener, to, Arc::clone(&weather)));
        let udp = self.runtime.spawn(packets(Arc::new(socket), to, weather));
        self.tasks.lock().expect("never poisoned").extend([tcp, udp]);
    }

    /// Refuses connections, and ends those there are: as a machine does without the process.
    pub(crate) fn close(&self) {
        let tasks: Vec<_> = self.tasks.lock().expect("never poisoned").drain(..).collect();
        tasks.iter().for_each(JoinHandle::abort);
        self.runtime.block_on(async {
            for task in tasks {
                // It was ended just now.
                let _ = task.await;
            }
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for task in self.tasks.lock().expect("never poisoned").drain(..) {
            task.abort();
        }
    }
}

async fn connections(listener: TcpListener, to: SocketAddr, weather: Arc<Weather>) {
    // Dropped with this task, they end.
    let mut open = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, from)) = listener.accept().await else { continue };
        while open.try_join_next().is_some() {}
        let weather = Arc::clone(&weather);
        open.spawn(async move {
            let ends = [from.ip(), to.ip()];
            weather.pass(ends).await;
            let Ok(other) = TcpStream::connect(to).await else { return };
            let (_, _) = (stream.set_nodelay(true), other.set_nodelay(true));
            let (mut left, mut right) = (stream.into_split(), other.into_split());
            tokio::select! {
                () = carry(&mut left.0, &mut right.1, ends, &weather) => {}
                () = carry(&mut right.0, &mut left.1, ends, &weather) => {}
            }
        });
    }
}

async fn carry(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    ends: [IpAddr; 2],
    weather: &Weather,
) {
    let mut bytes = vec![0; PACKET_MAX];
    loop {
        let read = from.read(&mut bytes).await;
        // A connection's end does not get through either.
        weather.pass(ends).await;
        match read {
            Ok(count @ 1..) if to.write_all(&bytes[..count]).await.is_ok() => {}
            _ => return,
        }
    }
}

async fn packets(socket: Arc<UdpSocket>, to: SocketAddr, weather: Arc<Weather>) {
    let mut ways: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    let mut back = tokio::task::JoinSet::new();
    let mut bytes = vec![0; PACKET_MAX];
    loop {
        let Ok((count, from)) = socket.recv_from(&mut bytes).await else { continue };
        let ends = [from.ip(), to.ip()];
        if let std::collections::btree_map::Entry::Vacant(free) = ways.entry(from) {
            let Ok(way) = UdpSocket::bind((to.ip(), 0)).await else { continue };
            if way.connect(to).await.is_err() {
                continue;
            }
            let way = free.insert(Arc::new(way));
            back.spawn(answers(
                Arc::clone(way),
                Arc::clone(&socket),
                from,
                to,
                Arc::clone(&weather),
            ));
        }
        forward(&weather, ends, &ways[&from], None, &bytes[..count]).await;
    }
}

async fn answers(
    way: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    from: SocketAddr,
    to: SocketAddr,
    weather: Arc<Weather>,
) {
    let mut bytes = vec![0; PACKET_MAX];
    loop {
        // Refused while the node's process is not there.
        let Ok(count) = way.recv(&mut bytes).await else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        forward(&weather, [from.ip(), to.ip()], &socket, Some(from), &bytes[..count]).await;
    }
}

/// Sends a packet on, loses it, or has it take its time.
async fn forward(
    weather: &Weather,
    ends: [IpAddr; 2],
    socket: &Arc<UdpSocket>,
    to: Option<SocketAddr>,
    bytes: &[u8],
) {
    if weather.is_cut(ends) {
        return;
    }
    let (socket, bytes, delay) = (Arc::clone(socket), bytes.to_vec(), weather.delay(ends));
    let send = async move {
        tokio::time::sleep(delay).await;
        // What is lost is sent again.
        let _ = match to {
            Some(to) => socket.send_to(&bytes, to).await,
            None => socket.send(&bytes).await,
        };
    };
    if delay.is_zero() {
        send.await;
    } else {
        tokio::spawn(send);
    }
}
