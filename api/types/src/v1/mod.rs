//! Version 1: one module for each section of the contract.

pub mod admin;
pub mod audit;
pub mod auth;
pub mod cluster;
pub mod conflicts;
pub mod error;
pub mod files;
pub mod folders;
#[cfg(test)]
mod golden;
pub mod partners;
pub mod permissions;
pub mod quotas;
pub mod realtime;
pub mod service;
pub mod shares;
pub mod sync;
pub mod uploads;
pub mod users;
pub mod versions;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Sees every write that was acknowledged before the read began.
    #[default]
    Linearizable,
    /// What this node knows, asking nobody.
    Stale,
}

/// Bounds of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
    /// How many to pass over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, default = 0)]
    pub offset: Option<u32>,
}

/// How something is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// For good, past the trash.
    #[serde(default)]
    pub permanent: bool,
}

/// A kind of thing that has an id, a name and a place in a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemType {
    File,
    Folder,
}

/// A kind of thing that permissions and changes are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResourceType {
    File,
    Folder,
    Share,
}

/// A file or a folder, told apart by `type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "most items are files")]
pub enum Item {
    File(files::File),
    Folder(folders::Folder),
}

impl Item {
    pub fn id(&self) -> &str {
        match self {
            Self::File(file) => &file.id,
            Self::Folder(folder) => &folder.id,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::File(file) => &file.name,
            Self::Folder(folder) => &folder.name,
        }
    }
}

/// Items of a list that has no order of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemList {
    pub items: Vec<Item>,
    pub total: u64,
}
