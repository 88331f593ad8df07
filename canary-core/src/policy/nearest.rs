//! What a misspelt name was most likely meant to be.

/// Returns the name that a misspelt one was most likely meant to be, if one lies no more than so many slips away.
pub(crate) fn nearest<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
    slips: usize,
) -> Option<&'a str> {
    let near = names.into_iter().map(|known| (distance(name, known), known));
    near.min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= slips)
        .map(|(_, known)| known)
}

/// Returns how many slips a name may be away from another that it could be as well: one of four letters.
pub(crate) const fn slips_of(name: &str) -> usize {
    name.len() / 4
}

/// Counts the letters to insert, drop, change or swap with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let changed = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, slips) in [
            ("error_rate", "error_rate", 0),
            ("eror_rate", "error_rate", 1),
            ("memroy", "memory", 1),
            ("every", "evry", 1),
            ("gates", "stages", 3),
            ("", "abc", 3),
            ("ca", "abc", 3),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (slips, slips), "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let meant = |name: &str| nearest(name, ["cpu", "memory", "error_rate"], slips_of(name));
        assert_eq!(meant("eror_rate"), Some("error_rate"));
        assert_eq!(meant("memroy"), Some("memory"));
        assert_eq!(meant("gpu"), None);
        assert_eq!(meant("pool"), None);
    }
}
