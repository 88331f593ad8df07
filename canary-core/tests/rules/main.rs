//! The ten rules of the machine, each as a property over random plans, events, faults, commands and crashes.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]
#![allow(clippy::expect_used, reason = "what a rule says must be there")]

mod book;
mod drawn;
mod each;
mod found;
mod golden;
mod machine;
mod moves;
mod plans;
mod world;
