//! Reading tar archives: ustar, PAX, GNU long names, GNU sparse files (old and PAX forms).
//!
//! A streaming reader over any [`Read`], bounded in everything a header can claim. It only
//! understands bytes; whether a path is acceptable is decided by `tree` and `unpack`.
//! One algorithm with its tables; the formats are those of POSIX.1-2017 pax and of GNU tar's manual.

use std::io::{self, Read};

use super::LayerError;

const BLOCK: usize = 512;

/// What an archive may claim.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of one extended header or long name.
    pub header: u64,
    /// Pieces of one sparse file.
    pub pieces: usize,
    /// Bytes of the whole uncompressed archive.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 8 << 20,
            header: 1 << 20,
            pieces: 1 << 17,
            bytes: 256 << 30,
        }
    }
}

/// A time stamp of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TarTime {
    /// Since 1970, rounded down.
    pub seconds: i64,
    /// Of the second.
    pub nanoseconds: u32,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of an entry before it.
    HardLink(Vec<u8>),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A directory.
    Directory,
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// One entry's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name as written.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content.
    pub mtime: TarTime,
    /// Size of the file once unpacked.
    pub size: u64,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Offset and length of each piece that has data, when the file is sparse.
    pub sparse: Option<Vec<(u64, u64)>>,
}

/// A streaming reader of an archive. After [`Reader::next`] gave an entry, [`Reader::read_data`]
/// gives its bytes (of a sparse file: of its pieces, one after the other).
pub struct Reader<R> {
    source: R,
    limits: Limits,
    entries: u64,
    consumed: u64,
    /// Bytes of the present entry not read yet, without padding.
    remaining: u64,
    padding: u64,
    global: Pax,
    done: bool,
}

/// What extended headers say; the last word on a key wins.
#[derive(Clone, Default)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<TarTime>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse_name: Option<Vec<u8>>,
    sparse_size: Option<u64>,
    sparse_map: Option<Vec<(u64, u64)>>,
    sparse_major: Option<u64>,
}

fn damaged(why: impl Into<String>) -> LayerError {
    LayerError::Damaged(why.into())
}

impl<R: Read> Reader<R> {
    /// A reader at the beginning of an archive.
    pub fn new(source: R, limits: Limits) -> Self {
        Self {
            source,
            limits,
            entries: 0,
            consumed: 0,
            remaining: 0,
            padding: 0,
            global: Pax::default(),
            done: false,
        }
    }

