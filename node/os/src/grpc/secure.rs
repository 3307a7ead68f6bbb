//! TLS around TCP: both ends' handshakes.
#![expect(clippy::disallowed_types, reason = "sockets are opened here")]

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use node_base::{Duration, NodeId};
use node_world::{NetError, Peer, Refusal};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tonic::transport::server::Connected;

use crate::net::{Shared, within};
use crate::tls::{Refused, no_name, node_of, reason};

/// How long the other end may take to say who it is.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// How long a node may take to be reached.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("connecting")]
    Connect(#[source] io::Error),
    #[error("{0}")]
    Refused(Refused),
    #[error("TLS")]
    Tls(#[source] io::Error),
    #[error("this node is not certified by its cluster yet")]
    NotCertified,
}

/// The reason, where an error of a stream has one of TLS in it.
fn tls_reason(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What an error of a connection means to who called, where it says so.
pub(super) fn refusal(error: &(dyn Error + 'static)) -> Option<NetError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(DialError::Refused(why)) = error.downcast_ref::<DialError>() {
            return Some(NetError::Refused(Refusal(why.to_string())));
        }
        let tls = error.downcast_ref::<io::Error>().and_then(tls_reason);
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            let why = format!("the other end refuses this node's certificate ({alert:?})");
            return Some(NetError::Refused(Refusal(why)));
        }
        cause = error.source();
    }
    None
}

/// Whether an error of a call is that there was no connection to send it on.
pub(super) fn is_unconnected(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<DialError>().is_some() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Connects to a node and makes sure that it is the one.
pub(super) async fn dial(
    shared: Arc<Shared>,
    to: Peer,
) -> Result<TokioIo<client::TlsStream<TcpStream>>, DialError> {
    let keychain = &shared.keychain;
    let named = keychain.shown().and_then(|shown| Some((shown.name_of(to.node)?, shown)));
    let (config, name) = match named {
        Some((name, shown)) => {
            let name = ServerName::try_from(name).map_err(|_| DialError::NotCertified)?;
            (Arc::clone(&shown.grpc_client), name)
        }
        None if to.node == NodeId::default() => {
            (keychain.introduced().ok_or(DialError::NotCertified)?, no_name())
        }
        None => return Err(DialError::NotCertified),
    };
    let connecting = within(CONNECT_MAX, TcpStream::connect(&to.address)).await;
    let stream = connecting.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
    let stream = stream.map_err(DialError::Connect)?;
    stream.set_nodelay(true).map_err(DialError::Connect)?;
    let proving = within(HANDSHAKE_MAX, TlsConnector::from(config).connect(name, stream)).await;
    match proving.unwrap_or(Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => Ok(TokioIo::new(stream)),
        Err(error) => match tls_reason(&error).map(reason) {
            // Certificates are noted by who looks at them.
            Some(why) => Err(DialError::Refused(why)),
            None => Err(DialError::Tls(error)),
        },
    }
}

/// A connection that somebody made, and who proved to be at its other end: node 0 is a stranger.
pub(super) struct Secured {
    stream: server::TlsStream<TcpStream>,
    from: NodeId,
}

/// Who proved to be at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct From(pub(super) NodeId);

/// Has somebody who connected say who it is; nothing when it is refused.
pub(super) async fn accept(
    shared: &Shared,
    stream: TcpStream,
    from: SocketAddr,
) -> Option<Secured> {
    let Some(shown) = shared.keychain.shown() else {
        tracing::debug!(%from, "a connection came before this node is certified");
        return None;
    };
    let acceptor = TlsAcceptor::from(Arc::clone(&shown.grpc_server));
    let why = match within(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Some(Ok(stream)) => {
            let node = node_of(stream.get_ref().1.peer_certificates());
            return Some(Secured { stream, from: node.unwrap_or_default() });
        }
        Some(Err(error)) => match tls_reason(&error) {
            // A certificate was noted by who looked at it.
            Some(error) if !matches!(error, rustls::Error::InvalidCertificate(_)) => reason(error),
            // Or it hung up: a health check, or a node that ended.
            _ => {
                tracing::debug!(%from, %error, "a connection ended while it was made");
                return None;
            }
        },
        None => Refused::Silent,
    };
    shared.keychain.refusals.note(&from, why);
    None
}

impl Connected for Secured {
    type ConnectInfo = From;

    fn connect_info(&self) -> From {
        From(self.from)
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
