//! Everything that is kept as a count or an index, recomputed from what it is a count of.
//!
//! Counts and indexes are kept step by step, so that a commit is small; here they are made anew
//! from the rows they follow from, and compared. Nothing should differ, ever. It costs as much as
//! there is, in time and in memory, and is asked for by operators, by `recalculate`, and by every
//! test that changes rows at random.

mod books;
mod bytes;
mod people;
mod trees;

use node_base::TenantId;

use books::Books;
pub use books::{Counter, Drift, Subject};

use crate::tables::{Reader, TableError};

/// What a full recount of a tenant finds to be other than it is kept.
pub fn recount(tables: &dyn Reader, tenant: TenantId) -> Result<Vec<Drift>, TableError> {
    let mut books = Books::default();
    bytes::manifests(tables, tenant, &mut books)?;
    trees::contents(tables, tenant, &mut books)?;
    trees::indexes(tables, tenant, &mut books)?;
    people::named(tables, tenant, &mut books)?;
    people::devices(tables, tenant, &mut books)?;
    bytes::chunks(tables, tenant, &mut books)?;
    trees::usages(tables, tenant, &mut books)?;
    Ok(books.close())
}
