//! A file's own hash, computed from its bytes in the background.

use node_base::{FileId, Sha256, TenantId, VersionId};

use crate::apply::audit::{self, Draft};
use crate::apply::{Step, Stop};
use crate::table::audit::{Category, Severity};
use crate::table::item::{Body, Checksum, ItemId, Items, Unverified, Version, Versions};
use crate::table::{self};

/// Notes what the bytes of a version give. A version that is gone, or known already, stays so; one
/// whose number another has taken since is found under the number it has now.
pub(super) fn set(
    step: &mut Step<'_>,
    key: (TenantId, FileId, u32),
    id: VersionId,
    sha256: Sha256,
) -> Result<u32, Stop> {
    let (tenant, file, _) = key;
    let found = table::get::<Versions>(step.reader(), &key)?;
    let is_known = |version: &Version| {
        matches!(version.checksum, Checksum::Verified(_) | Checksum::Mismatch(_))
    };
    if found.as_ref().is_none_or(is_known) {
        table::delete::<Unverified>(step.tables, &key)?;
    }
    let Some(mut version) = found.filter(|version| version.id == id) else { return Ok(0) };
    version.checksum = match version.checksum {
        Checksum::Unknown => Checksum::Verified(sha256),
        Checksum::Pending(declared) if declared == sha256 => Checksum::Verified(sha256),
        Checksum::Pending(declared) => {
            report(step, tenant, file, (declared, sha256))?;
            Checksum::Mismatch(sha256)
        }
        Checksum::Verified(_) | Checksum::Mismatch(_) => return Ok(0),
    };
    table::put::<Versions>(step.tables, &key, &version)?;
    table::delete::<Unverified>(step.tables, &key)?;
    let key = (tenant, ItemId::File(file));
    if let Some(mut item) = table::get::<Items>(step.reader(), &key)?
        && let Body::File(body) = &mut item.body
        && body.version_id == version.id
    {
        body.checksum = version.checksum;
        item.revision = step.index;
        table::put::<Items>(step.tables, &key, &item)?;
    }
    Ok(1)
}

/// The content is what its chunks say; that a client believes otherwise, somebody should know.
fn report(
    step: &mut Step<'_>,
    tenant: TenantId,
    file: FileId,
    (declared, found): (Sha256, Sha256),
) -> Result<(), Stop> {
    let draft = Draft {
        category: Category::Security,
        severity: Severity::Critical,
        action: "file.checksum_mismatch",
        resource: Some(file.to_string()),
        payload: vec![
            ("declared_sha256", declared.to_string()),
            ("found_sha256", found.to_string()),
        ],
    };
    audit::record(step, tenant, draft)
}
