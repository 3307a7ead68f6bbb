//! The real outside: clock, entropy, files, gRPC and QUIC.
