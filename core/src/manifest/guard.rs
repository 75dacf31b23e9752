//! When a removal is too large to be taken for an intention.

/// Fewer objects than this are not held back for their share of all: only because nothing would be left.
const OBJECTS_MIN: usize = 5;

/// Objects whose documents are gone, and how that was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removal {
    /// How many would be deleted.
    pub(super) objects: usize,
    /// Of how many that the directory holds in all.
    pub(super) of: usize,
    /// How many files they were in.
    pub(super) files: usize,
    /// Whether the change was found at start, or when the directory came back, rather than seen to happen.
    pub(super) found_at_start: bool,
    /// Whether a directory went, not only files.
    pub(super) directory_lost: bool,
    /// Whether the root holds no manifest at all any more.
    pub(super) root_is_empty: bool,
}

impl Removal {
    /// Why it waits for a confirmation; `None` where it is plain intent, as one file deleted while watched is.
    pub(super) fn held_because(&self) -> Option<String> {
        let large = self.objects >= OBJECTS_MIN && self.objects * 2 > self.of;
        let share = format!("{} of {} objects would be deleted", self.objects, self.of);
        if self.found_at_start && self.root_is_empty {
            return Some(format!("the directory came up empty: {share}"));
        }
        if self.files > 1 && self.root_is_empty {
            return Some(format!("{} files are gone at once and no manifest is left: {share}", self.files));
        }
        if !large {
            return None;
        }
        if self.found_at_start {
            Some(format!("the change was made while nobody watched: {share}"))
        } else if self.directory_lost {
            Some(format!("a directory is gone: {share}"))
        } else if self.files > 1 {
            Some(format!("{} files changed at once: {share}", self.files))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Removal =
        Removal { objects: 6, of: 10, files: 1, found_at_start: false, directory_lost: false, root_is_empty: false };

    fn check(removal: Removal, held: bool) {
        assert_eq!(removal.held_because().is_some(), held, "{removal:?}");
    }

    #[test]
    fn one_file_deleted_while_watched_is_plain_intent() {
        check(SEEN, false);
        check(Removal { objects: 10, ..SEEN }, false);
    }

    #[test]
    fn a_large_removal_nobody_saw_happen_is_held() {
        check(Removal { found_at_start: true, ..SEEN }, true);
        check(Removal { directory_lost: true, ..SEEN }, true);
        check(Removal { files: 2, ..SEEN }, true);
    }

    #[test]
    fn half_of_the_objects_or_fewer_than_five_are_let_go() {
        for burst in [Removal { files: 2, ..SEEN }, Removal { found_at_start: true, ..SEEN }] {
            check(Removal { objects: 5, ..burst }, false);
            check(Removal { objects: 4, of: 4, ..burst }, false);
            check(Removal { objects: 5, of: 9, ..burst }, true);
        }
    }

    #[test]
    fn an_empty_root_at_start_is_held_however_little_it_held() {
        check(Removal { objects: 1, of: 1, found_at_start: true, root_is_empty: true, ..SEEN }, true);
        check(Removal { objects: 1, of: 1, root_is_empty: true, ..SEEN }, false);
    }

    #[test]
    fn several_files_deleted_at_once_and_the_root_empty_are_held_however_little_they_held() {
        check(Removal { objects: 3, of: 3, files: 3, root_is_empty: true, ..SEEN }, true);
        check(Removal { objects: 3, of: 3, files: 3, ..SEEN }, false);
    }
}
