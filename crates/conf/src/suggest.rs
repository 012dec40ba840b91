//! Near misses: which known name was probably meant.

/// The longest name that is compared. No directive is longer, and the cost grows with the square.
const MAX_COMPARED_LEN: usize = 64;

/// The nearest of `known`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_COMPARED_LEN {
        return None;
    }
    let name = name.to_ascii_lowercase();
    // A third of the name may be wrong, but in a short one hardly anything.
    let bound = (name.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The words of a hint about a near miss.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean '{near}'?"))
}

/// How many bytes must be inserted, deleted, replaced or swapped with their neighbour to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j + 1] + 1)
                .min(row[j] + 1)
                .min(last[j] + usize::from(x != y));
            let swapped = i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y;
            if swapped {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found() {
        let known = ["port", "bind", "down-after-milliseconds", "monitor"];
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(
            nearest("down-after-miliseconds", known),
            Some("down-after-milliseconds")
        );
        assert_eq!(nearest("Monitro", known), Some("monitor"));
        assert_eq!(nearest("appendonly", known), None);
        assert_eq!(nearest("", known), None);
    }
}
