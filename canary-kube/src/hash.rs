//! A hash that is the same on every platform and in every version.

/// Returns the FNV-1a hash of a text, its bits mixed once more: those of names that are alike differ everywhere.
pub(crate) fn stable(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::stable;

    #[test]
    fn what_was_named_by_an_older_version_is_found() {
        assert_eq!(stable(""), 0xefd0_1f60_ba99_2926);
        assert_eq!(stable("shop/checkout"), 0xbe29_1516_0875_6985);
    }
}
