//! The HTTP client below: which certificates it trusts, how long it waits for bytes.

use std::sync::Arc;

use node_base::Duration;
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::error::BuildError;

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Longer than the longest poll.
const SILENCE_MAX: Duration = Duration::from_secs(90);
const IDLE_CONNECTIONS: usize = 64;

pub(crate) fn client(
    encrypted: bool,
    extra_roots_pem: &[Vec<u8>],
    user_agent: &str,
) -> Result<reqwest::Client, BuildError> {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been first; then there is one.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    // Redirects are not followed: a token goes to the address it was given for and nowhere else.
    let builder = ClientBuilder::new()
        .user_agent(user_agent)
        .redirect(Policy::none())
        .connect_timeout(CONNECT_MAX)
        .read_timeout(SILENCE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .tcp_nodelay(true)
        .http2_adaptive_window(true);
    let builder = if encrypted { trusting(builder, extra_roots_pem)? } else { plain(builder)? };
    builder.build().map_err(BuildError::Tls)
}

fn trusting(builder: ClientBuilder, extra: &[Vec<u8>]) -> Result<ClientBuilder, BuildError> {
    let mut roots = Vec::new();
    for pem in extra {
        roots.extend(Certificate::from_pem_bundle(pem).map_err(BuildError::Certificate)?);
    }
    Ok(if roots.is_empty() { builder } else { builder.tls_certs_merge(roots) })
}

/// Without TLS no certificate is looked at, so a machine that has none can still use a server on
/// its own loopback.
fn plain(builder: ClientBuilder) -> Result<ClientBuilder, BuildError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(BuildError::Protocol)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(config))
}
