//! Section 5: shares.

use api_types::v1::shares::{CreateShare, Share, ShareList, SharesQuery};
use api_types::v1::users::MyShares;
use api_types::v1::{DeleteQuery, PageQuery};

use crate::Client;
use crate::call::Call;
use crate::error::CallError;

/// The largest page of ordinary lists.
const PAGE: u32 = node_base::limits::PAGE_MAX;

impl Client {
    /// The shares that the caller is a member of, all pages.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn my_shares(&self) -> Result<MyShares, CallError> {
        let mut all = MyShares { shares: Vec::new(), total: 0 };
        loop {
            let offset = u32::try_from(all.shares.len()).unwrap_or(u32::MAX);
            let page = PageQuery { limit: Some(PAGE), offset: Some(offset) };
            let page: MyShares =
                self.ask(Call::get(&["users", "me", "shares"]).query(&page)).await?;
            all.total = page.total;
            let last = page.shares.is_empty();
            all.shares.extend(page.shares);
            if last || all.shares.len() as u64 >= all.total {
                return Ok(all);
            }
        }
    }

    /// One page of the shares that the caller sees.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn shares(&self, query: &SharesQuery) -> Result<ShareList, CallError> {
        self.ask(Call::get(&["shares"]).query(query)).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn share(&self, id: &str) -> Result<Share, CallError> {
        self.ask(Call::get(&["shares", id])).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn create_share(&self, share: &CreateShare) -> Result<Share, CallError> {
        self.ask(Call::post(&["shares"]).json(share)?).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn delete_share(&self, id: &str, permanent: bool) -> Result<(), CallError> {
        self.remove(Call::delete(&["shares", id]).query(&DeleteQuery { permanent })).await
    }
}
