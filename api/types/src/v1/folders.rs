//! Section 7: folders.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Item;
use crate::{Patch, Time};

/// Stands for the root of a share, where an id of a folder is asked for.
pub const ROOT: &str = "root";

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Folder {
    pub id: String,
    pub tenant_id: String,
    pub share_id: String,
    /// Null in the share's root.
    pub parent_id: Option<String>,
    pub name: String,
    /// From the share's root, with a leading slash.
    pub path: String,
    pub owner_id: String,
    pub created_by: String,
    pub created_at: Time,
    pub modified_at: Time,
    pub is_deleted: bool,
}

/// What a list of children is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    #[default]
    Name,
    ModifiedAt,
    Size,
}

/// Which way a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    Asc,
    Desc,
}

/// Which children are listed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChildrenQuery {
    /// Needed for `root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
    #[serde(default)]
    pub include_deleted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    pub limit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, default = 0)]
    pub offset: Option<u32>,
    #[serde(default)]
    #[param(inline)]
    pub sort: Sort,
    #[serde(default)]
    #[param(inline)]
    pub order: Order,
}

/// One page of what is in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Children {
    pub items: Vec<Item>,
    /// The folder's own path.
    pub path: String,
    pub total: u64,
}

/// Where a folder is looked for: `share_id` is needed for `root`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FolderQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
}

/// A new folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateFolder {
    pub name: String,
    pub share_id: String,
    /// Absent, null or `root`: the share's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
}

/// A change of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PatchFolder {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = String, required = false)]
    pub name: Patch<String>,
    /// `false` restores from the trash.
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = bool, required = false)]
    pub is_deleted: Patch<bool>,
}

/// Where a file or folder goes: into a folder, or into the root of a share.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Target {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_folder_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_share_id: Option<String>,
    /// Its name there; absent: the one it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
