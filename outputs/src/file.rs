//! A file on the node, a JSON object a line, rotated by us.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::SendError;
use crate::encode::Body;

/// Bytes looked through at once for the end of a line.
const LOOK_BYTES: u64 = 64 << 10;

/// Which file, and how long it and its forerunners become.
#[derive(Debug, Clone)]
pub struct FileSettings {
    /// Where; folders on the way are made.
    pub path: PathBuf,
    /// How long it becomes before the next is begun, in bytes.
    pub rotate_bytes: u64,
    /// How many files are kept, this one among them.
    pub files: u32,
}

/// A file that is written.
pub(crate) struct File {
    settings: FileSettings,
    opened: Option<std::fs::File>,
}

impl File {
    pub(crate) fn new(settings: FileSettings) -> Self {
        Self { settings, opened: None }
    }

    pub(crate) fn close(&mut self) {
        self.opened = None;
    }

    /// Writes a chunk; it is on disk when this returns.
    pub(crate) async fn send(&mut self, body: &Body) -> Result<(), SendError> {
        let (settings, opened, bytes) = (self.settings.clone(), self.opened.take(), body.bytes.clone());
        let writing = tokio::task::spawn_blocking(move || append(&settings, opened, &bytes));
        let written = writing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.opened = Some(written.map_err(|source| SendError::File { path: self.settings.path.clone(), source })?);
        Ok(())
    }
}

fn append(settings: &FileSettings, opened: Option<std::fs::File>, bytes: &[u8]) -> io::Result<std::fs::File> {
    let mut file = match opened {
        Some(file) => file,
        None => open(&settings.path)?,
    };
    let length = file.metadata()?.len();
    if length > 0 && length + bytes.len() as u64 > settings.rotate_bytes {
        drop(file);
        rotate(&settings.path, settings.files)?;
        file = open(&settings.path)?;
    }
    file.write_all(bytes)?;
    file.sync_data()?;
    Ok(file)
}

/// Opens the file at its end. What a crash left there of a line is cut off: that line is written again.
fn open(path: &Path) -> io::Result<std::fs::File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    let whole = end_of_lines(&mut file, length)?;
    if whole < length {
        file.set_len(whole)?;
    }
    Ok(file)
}

/// The place behind the last newline.
fn end_of_lines(file: &mut std::fs::File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(LOOK_BYTES);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut bytes)?;
        if let Some(newline) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Renames `x` to `x.1`, `x.1` to `x.2` and so on; the last is removed.
fn rotate(path: &Path, files: u32) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        PathBuf::from(name)
    };
    if files <= 1 {
        return std::fs::remove_file(path);
    }
    for number in (0..files - 1).rev() {
        match std::fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path, rotate_bytes: u64, files: u32) -> FileSettings {
        FileSettings { path: folder.join("deep/er/web.jsonl"), rotate_bytes, files }
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn chunks_follow_one_another_and_old_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), 8, 3);
        let mut opened = None;
        for chunk in ["1\n2\n", "3\n", "4444444444\n", "5\n", "6\n", "7777777\n"] {
            opened = Some(append(&settings, opened, chunk.as_bytes()).unwrap());
        }
        let path = settings.path.to_str().unwrap().to_owned();
        let kept = ["", ".1", ".2", ".3"].map(|end| read(Path::new(&format!("{path}{end}"))));
        assert_eq!(kept, ["7777777\n", "5\n6\n", "4444444444\n", ""]);
    }

    #[test]
    fn half_a_line_that_a_crash_left_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), 1 << 30, 1);
        drop(append(&settings, None, b"1\n2\n").unwrap());
        let long = "x".repeat(200 << 10);
        for half in ["{\"a\"", &long] {
            let whole = read(&settings.path);
            std::fs::write(&settings.path, format!("{whole}{half}")).unwrap();
            drop(append(&settings, None, b"3\n").unwrap());
            assert_eq!(read(&settings.path), format!("{whole}3\n"));
        }
    }

    #[test]
    fn one_file_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), 4, 1);
        let opened = append(&settings, None, b"1\n2\n").unwrap();
        append(&settings, Some(opened), b"3\n").unwrap();
        assert_eq!(read(&settings.path), "3\n");
    }
}
