//! Tests of the surface as a whole: each sends requests to the router of a real node.

mod cluster;
mod connections;
mod files;
mod following;
mod full;
mod input;
mod issuer;
mod json;
mod keys;
mod late;
mod outside;
mod pages;
mod realtime;
mod repeated;
mod specification;
mod tags;
mod tenancy;
mod tokens;
