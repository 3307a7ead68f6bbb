//! Who is believed to be whom: both ends check the authority, the cluster and the node.

use std::sync::Arc;

use node_base::{NodeId, Sha256, sha256};
use node_world::Subject;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

use super::authority;
use super::refusal::{Refusals, Refused};

fn algorithms() -> WebPkiSupportedAlgorithms {
    rustls::crypto::ring::default_provider().signature_verification_algorithms
}

fn tls_error(why: Refused) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
}

/// The reason inside an error of TLS, where a verifier of ours gave it, or the other end's did.
pub(crate) fn reason(error: &Error) -> Refused {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => {
            why.downcast_ref().copied().unwrap_or(Refused::Stranger)
        }
        Error::InvalidMessage(_) => Refused::NotTls,
        Error::NoCertificatesPresented => Refused::NoCertificate,
        Error::AlertReceived(_) => Refused::NotBelieved,
        _ => Refused::Handshake,
    }
}

/// Believes one authority.
#[derive(Debug)]
struct Chains(TrustAnchor<'static>);

impl Chains {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<Subject, Refused> {
        let entity = EndEntityCert::try_from(certificate).map_err(|_| Refused::Stranger)?;
        let anchors = std::slice::from_ref(&self.0);
        entity.verify_for_usage(algorithms().all, anchors, &[], now, usage, None, None).map_err(
            |error| match error {
                webpki::Error::CertExpired { .. } => Refused::Expired,
                webpki::Error::CertNotValidYet { .. } => Refused::NotYet,
                _ => Refused::Stranger,
            },
        )?;
        authority::subject(certificate).ok_or(Refused::Stranger)
    }
}

fn anchor(authority: &CertificateDer<'_>) -> Result<TrustAnchor<'static>, webpki::Error> {
    Ok(webpki::anchor_from_trusted_cert(authority)?.to_owned())
}

/// Believes the nodes of one cluster.
#[derive(Debug)]
pub(super) struct Members {
    chains: Chains,
    cluster: u128,
    /// Whether a caller has to be a node. One that joins is none yet.
    pub(super) callers_are_nodes: bool,
    refusals: Arc<Refusals>,
}

impl Members {
    pub(super) fn new(
        cluster: u128,
        authority: &CertificateDer<'_>,
        callers_are_nodes: bool,
        refusals: Arc<Refusals>,
    ) -> Result<Self, webpki::Error> {
        let chains = Chains(anchor(authority)?);
        Ok(Self { chains, cluster, callers_are_nodes, refusals })
    }

    /// Notes a refusal, with the name that the other end claims.
    fn refuse(&self, certificate: &CertificateDer<'_>, why: Refused) -> Error {
        match authority::subject(certificate) {
            Some(claimed) => self.refusals.note(&authority::name(claimed), why),
            None => self.refusals.note(&"somebody without a node's name", why),
        }
        tls_error(why)
    }

    pub(super) fn check(
        &self,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<NodeId, Refused> {
        let subject = self.chains.check(certificate, now, usage);
        let claimed = subject.ok().or_else(|| authority::subject(certificate));
        if claimed.is_some_and(|claimed| claimed.cluster != self.cluster) {
            return Err(Refused::OtherCluster);
        }
        subject.map(|subject| subject.node)
    }
}

impl ServerCertVerifier for Members {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let node = self.check(end_entity, now, KeyUsage::server_auth());
        let node = node.map_err(|why| self.refuse(end_entity, why))?;
        let meant = authority::parse(&server_name.to_str()).map(|meant| meant.node);
        if meant == Some(node) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(self.refuse(end_entity, Refused::OtherNode(node)))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls_error(Refused::Handshake))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Members {
    fn client_auth_mandatory(&self) -> bool {
        self.callers_are_nodes
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let node = self.check(end_entity, now, KeyUsage::client_auth());
        node.map_err(|why| self.refuse(end_entity, why))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls_error(Refused::Handshake))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Believes any node whose authority has this SHA-256, which came with a join token.
#[derive(Debug)]
pub(super) struct Introduced(pub(super) Sha256);

impl ServerCertVerifier for Introduced {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates.iter().find(|shown| sha256(shown) == self.0);
        let authority = authority.ok_or_else(|| {
            let is_node = authority::subject(end_entity).is_some();
            tls_error(if is_node { Refused::OtherCluster } else { Refused::Stranger })
        })?;
        let anchor = anchor(authority).map_err(|_| tls_error(Refused::Stranger))?;
        Chains(anchor).check(end_entity, now, KeyUsage::server_auth()).map_err(tls_error)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls_error(Refused::Handshake))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
