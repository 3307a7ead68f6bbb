//! Sessions, told as short stories, and then at random.

mod drives;
mod random;
mod stories;
