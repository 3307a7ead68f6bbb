//! Black box: real processes, real sockets, real clients.
