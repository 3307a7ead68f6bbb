//! Three trees in, a plan out.
