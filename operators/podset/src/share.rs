//! A part of a number of pods, as users write it.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// So many, or so many of a hundred of `whole`, rounded up.
pub fn rounded_up(share: &IntOrString, whole: i32) -> i32 {
    match share {
        IntOrString::Int(count) => *count,
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|text| text.parse().ok()).unwrap_or(0);
            let hundredths = percent.saturating_mul(i64::from(whole));
            i32::try_from(hundredths.saturating_add(99) / 100).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_up() {
        let percent = |text: &str| IntOrString::String(text.to_owned());
        for (of, whole, expect) in
            [(percent("50%"), 7, 4), (percent("0%"), 7, 0), (percent("100%"), 7, 7), (IntOrString::Int(3), 1, 3)]
        {
            assert_eq!(rounded_up(&of, whole), expect, "{of:?} of {whole}");
        }
    }
}
