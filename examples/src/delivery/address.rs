//! Addresses as they may be shown.

/// Leaves a name and a password out of an address, for what is printed or told.
///
/// The address need not be one: what cannot be read may have a password in it, too.
pub(super) fn shown(address: &str) -> String {
    let (scheme, rest) =
        address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    // A password may have a `/` in it that should have been escaped, so the last `@` counts.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (address, safe) in [
            ("http://prometheus:9090/prom", "http://prometheus:9090/prom"),
            ("https://ana:secret@prometheus:9090/prom", "https://prometheus:9090/prom"),
            ("https://ana:sec/ret@prometheus:9090", "https://prometheus:9090"),
            ("ana:s@cret@prometheus", "prometheus"),
            ("prometheus:9090", "prometheus:9090"),
        ] {
            assert_eq!(shown(address), safe);
        }
    }
}
