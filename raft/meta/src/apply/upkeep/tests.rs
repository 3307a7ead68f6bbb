//! Upkeep, told as short stories.
