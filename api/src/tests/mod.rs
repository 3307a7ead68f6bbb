//! Tests of the surface as a whole: each sends requests to the router of a real node.

mod issuer;
mod json;
mod keys;
mod outside;
mod specification;
mod tenancy;
mod tokens;
mod files;
mod following;
mod input;
