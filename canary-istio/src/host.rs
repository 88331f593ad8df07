//! Which spellings of a host mean the same.

/// The cluster's domain, as nearly every cluster has it.
const DOMAIN: &str = "cluster.local";

/// Returns the other spellings that mean this host in objects of this namespace.
///
/// A name without a dot means the service of that name in the object's own namespace. What has a dot is taken as
/// it is, so `reviews.shop` is no service; so are wildcards and addresses.
pub(crate) fn other_spellings(host: &str, namespace: &str) -> Vec<String> {
    if is_short(host) {
        return vec![whole(host, namespace)];
    }
    let name = host.split('.').next().unwrap_or(host);
    let same = is_short(name) && whole(name, namespace) == host;
    if same { vec![name.to_owned()] } else { Vec::new() }
}

/// Returns the host that this one means in objects of this namespace.
pub(crate) fn resolved(host: &str, namespace: &str) -> String {
    if is_short(host) { whole(host, namespace) } else { host.to_owned() }
}

/// Tells whether a host with a wildcard stands for another one, which is not the same.
pub(crate) fn covers(wildcard: &str, host: &str) -> bool {
    let Some(end) = wildcard.strip_prefix('*') else {
        return false;
    };
    wildcard != host && host.strip_prefix('*').unwrap_or(host).ends_with(end)
}

fn is_short(name: &str) -> bool {
    !name.is_empty() && !name.contains(['.', '*', ':'])
}

fn whole(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc.{DOMAIN}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_means_a_service_of_the_same_namespace() {
        let whole = "reviews.shop.svc.cluster.local";
        assert_eq!(other_spellings("reviews", "shop"), [whole]);
        assert_eq!(other_spellings(whole, "shop"), ["reviews"]);
        for host in ["reviews.shop", whole, "*", "*.com", "10.0.0.1", "::1", "", "a.example.com"] {
            assert_eq!(other_spellings(host, "other"), [""; 0], "{host}");
        }
        assert_eq!(resolved("reviews", "shop"), whole);
        for host in ["reviews.shop", whole, "*", "*.com", ""] {
            assert_eq!(resolved(host, "other"), host);
        }
    }

    #[test]
    fn a_wildcard_stands_for_what_ends_like_it() {
        for (wildcard, host) in
            [("*", "a.com"), ("*", "*.com"), ("*.com", "a.com"), ("*.com", "*.a.com")]
        {
            assert!(covers(wildcard, host) && !covers(host, wildcard), "{wildcard} and {host}");
        }
        for (one, other) in
            [("a.com", "a.com"), ("*.com", "*.com"), ("*.com", "com"), ("*.a", "ba")]
        {
            assert!(!covers(one, other), "{one} and {other}");
        }
    }
}
