//! Sockets that wait for connections.
#![expect(clippy::disallowed_types, reason = "sockets are opened here")]

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use node_base::Duration;
use tokio::net::TcpStream;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{0} is in use by another program")]
    InUse(SocketAddr),
    #[error("listening on {0} is not permitted to this user")]
    NotPermitted(SocketAddr),
    #[error("{0} is no address of this machine")]
    NotHere(SocketAddr),
    #[error("listening on {address}")]
    Other { address: SocketAddr, source: io::Error },
}

/// A listening socket. Each connection it takes sends small writes at once (`TCP_NODELAY`).
pub struct Listener(tokio::net::TcpListener);

/// Listens on an address; port 0 takes a free one. Call it within the runtime.
///
/// # Errors
/// [`ListenError`], with the address in it.
pub fn listen(address: SocketAddr) -> Result<Listener, ListenError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    });
    bound.map(Listener).map_err(|source| failure(address, source))
}

/// How often another port is tried, when one that is free for TCP is not for UDP.
const PORTS_TRIED: u32 = 32;

/// Listens on an address over TCP, and over UDP on the same port.
pub(crate) fn listen_both(address: SocketAddr) -> Result<(Listener, UdpSocket), ListenError> {
    let mut tries = 0;
    loop {
        let listener = listen(address)?;
        let bound = listener.address().map_err(|source| ListenError::Other { address, source })?;
        match UdpSocket::bind(bound).map_err(|error| failure(bound, error)) {
            Ok(socket) => return Ok((listener, socket)),
            Err(ListenError::InUse(_)) if address.port() == 0 && tries < PORTS_TRIED => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

fn failure(address: SocketAddr, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        io::ErrorKind::PermissionDenied => ListenError::NotPermitted(address),
        io::ErrorKind::AddrNotAvailable => ListenError::NotHere(address),
        _ => ListenError::Other { address, source },
    }
}

impl Listener {
    /// Where it listens, with the port it was given.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next connection, and who made it. Failures to take one are logged and waited out: they
    /// pass, such as a lack of file descriptors.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.accept_once().await {
                Ok(connection) => return connection,
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection ended before it was taken");
                }
                Err(error) => {
                    tracing::error!(%error, "taking a connection");
                    pause().await;
                }
            }
        }
    }

    async fn accept_once(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, from))
    }
}

/// Whether the next attempt may succeed at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
            | io::ErrorKind::Interrupted
    )
}

#[expect(clippy::disallowed_methods, reason = "a listener belongs to no world")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}
