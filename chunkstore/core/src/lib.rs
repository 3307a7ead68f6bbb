//! Decides where bytes go and how they come back.
//!
//! A stream is [`cut`] into chunks, a chunk is [`pack`]ed, coded into shards ([`stripe`] by a
//! [`codec`]), each shard gets a [`shard`] header, and [`place`] says which drives they belong on.
//! [`gather`] puts a chunk together again from shards that come from anywhere, in memory that a
//! [`buffer`] lends, [`home`] plans how
//! shards get to where they belong, and [`decide`] and [`pace`] hold the other rules that keep them
//! safe and near. All of it is arithmetic on values handed in: the server keeps bytes with it, the
//! client cuts files with it, and both come to the same answer.
//!
//! Never here: tokio, a clock, a drive, randomness; nor who the bytes belong to beyond a tenant's
//! id, nor what they are called.

pub mod buffer;
pub mod codec;
pub mod cut;
pub mod decide;
pub mod gather;
pub mod home;
pub mod pace;
pub mod pack;
pub mod place;
pub mod shard;
pub mod stripe;
