//! Nodes of a cluster on this machine's sockets.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use node_base::{Duration, NodeId, Timestamp};
use node_os::RealWorld;
use node_world::{
    Authority, BoxFuture, Class, Credentials, Handler, NetError, Peer, Refusal, Subject, World,
};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::runtime::Handle;

pub(crate) const LONG: Duration = Duration::from_secs(30);
pub(crate) const CLUSTER: u128 = 0xC105;

pub(crate) fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn credentials(world: &World) -> &dyn Credentials {
    world.net().credentials().expect("real nodes prove who they are")
}

/// The authority of all these clusters: two that differ in their number alone.
pub(crate) fn authority(world: &World) -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| credentials(world).found(CLUSTER, world.wall()).expect("entropy"))
}

pub(crate) fn certify(world: &World, node: u64, authority: &Authority, cluster: u128) {
    let own = credentials(world);
    let whom = Subject { cluster, node: NodeId(node) };
    let certificate = own.certify(authority, whom, &own.public_key(), world.wall()).expect("valid");
    own.show(whom, &certificate, &authority.certificate).expect("it is ours");
}

/// A certified node that handles nothing yet.
pub(crate) fn node(number: u64, address: SocketAddr) -> Option<RealWorld> {
    let real = RealWorld::node(&Handle::current(), NodeId(number), address).ok()?;
    certify(&real.world, number, authority(&real.world), CLUSTER);
    Some(real)
}

/// Says what it was told; panics when it was told to.
pub(crate) struct Back;

impl Handler for Back {
    fn handle(&self, from: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
        Box::pin(async move {
            assert_ne!(request, "panic", "as asked");
            if request == "who" { Ok(Bytes::from(from.to_string())) } else { Ok(request) }
        })
    }
}

/// A certified node that says what it is told.
pub(crate) fn echo(number: u64, address: SocketAddr) -> Option<RealWorld> {
    let real = node(number, address)?;
    Class::ALL.into_iter().for_each(|class| real.world.net().serve(class, Arc::new(Back)));
    Some(real)
}

pub(crate) async fn send(
    world: &World,
    (node, address): (u64, SocketAddr),
    class: Class,
    text: &'static str,
) -> Result<Bytes, NetError> {
    let to = Peer { node: NodeId(node), address: address.to_string() };
    world.net().call(to, class, Bytes::from_static(text.as_bytes()), LONG).await
}

/// How often a node refused somebody for this.
pub(crate) fn refusals(world: &World, reason: &str) -> u64 {
    let counts = credentials(world).refusals();
    counts.into_iter().find(|(name, _)| *name == reason).expect("a known reason").1
}

/// TLS as a program that is no node speaks it, certified as node 1 at `at` where it is.
pub(crate) fn by_hand(world: &World, at: Option<Timestamp>) -> ClientConfig {
    let authority = authority(world);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(authority.certificate.clone())).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("it is supported")
        .with_root_certificates(roots);
    let mut config = match at {
        None => builder.with_no_client_auth(),
        Some(at) => {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("entropy");
            let whom = Subject { cluster: CLUSTER, node: NodeId(1) };
            let public = key.public_key_raw();
            let own = credentials(world).certify(authority, whom, public, at).expect("valid");
            let private = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
            builder.with_client_auth_cert(vec![CertificateDer::from(own)], private).expect("a key")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// The name of a node in its certificate.
pub(crate) fn name(node: u64) -> String {
    format!("node-{node}.{CLUSTER:032x}.scaidrive")
}
