//! PAX extended headers.

use super::{LayerError, TarTime, damaged};

/// What extended headers say; the last word on a key wins.
#[derive(Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<TarTime>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse_name: Option<Vec<u8>>,
    pub(super) sparse_size: Option<u64>,
    pub(super) sparse_map: Option<Vec<(u64, u64)>>,
    pub(super) sparse_major: Option<u64>,
    /// Of the piece whose length is yet to come.
    sparse_offset: Option<u64>,
}

fn malformed() -> LayerError {
    damaged("an extended header is malformed")
}

impl Pax {
    /// Reads a whole extended header; `pieces` is how many a sparse file may have.
    pub(super) fn read(&mut self, mut text: &[u8], pieces: usize) -> Result<(), LayerError> {
        self.sparse_offset = None;
        // Some writers pad with NULs.
        while text.iter().any(|byte| *byte != 0) {
            let (key, value, rest) = record(text).ok_or_else(malformed)?;
            text = rest;
            self.set(key, value)?;
            let map = self.sparse_map.as_ref();
            if map.is_some_and(|map| map.len() > pieces) {
                return Err(damaged("a sparse file of too many pieces"));
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), LayerError> {
        match key {
            // An empty value takes back what a global header said.
            b"path" => self.path = Some(value.to_vec()).filter(|path| !path.is_empty()),
            b"linkpath" => self.link = Some(value.to_vec()).filter(|path| !path.is_empty()),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or_else(malformed)?),
            b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse_size = Some(decimal(value)?),
            b"GNU.sparse.major" => self.sparse_major = Some(decimal(value)?),
            b"GNU.sparse.map" => self.sparse_map = Some(pairs(value)?),
            b"GNU.sparse.offset" => self.sparse_offset = Some(decimal(value)?),
            b"GNU.sparse.numbytes" => {
                let offset = self.sparse_offset.take().ok_or_else(malformed)?;
                let map = self.sparse_map.get_or_insert_default();
                map.push((offset, decimal(value)?));
            }
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.retain(|(known, _)| known != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// The first record, `LENGTH KEY=VALUE\n` where the length counts itself, and what follows it.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
    if length <= space + 1 || length > text.len() || text[length - 1] != b'\n' {
        return None;
    }
    let record = &text[space + 1..length - 1];
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &text[length..]))
}

fn decimal(value: &[u8]) -> Result<u64, LayerError> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(malformed)
}

/// `OFFSET,LENGTH,OFFSET,LENGTH…`
fn pairs(value: &[u8]) -> Result<Vec<(u64, u64)>, LayerError> {
    let numbers = value
        .split(|byte| *byte == b',')
        .map(decimal)
        .collect::<Result<Vec<u64>, _>>()?;
    let (pairs, _) = numbers.as_chunks::<2>();
    Ok(pairs
        .iter()
        .map(|[offset, length]| (*offset, *length))
        .collect())
}

/// `-12.5` is 12.5 seconds before 1970: -13 seconds and half a second.
fn time(text: &[u8]) -> Option<TarTime> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let mut seconds: i64 = whole.parse().ok()?;
    let mut nanoseconds: u32 = 0;
    for index in 0..9 {
        let digit = match fraction.as_bytes().get(index) {
            Some(digit @ b'0'..=b'9') => u32::from(digit - b'0'),
            Some(_) => return None,
            None => 0,
        };
        nanoseconds = nanoseconds * 10 + digit;
    }
    if negative && nanoseconds > 0 {
        seconds = seconds.checked_sub(1)?;
        nanoseconds = 1_000_000_000 - nanoseconds;
    }
    Some(TarTime {
        seconds,
        nanoseconds,
    })
}