    /// The next entry; skips what was not read of the one before. `None` at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend the data reader between entries"
    )]
    pub fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        if self.done {
            return Ok(None);
        }
        let mut pax = self.global.clone();
        loop {
            self.skip_data()?;
            let Some(header) = self.header()? else {
                self.done = true;
                return Ok(None);
            };
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(damaged(format!(
                    "more than {} entries",
                    self.limits.entries
                )));
            }
            let size = number(&header[124..136])
                .filter(|size| *size >= 0)
                .ok_or_else(|| damaged("a size is no number"))? as u64;
            match header[156] {
                b'x' => {
                    let text = self.extension(size)?;
                    pax.read(&text, self.limits.pieces)?;
                }
                b'g' => {
                    let text = self.extension(size)?;
                    self.global.read(&text, self.limits.pieces)?;
                    pax = self.global.clone();
                }
                b'L' => pax.path = Some(until_nul(&self.extension(size)?)),
                b'K' => pax.link = Some(until_nul(&self.extension(size)?)),
                kind => return self.entry(&header, kind, size, pax).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        header: &[u8; BLOCK],
        kind: u8,
        size: u64,
        pax: Pax,
    ) -> Result<Entry, LayerError> {
        let path = pax
            .sparse_name
            .or(pax.path)
            .unwrap_or_else(|| header_path(header));
        let link = || {
            pax.link
                .clone()
                .unwrap_or_else(|| until_nul(&header[157..257]))
        };
        let device = |field: &[u8]| {
            number(field)
                .and_then(|value| u32::try_from(value).ok())
                .ok_or_else(|| damaged("a device number is no number"))
        };
        let kind = match kind {
            b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
            b'0' | b'7' | b'S' | 0 => Kind::File,
            b'1' => Kind::HardLink(link()),
            b'2' => Kind::Symlink(link()),
            b'3' => Kind::Char {
                major: device(&header[329..337])?,
                minor: device(&header[337..345])?,
            },
            b'4' => Kind::Block {
                major: device(&header[329..337])?,
                minor: device(&header[337..345])?,
            },
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                return Err(LayerError::Refused {
                    entry: show(&path),
                    why: format!("its type {:?} is not supported", char::from(other)),
                });
            }
        };
        let stored = if kind == Kind::File {
            pax.size.unwrap_or(size)
        } else {
            0
        };
        self.remaining = stored;
        self.padding = (BLOCK as u64 - stored % BLOCK as u64) % BLOCK as u64;
        let mut real = stored;
        let mut sparse = None;
        if kind == Kind::File {
            if header[156] == b'S' {
                let (map, size) = self.old_sparse(header)?;
                real = size;
                sparse = Some(map);
            } else if pax.sparse_major == Some(1) {
                real = pax
                    .sparse_size
                    .ok_or_else(|| damaged("a sparse file without its size"))?;
                sparse = Some(self.sparse_in_data()?);
            } else if let Some(map) = pax.sparse_map {
                real = pax
                    .sparse_size
                    .ok_or_else(|| damaged("a sparse file without its size"))?;
                sparse = Some(map);
            }
            if let Some(map) = &sparse {
                check_sparse(map, real, self.remaining)?;
            }
        }
        let id = |pax: Option<u64>, field: &[u8]| {
            let value = pax.map_or_else(|| number(field), |value| i64::try_from(value).ok());
            // Fields that are empty or hold -1 mean nothing better than root.
            match value {
                Some(value) => {
                    u32::try_from(value).map_err(|_| damaged("an owner's number is out of range"))
                }
                None if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(0),
                None => Err(damaged("an owner is no number")),
            }
        };
        let mode = number(&header[100..108]).ok_or_else(|| damaged("a mode is no number"))?;
        Ok(Entry {
            mode: (mode & 0o7777) as u32,
            uid: id(pax.uid, &header[108..116])?,
            gid: id(pax.gid, &header[116..124])?,
            mtime: match pax.mtime {
                Some(time) => time,
                None => TarTime {
                    seconds: number(&header[136..148]).unwrap_or(0),
                    nanoseconds: 0,
                },
            },
            size: real,
            xattrs: pax.xattrs,
            path,
            kind,
            sparse,
        })
    }

    /// Bytes of the present entry into `buffer`; 0 at its end.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, LayerError> {
        let wanted = usize::try_from(self.remaining)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = retry(|| self.source.read(&mut buffer[..wanted])).map_err(LayerError::Read)?;
        if count == 0 {
            return Err(damaged("it ends in the middle of a file"));
        }
        self.remaining -= count as u64;
        self.account(count as u64)?;
        Ok(count)
    }

    /// The whole of a small entry.
    pub fn read_small(&mut self, limit: u64) -> Result<Vec<u8>, LayerError> {
        if self.remaining > limit {
            return Err(damaged(format!(
                "a member of {} bytes where at most {limit} are accepted",
                self.remaining
            )));
        }
        let mut bytes = vec![0; self.remaining as usize];
        self.exact(&mut bytes)?;
        self.remaining = 0;
        Ok(bytes)
    }

    /// Reads the source to its end, so that a digest over it covers every byte.
    pub fn finish(mut self) -> Result<R, LayerError> {
        self.skip_data()?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match retry(|| self.source.read(&mut buffer)).map_err(LayerError::Read)? {
                0 => return Ok(self.source),
                count => self.account(count as u64)?,
            }
        }
    }

    fn account(&mut self, count: u64) -> Result<(), LayerError> {
        self.consumed += count;
        if self.consumed > self.limits.bytes {
            return Err(damaged(format!(
                "it unpacks to more than {} bytes",
                self.limits.bytes
            )));
        }
        Ok(())
    }

    fn skip_data(&mut self) -> Result<(), LayerError> {
        let mut left = self.remaining + self.padding;
        let padding = self.padding;
        let mut buffer = [0; 8 << 10];
        while left > 0 {
            let wanted = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            match retry(|| self.source.read(&mut buffer[..wanted])).map_err(LayerError::Read)? {
                // Some writers leave out the padding of the last member.
                0 if left <= padding => break,
                0 => return Err(damaged("it ends in the middle of a file")),
                count => {
                    left -= count as u64;
                    self.account(count as u64)?;
                }
            }
        }
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<(), LayerError> {
        self.source
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => damaged("it ends in the middle of an entry"),
                _ => LayerError::Read(error),
            })?;
        self.account(buffer.len() as u64)
    }

    /// A header block with a right checksum; `None` at the end mark or the end of the source.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match retry(|| self.source.read(&mut block[filled..])).map_err(LayerError::Read)? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(damaged("it ends in the middle of a header")),
                count => filled += count,
            }
        }
        self.account(BLOCK as u64)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let claimed = number(&block[148..156]);
        let with_spaces = |byte: (usize, &u8)| {
            if (148..156).contains(&byte.0) {
                b' '
            } else {
                *byte.1
            }
        };
        let unsigned: i64 = block
            .iter()
            .enumerate()
            .map(with_spaces)
            .map(i64::from)
            .sum();
        let signed: i64 = block
            .iter()
            .enumerate()
            .map(with_spaces)
            .map(|byte| i64::from(byte as i8))
            .sum();
        if claimed != Some(unsigned) && claimed != Some(signed) {
            return Err(damaged("a header's checksum is wrong"));
        }
        Ok(Some(block))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, LayerError> {
        if size > self.limits.header {
            return Err(damaged(format!(
                "an extended header of {size} bytes; at most {} are accepted",
                self.limits.header
            )));
        }
        let mut text = vec![0; size as usize];
        self.exact(&mut text)?;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        self.skip_data()?;
        Ok(text)
    }

    /// GNU's old sparse header: four pieces in the header, 21 in each block after it.
    fn old_sparse(&mut self, header: &[u8; BLOCK]) -> Result<(Vec<(u64, u64)>, u64), LayerError> {
        let size = number(&header[483..495])
            .and_then(|size| u64::try_from(size).ok())
            .ok_or_else(|| damaged("a sparse file's size is no number"))?;
        let mut map = Vec::new();
        sparse_pieces(&header[386..482], &mut map)?;
        let mut more = header[482] != 0;
        while more {
            let mut block = [0; BLOCK];
            self.exact(&mut block)?;
            sparse_pieces(&block[..504], &mut map)?;
            if map.len() > self.limits.pieces {
                return Err(damaged("a sparse file of too many pieces"));
            }
            more = block[504] != 0;
        }
        Ok((map, size))
    }

    /// PAX sparse form 1.0: the map precedes the data, as decimal lines padded to a block.
    fn sparse_in_data(&mut self) -> Result<Vec<(u64, u64)>, LayerError> {
        let mut numbers = Vec::new();
        let mut wanted = None;
        let mut current: Option<u64> = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            let mut block = [0; BLOCK];
            if self.remaining < BLOCK as u64 {
                return Err(damaged("a sparse file's map is cut"));
            }
            self.exact(&mut block)?;
            self.remaining -= BLOCK as u64;
            for byte in block {
                match byte {
                    b'0'..=b'9' => {
                        let digit = u64::from(byte - b'0');
                        current = Some(
                            current
                                .unwrap_or(0)
                                .checked_mul(10)
                                .and_then(|value| value.checked_add(digit))
                                .ok_or_else(|| damaged("a sparse file's map is out of range"))?,
                        );
                    }
                    b'\n' => {
                        let value = current
                            .take()
                            .ok_or_else(|| damaged("a sparse file's map is no list of numbers"))?;
                        match wanted {
                            None => {
                                let pieces = usize::try_from(value)
                                    .ok()
                                    .filter(|pieces| *pieces <= self.limits.pieces)
                                    .ok_or_else(|| damaged("a sparse file of too many pieces"))?;
                                wanted = Some(pieces * 2);
                            }
                            Some(_) => numbers.push(value),
                        }
                        if wanted.is_some_and(|wanted| numbers.len() >= wanted) {
                            break;
                        }
                    }
                    _ => return Err(damaged("a sparse file's map is no list of numbers")),
                }
            }
        }
        Ok(numbers
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect())
    }
}

