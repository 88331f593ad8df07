//! What a metrics server answers is read or refused, and what is read of it adds up however time is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| canary_prometheus::fuzzing::answer(bytes));
