//! Certificates: made, and read.
//!
//! Keys are Ed25519. A node's certificate names `node-3.<cluster>.scaidrive`, the cluster's number
//! in hex, as a DNS name: what TLS checks anyway, when one node calls another, is just what has to
//! be checked. It serves both ends of a connection.

use node_base::{NodeId, Timestamp};
use node_world::{Authority, CredentialError, Subject};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// How long a node's certificate is good. A running node renews it each day, and a node that comes
/// back certifies itself before it calls anybody; so this bounds how long a stolen one is good.
const NODE_DAYS: i64 = 90;
/// An authority is of use for as long as its cluster.
const AUTHORITY_DAYS: i64 = 100 * 365;
/// Certificates are good from before they are made, for clocks that are behind.
const EARLIER: Duration = Duration::hours(1);
/// An Ed25519 public key, in bytes.
const KEY_LEN: usize = 32;
const SUFFIX: &str = ".scaidrive";

/// What a process signs with.
pub(super) struct OwnKey(KeyPair);

impl OwnKey {
    pub(super) fn generate() -> Result<Self, CredentialError> {
        KeyPair::generate_for(&PKCS_ED25519).map(Self).map_err(|error| failed("a key", &error))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CredentialError> {
        decode(bytes).map(Self)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.0.serialize_der()
    }

    pub(super) fn public(&self) -> Vec<u8> {
        self.0.public_key_raw().to_vec()
    }
}

fn failed(what: &str, error: &rcgen::Error) -> CredentialError {
    CredentialError(format!("{what}: {error}"))
}

fn decode(bytes: &[u8]) -> Result<KeyPair, CredentialError> {
    let der = PrivatePkcs8KeyDer::from(bytes);
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519)
        .map_err(|error| failed("reading a key", &error))
}

/// A public key that somebody else sent.
struct PublicKey<'a>(&'a [u8]);

impl PublicKeyData for PublicKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// The DNS name of a node.
pub(crate) fn name(whom: Subject) -> String {
    format!("node-{}.{:032x}{SUFFIX}", whom.node.0, whom.cluster)
}

/// Whose DNS name it is.
pub(super) fn parse(name: &str) -> Option<Subject> {
    let (node, cluster) = name.strip_suffix(SUFFIX)?.split_once('.')?;
    let node = NodeId(node.strip_prefix("node-")?.parse().ok()?);
    let subject = Subject { cluster: u128::from_str_radix(cluster, 16).ok()?, node };
    // One spelling for one node, and node 0 is nobody.
    (self::name(subject) == name && node != NodeId::default()).then_some(subject)
}

fn params(common_name: &str, at: Timestamp, days: i64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::OrganizationName, "ScaiDrive");
    distinguished_name.push(DnType::CommonName, common_name);
    params.distinguished_name = distinguished_name;
    let at = OffsetDateTime::from_unix_timestamp(at.millis().div_euclid(1_000))
        .map_err(|_| rcgen::Error::Time)?;
    let moved = |span: Duration| at.checked_add(span).ok_or(rcgen::Error::Time);
    params.not_before = moved(-EARLIER)?;
    params.not_after = moved(Duration::days(days))?;
    Ok(params)
}

/// The authority's name: with its key alone and the cluster's number, it is made again.
fn authority_params(cluster: u128, at: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(&format!("cluster {cluster:032x}"), at, AUTHORITY_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

pub(super) fn found(cluster: u128, at: Timestamp) -> Result<Authority, CredentialError> {
    let make = || {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let certificate = authority_params(cluster, at)?.self_signed(&key)?;
        Ok(Authority { certificate: certificate.der().to_vec(), key: key.serialize_der() })
    };
    make().map_err(|error| failed("making an authority", &error))
}

pub(super) fn certify(
    by: &Authority,
    whom: Subject,
    public_key: &[u8],
    at: Timestamp,
) -> Result<Vec<u8>, CredentialError> {
    if public_key.len() != KEY_LEN {
        return Err(CredentialError("the public key is not of the kind that nodes have".into()));
    }
    let key = decode(&by.key)?;
    let sign = || {
        let mut params = params(&format!("node {}", whom.node), at, NODE_DAYS)?;
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name(whom).try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::new(authority_params(whom.cluster, at)?, key);
        let certificate = params.signed_by(&PublicKey(public_key), &issuer)?;
        Ok(certificate.der().to_vec())
    };
    sign().map_err(|error| failed("certifying a node", &error))
}

/// Who a certificate says that its owner is. It is for others to say whether to believe it.
pub(super) fn subject(certificate: &CertificateDer<'_>) -> Option<Subject> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_dns_names();
    let subject = parse(names.next()?)?;
    names.next().is_none().then_some(subject)
}

#[cfg(test)]
mod tests {
    use node_base::NodeId;
    use node_world::Subject;
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{name, parse};

    proptest! {
        #[test]
        fn a_name_leads_back(cluster: u128, node in 1..u64::MAX) {
            let subject = Subject { cluster, node: NodeId(node) };
            prop_assert_eq!(parse(&name(subject)), Some(subject));
        }

        #[test]
        fn any_name_is_answered(text: String) {
            let _ = parse(&text);
        }
    }

    #[test]
    fn names_have_one_spelling() {
        let good = name(Subject { cluster: 10, node: NodeId(3) });
        assert_eq!(good, "node-3.0000000000000000000000000000000a.scaidrive");
        for bad in [
            good.replace("node-3", "node-03"),
            good.replace("node-3", "node-0"),
            good.replace("0a.", "0A."),
            good.replace(".0000", ".000"),
            format!("{good}.example"),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }
}