fn sparse_pieces(field: &[u8], map: &mut Vec<(u64, u64)>) -> Result<(), LayerError> {
    for piece in field.chunks_exact(24) {
        if piece[0] == 0 {
            break;
        }
        let value = |field: &[u8]| {
            number(field)
                .and_then(|value| u64::try_from(value).ok())
                .ok_or_else(|| damaged("a sparse file's map is no list of numbers"))
        };
        map.push((value(&piece[..12])?, value(&piece[12..])?));
    }
    Ok(())
}

/// Pieces must ascend without overlap, stay in the file, and add up to the stored bytes.
fn check_sparse(map: &[(u64, u64)], real: u64, stored: u64) -> Result<(), LayerError> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for (offset, length) in map {
        let past = offset
            .checked_add(*length)
            .filter(|past| *past <= real && *offset >= end);
        end = past.ok_or_else(|| damaged("a sparse file's pieces overlap or exceed it"))?;
        sum += length;
    }
    if sum != stored || i64::try_from(real).is_err() {
        return Err(damaged("a sparse file's pieces do not add up to its data"));
    }
    Ok(())
}

impl Pax {
    /// Records of the form `LENGTH KEY=VALUE\n`, where the length counts itself.
    fn read(&mut self, mut text: &[u8], pieces: usize) -> Result<(), LayerError> {
        let wrong = || damaged("an extended header is malformed");
        let mut offset = None;
        while !text.is_empty() {
            // Some writers pad with NULs.
            if text.iter().all(|byte| *byte == 0) {
                break;
            }
            let space = text
                .iter()
                .take(20)
                .position(|byte| *byte == b' ')
                .ok_or_else(wrong)?;
            let length: usize = std::str::from_utf8(&text[..space])
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(wrong)?;
            if length <= space + 1 || length > text.len() || text[length - 1] != b'\n' {
                return Err(wrong());
            }
            let record = &text[space + 1..length - 1];
            text = &text[length..];
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(wrong)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let decimal = || {
                std::str::from_utf8(value)
                    .ok()
                    .and_then(|digits| digits.parse::<u64>().ok())
                    .ok_or_else(wrong)
            };
            match key {
                // An empty value takes back what a global header said.
                b"path" => self.path = Some(value.to_vec()).filter(|path| !path.is_empty()),
                b"linkpath" => self.link = Some(value.to_vec()).filter(|path| !path.is_empty()),
                b"size" => self.size = Some(decimal()?),
                b"uid" => self.uid = Some(decimal()?),
                b"gid" => self.gid = Some(decimal()?),
                b"mtime" => self.mtime = Some(pax_time(value).ok_or_else(wrong)?),
                b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse_size = Some(decimal()?),
                b"GNU.sparse.major" => self.sparse_major = Some(decimal()?),
                b"GNU.sparse.map" => {
                    let numbers = std::str::from_utf8(value)
                        .ok()
                        .and_then(|list| {
                            list.split(',')
                                .map(|one| one.parse().ok())
                                .collect::<Option<Vec<u64>>>()
                        })
                        .ok_or_else(wrong)?;
                    self.sparse_map = Some(
                        numbers
                            .chunks_exact(2)
                            .map(|pair| (pair[0], pair[1]))
                            .collect(),
                    );
                }
                b"GNU.sparse.offset" => offset = Some(decimal()?),
                b"GNU.sparse.numbytes" => {
                    let offset = offset.take().ok_or_else(wrong)?;
                    self.sparse_map
                        .get_or_insert_default()
                        .push((offset, decimal()?));
                }
                key => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.retain(|(known, _)| known != name);
                        self.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
            if self
                .sparse_map
                .as_ref()
                .is_some_and(|map| map.len() > pieces)
            {
                return Err(damaged("a sparse file of too many pieces"));
            }
        }
        Ok(())
    }
}

/// `-12.5` is 12.5 seconds before 1970: -13 seconds and half a second.
fn pax_time(text: &[u8]) -> Option<TarTime> {
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

/// A numeric field: octal digits among blanks, or base 256 when the first bit is set.
fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (index, byte) in field.iter().enumerate() {
            let byte = if index == 0 && !negative {
                byte & 0x7f
            } else {
                *byte
            };
            value = value << 8 | i128::from(byte);
        }
        return i64::try_from(value).ok();
    }
    let text: &[u8] = match field.iter().position(|byte| !matches!(byte, b' ' | 0)) {
        Some(start) => &field[start..],
        None => return Some(0),
    };
    let end = text
        .iter()
        .position(|byte| matches!(byte, b' ' | 0))
        .unwrap_or(text.len());
    let mut value: i64 = 0;
    for digit in &text[..end] {
        if !(b'0'..=b'7').contains(digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

fn until_nul(field: &[u8]) -> Vec<u8> {
    field
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default()
        .to_vec()
}

fn header_path(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    // Only POSIX headers have a prefix; GNU's use that space for other things.
    if &header[257..263] == b"ustar\0" {
        let prefix = until_nul(&header[345..500]);
        if !prefix.is_empty() {
            return [prefix, name].join(&b'/');
        }
    }
    name
}

/// A hostile name for a message.
pub(super) fn show(path: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(path)
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn retry<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(name: &str, kind: u8, size: u64) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0000644");
        block[108..115].copy_from_slice(b"0000001");
        block[116..123].copy_from_slice(b"0000002");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[136..147].copy_from_slice(b"00000000007");
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut block);
        block
    }

    fn seal(block: &mut [u8]) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }

