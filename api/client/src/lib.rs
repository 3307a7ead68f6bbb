//! Typed HTTP client; retries by error code.
