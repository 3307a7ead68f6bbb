//! Mutual TLS between nodes, for TCP and QUIC alike: TLS 1.3, and nothing is resumed, so that each
//! connection shows its certificate anew.

mod authority;
mod refusal;
mod verify;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::{Buf, BufMut};
use node_base::{NodeId, Sha256, Timestamp};
use node_world::{Authority, CredentialError, Credentials, Subject};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;
use webpki::KeyUsage;

use authority::OwnKey;
pub(crate) use refusal::{Refusals, Refused};
pub(crate) use verify::reason;
use verify::{Introduced, Members};

/// What is spoken over TCP and over QUIC.
const GRPC: &[u8] = b"h2";
const SHARDS: &[u8] = b"scaidrive-shards/1";

/// This process's key and certificate, and whom it believes.
pub(crate) struct Keychain {
    state: RwLock<State>,
    shown: watch::Sender<Option<Arc<Shown>>>,
    pub(crate) refusals: Arc<Refusals>,
}

struct State {
    /// Nothing when the machine has no entropy: said when it is asked for.
    key: Option<OwnKey>,
    introduced: Option<Arc<ClientConfig>>,
    removed: BTreeSet<NodeId>,
}

/// What a certified process shows and believes.
pub(crate) struct Shown {
    pub(crate) whom: Subject,
    certificate: Vec<u8>,
    authority: Vec<u8>,
    pub(crate) grpc_server: Arc<ServerConfig>,
    pub(crate) grpc_client: Arc<ClientConfig>,
    pub(crate) quic_server: Arc<QuicServerConfig>,
    pub(crate) quic_client: Arc<QuicClientConfig>,
}

impl Shown {
    /// The name to expect of a node.
    pub(crate) fn name_of(&self, node: NodeId) -> Option<String> {
        let is_node = node != NodeId::default();
        is_node.then(|| authority::name(Subject { node, ..self.whom }))
    }
}

/// The name by which a node is called that is not known yet.
pub(crate) fn no_name() -> ServerName<'static> {
    ServerName::try_from("scaidrive").expect("a label is a DNS name")
}

/// Which node a verified chain is of.
pub(crate) fn node_of(chain: Option<&[CertificateDer<'_>]>) -> Option<NodeId> {
    authority::subject(chain?.first()?).map(|subject| subject.node)
}

impl Keychain {
    pub(crate) fn new() -> Self {
        let state =
            State { key: OwnKey::generate().ok(), introduced: None, removed: BTreeSet::new() };
        let shown = watch::channel(None).0;
        Self { state: RwLock::new(state), shown, refusals: Arc::default() }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shown(&self) -> Option<Arc<Shown>> {
        self.shown.borrow().clone()
    }

    /// Told whenever something else is shown.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Shown>>> {
        self.shown.subscribe()
    }

    /// How to call a node whose number is not known.
    pub(crate) fn introduced(&self) -> Option<Arc<ClientConfig>> {
        self.state().introduced.clone()
    }

    pub(crate) fn is_removed(&self, node: NodeId) -> bool {
        self.state().removed.contains(&node)
    }

    fn set(&self, shown: Shown, key: Option<OwnKey>) {
        if let Some(key) = key {
            self.state.write().unwrap_or_else(PoisonError::into_inner).key = Some(key);
        }
        self.shown.send_replace(Some(Arc::new(shown)));
    }
}

fn wrong(error: &dyn std::error::Error) -> CredentialError {
    CredentialError(format!("using a certificate: {error}"))
}

fn builder<Side: rustls::ConfigSide>(
    start: impl FnOnce(
        Arc<rustls::crypto::CryptoProvider>,
    ) -> rustls::ConfigBuilder<Side, rustls::WantsVersions>,
) -> Result<rustls::ConfigBuilder<Side, rustls::WantsVerifier>, CredentialError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    start(provider).with_protocol_versions(&[&TLS13]).map_err(|error| wrong(&error))
}

fn client_builder()
-> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, CredentialError> {
    builder(ClientConfig::builder_with_provider)
}

