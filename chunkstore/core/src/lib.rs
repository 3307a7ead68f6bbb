//! Decides where bytes go and how they come back.
