//! The policy language and its builder.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod any;
mod builder;
mod evidence;
mod modes;
mod refusals;
mod whole;
mod words;