/// The four configurations of a certified process.
fn show(
    whom: Subject,
    certificate: &[u8],
    authority: &[u8],
    key: &OwnKey,
    refusals: &Arc<Refusals>,
) -> Result<Shown, CredentialError> {
    let issuer = CertificateDer::from(authority.to_vec());
    let chain = vec![CertificateDer::from(certificate.to_vec()), issuer.clone()];
    let members = |callers_are_nodes| {
        let refusals = Arc::clone(refusals);
        let members = Members::new(whom.cluster, &issuer, callers_are_nodes, refusals);
        members.map(Arc::new).map_err(|error| wrong(&error))
    };
    let itself = members(true)?.check(&chain[0], UnixTime::now(), KeyUsage::client_auth());
    if itself.map_err(|why| wrong(&why))? != whom.node {
        return Err(CredentialError("the certificate is of another node".to_owned()));
    }
    let private = || PrivatePkcs8KeyDer::from(key.encode()).into();
    let server = |callers_are_nodes, protocol: &[u8]| {
        let mut config = builder(ServerConfig::builder_with_provider)?
            .with_client_cert_verifier(members(callers_are_nodes)?)
            .with_single_cert(chain.clone(), private())
            .map_err(|error| wrong(&error))?;
        config.alpn_protocols = vec![protocol.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok::<_, CredentialError>(config)
    };
    let client = |protocol: &[u8]| {
        let mut config = client_builder()?
            .dangerous()
            .with_custom_certificate_verifier(members(true)?)
            .with_client_auth_cert(chain.clone(), private())
            .map_err(|error| wrong(&error))?;
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::disabled();
        Ok::<_, CredentialError>(config)
    };
    let quic_server = QuicServerConfig::try_from(server(true, SHARDS)?);
    let quic_client = QuicClientConfig::try_from(client(SHARDS)?);
    Ok(Shown {
        whom,
        certificate: certificate.to_vec(),
        authority: authority.to_vec(),
        grpc_server: Arc::new(server(false, GRPC)?),
        grpc_client: Arc::new(client(GRPC)?),
        quic_server: Arc::new(quic_server.map_err(|error| wrong(&error))?),
        quic_client: Arc::new(quic_client.map_err(|error| wrong(&error))?),
    })
}

impl Credentials for Keychain {
    fn found(&self, cluster: u128, at: Timestamp) -> Result<Authority, CredentialError> {
        authority::found(cluster, at)
    }

    fn public_key(&self) -> Vec<u8> {
        self.state().key.as_ref().map(OwnKey::public).unwrap_or_default()
    }

    fn certify(
        &self,
        by: &Authority,
        whom: Subject,
        public_key: &[u8],
        at: Timestamp,
    ) -> Result<Vec<u8>, CredentialError> {
        authority::certify(by, whom, public_key, at)
    }

    fn show(
        &self,
        whom: Subject,
        certificate: &[u8],
        authority: &[u8],
    ) -> Result<(), CredentialError> {
        let shown = match &self.state().key {
            Some(key) => show(whom, certificate, authority, key, &self.refusals)?,
            None => return Err(CredentialError("the machine has no entropy".to_owned())),
        };
        self.set(shown, None);
        Ok(())
    }

    fn believe(&self, authority: Sha256) {
        let config = client_builder().map(|builder| {
            let mut config = builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Introduced(authority)))
                .with_no_client_auth();
            config.alpn_protocols = vec![GRPC.to_vec()];
            config.resumption = Resumption::disabled();
            config
        });
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.introduced = config.ok().map(Arc::new);
    }

    fn revoke(&self, removed: BTreeSet<NodeId>) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).removed = removed;
    }

    fn save(&self) -> Option<Vec<u8>> {
        let state = self.state();
        let (shown, key) = (self.shown()?, state.key.as_ref()?);
        Some(Saved::encode([&key.encode(), &shown.certificate, &shown.authority]))
    }

    fn load(&self, whom: Subject, saved: &[u8]) -> Result<(), CredentialError> {
        let saved = Saved::decode(saved)
            .ok_or_else(|| CredentialError("the saved certificate is damaged".to_owned()))?;
        let [key, certificate, authority] = saved.0;
        let key = OwnKey::decode(&key)?;
        let shown = show(whom, &certificate, &authority, &key, &self.refusals)?;
        self.set(shown, Some(key));
        Ok(())
    }

    fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.refusals.counts()
    }
}

/// What is saved: the key in PKCS#8, the node's certificate, the authority's, each after its
/// length in four bytes, little-endian.
struct Saved([Vec<u8>; 3]);

impl Saved {
    fn encode(parts: [&[u8]; 3]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.put_u32_le(u32::try_from(part.len()).expect("certificates are small"));
            bytes.extend_from_slice(part);
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut parts = [const { Vec::new() }; 3];
        for part in &mut parts {
            let len = bytes.try_get_u32_le().ok()? as usize;
            let (head, rest) = bytes.split_at_checked(len)?;
            (*part, bytes) = (head.to_vec(), rest);
        }
        bytes.is_empty().then_some(Self(parts))
    }
}
