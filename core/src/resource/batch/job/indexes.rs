//! Lists of indexes, as `0-3,7`.

/// How many indexes a list holds; each is below `completions`, and they ascend.
///
/// # Errors
/// What is wrong with the list.
pub(super) fn count(list: &str, completions: i64) -> Result<i64, String> {
    let mut last: Option<i64> = None;
    let mut total = 0;
    for interval in list.split(',').filter(|_| !list.is_empty()) {
        let (first, end) = bounds(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that two well-formed lists share.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let intervals = |list: &str| -> Vec<(i64, i64)> {
        list.split(',').filter_map(|interval| bounds(interval, completions).ok()).collect()
    };
    let others = intervals(other);
    let shared = intervals(one).into_iter().flat_map(|(first, end)| {
        let meets = others.iter().filter(move |(start, last)| first <= *last && *start <= end);
        meets.map(move |(start, _)| first.max(*start)).collect::<Vec<_>>()
    });
    shared.min()
}

fn bounds(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let limits: Vec<&str> = interval.split('-').collect();
    if limits.len() > 2 {
        return Err(format!(
            "the fragment {interval:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        ));
    }
    let index = |text: &str| {
        let index: i64 = text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if index >= completions {
            return Err(format!("too large index: {text:?}"));
        }
        Ok(index)
    };
    let first = index(limits.first().copied().unwrap_or_default())?;
    let Some(text) = limits.get(1) else { return Ok((first, first)) };
    let last = index(text)?;
    if first >= last {
        return Err(format!("non-increasing order, previous: {first}, current: {last}"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_indexes_ascend_below_the_completions() {
        assert_eq!(count("", 5), Ok(0));
        assert_eq!(count("0-2,4", 5), Ok(4));
        for wrong in ["a", "1-", "2-1", "1,1", "0-1-2", "5"] {
            assert!(count(wrong, 5).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_that_share_an_index_overlap() {
        assert_eq!(overlap("0-2,5", "3,5-6", 9), Some(5));
        assert_eq!(overlap("0-2", "3-4", 9), None);
        assert_eq!(overlap("", "3-4", 9), None);
    }
}
