//! Everything a caller can ask for, with no HTTP in sight.
