//! The machine's sockets as the HTTP surface takes them.

use std::io;
use std::net::SocketAddr;

use tokio::net::UnixStream;

/// A listening TCP socket.
pub(crate) struct Tcp(pub(crate) node_os::Listener);

#[expect(clippy::disallowed_types, reason = "node-os opened it; here it is handed on by its type")]
impl axum::serve::Listener for Tcp {
    type Io = tokio::net::TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (tokio::net::TcpStream, SocketAddr) {
        self.0.accept().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.address()
    }
}

/// The private socket. Whoever can open it owns the data directory, and has no address.
pub(crate) struct Private(pub(crate) tokio::net::UnixListener);

impl axum::serve::Listener for Private {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => return (stream, SocketAddr::from(([127, 0, 0, 1], 0))),
                // Out of file handles: others will be closed.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}
