//! What the built-in issuer keeps: passwords, signing keys, and grants on their way to a token.

use node_base::{Sha256, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::tables;

tables! {
    Passwords(120, "passwords"): (TenantId, UserId) => Password;
    SigningKeys(121, "signing_keys"): (String,) => SigningKey;
    /// By the SHA-256 of the secret that the client holds: the tables never hold the secret.
    Grants(122, "grants"): (Sha256,) => Grant;
    GrantsByAge(123, "grants_by_age"): (Timestamp, Sha256) => ();
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// In the PHC string format, argon2id.
    pub phc: String,
    pub changed_at: Timestamp,
    /// Wrong attempts since the last right one, and when the last was.
    pub failures: u32,
    pub failed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// PKCS #8 DER of an Ed25519 or P-256 key.
    pub private_der: Vec<u8>,
    pub algorithm: SigningAlgorithm,
    pub created_at: Timestamp,
    /// From then on it signs nothing, and stays published while tokens it signed may live.
    pub retired_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    Es256,
    EdDsa,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub kind: GrantKind,
    pub client_id: String,
    pub scope: String,
    pub expires_at: Timestamp,
    /// Set at once for a code; when a person has agreed for a device code.
    pub user: Option<(TenantId, UserId)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantKind {
    Code {
        redirect_uri: String,
        challenge: Option<String>,
        nonce: Option<String>,
    },
    /// `family` ties together the tokens that replaced one another: one used twice ends them all.
    Refresh {
        family: Sha256,
        used: bool,
    },
    Device {
        user_code: String,
        denied: bool,
    },
    /// A browser session at the issuer's own pages.
    Session,
    /// Stands under the hash of a user code for the device code it belongs to.
    UserCode {
        device: Sha256,
    },
    /// Stands under a family's name as long as its tokens are good.
    Family,
    /// A code that was traded in: if it comes again, somebody stole it, and what came of it ends.
    Spent {
        family: Option<Sha256>,
    },
}
