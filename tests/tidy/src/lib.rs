//! The rules of this project, as tests.