    fn member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = header(name, kind, data.len() as u64);
        bytes.extend(data);
        bytes.resize(bytes.len().div_ceil(BLOCK) * BLOCK, 0);
        bytes
    }

    fn record(key: &str, value: &str) -> String {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        format!("{length}{rest}")
    }

    fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, LayerError> {
        let limits = Limits {
            entries: 100,
            header: 4096,
            pieces: 100,
            bytes: 1 << 20,
        };
        let mut reader = Reader::new(bytes, limits);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next()? {
            entries.push((entry, reader.read_small(1 << 20)?));
        }
        reader.finish()?;
        Ok(entries)
    }

    #[test]
    fn reads_plain_members() {
        let mut bytes = member("a", b'0', b"hello");
        bytes.extend(member("d/", b'5', b""));
        bytes.extend([0; 1024]);
        let entries = read(&bytes).unwrap();
        assert_eq!(entries[0].1, b"hello");
        assert_eq!(
            (
                entries[0].0.uid,
                entries[0].0.gid,
                entries[0].0.mtime.seconds
            ),
            (1, 2, 7)
        );
        assert_eq!(entries[1].0.kind, Kind::Directory);
    }

    #[test]
    fn reads_long_names_of_both_kinds() {
        let long = "x/".repeat(120) + "y";
        let mut bytes = member("././@LongLink", b'L', long.as_bytes());
        bytes.extend(member("short", b'0', b"1"));
        bytes.extend(member(
            "p",
            b'x',
            (record("path", &long)
                + &record("mtime", "-1.5")
                + &record("SCHILY.xattr.user.a", "b=c"))
                .as_bytes(),
        ));
        bytes.extend(member("short", b'0', b"2"));
        let entries = read(&bytes).unwrap();
        assert_eq!(entries[0].0.path, long.as_bytes());
        assert_eq!(entries[1].0.path, long.as_bytes());
        assert_eq!(
            entries[1].0.mtime,
            TarTime {
                seconds: -2,
                nanoseconds: 500_000_000
            }
        );
        assert_eq!(entries[1].0.xattrs, [(b"user.a".to_vec(), b"b=c".to_vec())]);
    }

    #[test]
    fn reads_sparse_forms() {
        let wanted = Some(vec![(0, 3), (1000, 2)]);
        let map = "2\n0\n3\n1000\n2\n".to_owned();
        let mut data = map.into_bytes();
        data.resize(512, 0);
        data.extend(b"abcde");
        let pax = record("GNU.sparse.major", "1")
            + &record("GNU.sparse.minor", "0")
            + &record("GNU.sparse.name", "s")
            + &record("GNU.sparse.realsize", "2000");
        let mut bytes = member("p", b'x', pax.as_bytes());
        bytes.extend(member("GNUSparseFile.0/s", b'0', &data));
        bytes.extend(member(
            "p",
            b'x',
            (record("GNU.sparse.size", "2000") + &record("GNU.sparse.map", "0,3,1000,2"))
                .as_bytes(),
        ));
        bytes.extend(member("t", b'0', b"abcde"));
        let mut old = header("u", b'S', 5);
        old[257..265].copy_from_slice(b"ustar  \0");
        for (index, text) in ["00000000000", "00000000003", "00000001750", "00000000002"]
            .iter()
            .enumerate()
        {
            old[386 + index * 12..386 + index * 12 + 11].copy_from_slice(text.as_bytes());
        }
        old[483..494].copy_from_slice(b"00000003720");
        seal(&mut old);
        bytes.extend(old);
        bytes.extend(b"abcde");
        bytes.resize(bytes.len().div_ceil(512) * 512, 0);
        let entries = read(&bytes).unwrap();
        for ((entry, data), name) in entries.iter().zip(["s", "t", "u"]) {
            assert_eq!(
                (
                    entry.path.as_slice(),
                    &entry.sparse,
                    entry.size,
                    data.as_slice()
                ),
                (name.as_bytes(), &wanted, 2000, b"abcde".as_slice())
            );
        }
        assert_eq!(entries.len(), 3);
    }

    #[test]
    fn refuses_what_claims_too_much() {
        let mut huge_pax = header("p", b'x', 1 << 30);
        huge_pax.extend([b'x'; 512]);
        let mut cut = member("a", b'0', &[1; 600]);
        cut.truncate(700);
        let mut checksum = member("a", b'0', b"");
        checksum[0] = b'b';
        let overlapping = {
            let mut bytes = member(
                "p",
                b'x',
                (record("GNU.sparse.size", "9") + &record("GNU.sparse.map", "0,3,2,2")).as_bytes(),
            );
            bytes.extend(member("t", b'0', b"abcde"));
            bytes
        };
        let many: Vec<u8> = (0..200).flat_map(|_| member("a", b'0', b"")).collect();
        let mut bomb = header("a", b'0', (1 << 33) - 1);
        bomb.resize(2 << 20, 0);
        for bad in [
            huge_pax,
            cut,
            checksum,
            overlapping,
            many,
            bomb,
            member("p", b'x', b"5 a\n"),
            member("p", b'x', b"99999999999999999999 a=b\n"),
            member("a", b'M', b""),
        ] {
            assert!(read(&bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let _ = read(&bytes);
        }

        #[test]
        fn damaged_headers_never_panic(edits in proptest::collection::vec((0_usize..1024, any::<u8>()), 0..20), kind in proptest::sample::select(b"0157xgLKS34".to_vec())) {
            let mut bytes = member("name", kind, b"12 path=abc\n20 GNU.sparse.major=1\n");
            bytes.extend(member("b", b'0', b"data"));
            for (at, byte) in edits {
                bytes[at] = byte;
            }
            seal(&mut bytes[..512]);
            let _ = read(&bytes);
        }
    }
}
