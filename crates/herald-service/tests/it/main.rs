//! The plumbing from outside: the admin port over HTTP, and a whole process by its signals, exit
//! codes and output.

mod admin;
mod process;
