//! The pretend outside: virtual time, seeded randomness, faulty disk and net.
