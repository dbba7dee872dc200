//! Reading an archive entry by entry.

use std::io::{self, Read};

use super::field::{self, number, until_nul};
use super::pax::Pax;
use super::{BLOCK, Entry, Kind, LayerError, Limits, TarTime, damaged, show};

/// A streaming reader of an archive. After [`Reader::next`] gave an entry, [`Reader::read_data`]
/// gives its bytes (of a sparse file: of its pieces, one after the other).
pub struct Reader<R> {
    source: R,
    pub(super) limits: Limits,
    entries: u64,
    consumed: u64,
    /// Bytes of the present entry not read yet, without padding.
    pub(super) remaining: u64,
    padding: u64,
    global: Pax,
    done: bool,
    marked: bool,
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
            marked: false,
        }
    }

    /// Whether the archive's own end has been seen: one that was cut between two entries has none.
    pub fn is_whole(&self) -> bool {
        self.marked
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
        let mut announced = false;
        loop {
            self.skip_data()?;
            let Some(header) = self.header()? else {
                if announced {
                    return Err(damaged("it ends after an extended header"));
                }
                self.done = true;
                return Ok(None);
            };
            self.entries += 1;
            if self.entries > self.limits.entries {
                let limit = self.limits.entries;
                return Err(damaged(format!("more than {limit} entries")));
            }
            let size = number(&header[124..136])
                .filter(|size| *size >= 0)
                .ok_or_else(|| damaged("a size is no number"))? as u64;
            announced = matches!(header[156], b'x' | b'L' | b'K');
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

    /// Makes the entry of a header, with what extended headers say of it.
    fn entry(
        &mut self,
        header: &[u8; BLOCK],
        kind: u8,
        size: u64,
        mut pax: Pax,
    ) -> Result<Entry, LayerError> {
        let path = pax
            .sparse_name
            .take()
            .or(pax.path.take())
            .unwrap_or_else(|| field::path(header));
        let kind = entry_kind(header, kind, &path, pax.link.take())?;
        let stored = match kind {
            Kind::File => pax.size.unwrap_or(size),
            _ => 0,
        };
        self.remaining = stored;
        self.padding = padding(stored);
        let (sparse, size) = match kind {
            Kind::File => self.sparse(header, &mut pax, stored)?,
            _ => (None, 0),
        };
        let mode = number(&header[100..108]).ok_or_else(|| damaged("a mode is no number"))?;
        Ok(Entry {
            mode: (mode & 0o7777) as u32,
            uid: field::owner(pax.uid, &header[108..116])?,
            gid: field::owner(pax.gid, &header[116..124])?,
            mtime: pax.mtime.unwrap_or_else(|| TarTime {
                seconds: number(&header[136..148]).unwrap_or(0),
                nanoseconds: 0,
            }),
            size,
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

    pub(super) fn exact(&mut self, buffer: &mut [u8]) -> Result<(), LayerError> {
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
            self.marked = true;
            return Ok(None);
        }
        if !field::checksum_fits(&block) {
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
        self.padding = padding(size);
        self.skip_data()?;
        Ok(text)
    }
}

/// What an entry of this type is. `link` is what an extended header says of its target.
fn entry_kind(
    header: &[u8; BLOCK],
    kind: u8,
    path: &[u8],
    link: Option<Vec<u8>>,
) -> Result<Kind, LayerError> {
    let link = || link.unwrap_or_else(|| until_nul(&header[157..257]));
    let major = || field::device(&header[329..337]);
    let minor = || field::device(&header[337..345]);
    Ok(match kind {
        b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
        b'0' | b'7' | b'S' | 0 => Kind::File,
        b'1' => Kind::HardLink(link()),
        b'2' => Kind::Symlink(link()),
        b'3' => Kind::Char {
            major: major()?,
            minor: minor()?,
        },
        b'4' => Kind::Block {
            major: major()?,
            minor: minor()?,
        },
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => {
            return Err(LayerError::Refused {
                entry: show(path),
                why: format!("its type {:?} is not supported", char::from(other)),
            });
        }
    })
}

/// What follows `size` bytes up to the next block.
fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

fn retry<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
