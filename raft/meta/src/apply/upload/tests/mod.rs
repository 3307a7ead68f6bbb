//! Sessions, told as short stories.
