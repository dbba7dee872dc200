//! Writing an archive member by member.

use std::io::{self, Write};

use super::{BLOCK, Entry, Kind, TarTime};

/// What eleven octal digits hold.
const FIELD_LIMIT: i64 = 0o777_7777_7777;
const ID_LIMIT: i64 = 0o777_7777;
/// Bytes of a name or a link's target in a header block.
const NAME_LIMIT: usize = 100;

/// Writes archives member by member.
pub struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// A writer at the beginning of an archive.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Where it writes to; only between members.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Begins a member. Exactly [`Entry::size`] bytes of data must follow through
    /// [`TarWriter::data`], then [`TarWriter::pad`].
    pub fn header(&mut self, entry: &Entry) -> io::Result<()> {
        let link = match &entry.kind {
            Kind::HardLink(target) | Kind::Symlink(target) => target.as_slice(),
            _ => &[],
        };
        let mut records = Vec::new();
        let numbers = oversized(entry, link, &mut records);
        self.records(&records)?;
        let (kind, device) = match entry.kind {
            Kind::File => (b'0', (0, 0)),
            Kind::HardLink(_) => (b'1', (0, 0)),
            Kind::Symlink(_) => (b'2', (0, 0)),
            Kind::Char { major, minor } => (b'3', (major, minor)),
            Kind::Block { major, minor } => (b'4', (major, minor)),
            Kind::Directory => (b'5', (0, 0)),
            Kind::Fifo => (b'6', (0, 0)),
        };
        let block = ustar(&entry.path, kind, entry.mode, &numbers, link, device);
        self.out.write_all(&block)
    }

    /// An extended header for the next member.
    fn records(&mut self, records: &[u8]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let numbers = Numbers {
            size: records.len() as u64,
            ..Numbers::default()
        };
        let block = ustar(b"PaxHeaders.0/entry", b'x', 0o644, &numbers, b"", (0, 0));
        self.out.write_all(&block)?;
        self.out.write_all(records)?;
        self.pad(records.len() as u64)
    }

    /// Data of the present member.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Fills the last block of a member of `size` bytes.
    pub fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = (size % BLOCK as u64) as usize;
        if rest > 0 {
            self.out.write_all(&[0; BLOCK][rest..])?;
        }
        Ok(())
    }

    /// A whole member from memory.
    pub fn member(&mut self, path: &str, mode: u32, mtime: i64, bytes: &[u8]) -> io::Result<()> {
        self.header(&plain(path, Kind::File, mode, mtime, bytes.len() as u64))?;
        self.data(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// A directory.
    pub fn directory(&mut self, path: &str, mode: u32, mtime: i64) -> io::Result<()> {
        self.header(&plain(path, Kind::Directory, mode, mtime, 0))
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }
}

/// A root-owned entry without attributes.
pub(crate) fn plain(path: &str, kind: Kind, mode: u32, mtime: i64, size: u64) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: TarTime {
            seconds: mtime,
            nanoseconds: 0,
        },
        size,
        xattrs: Vec::new(),
        sparse: None,
    }
}

/// A root-owned regular file, readable by all, without a time.
pub(crate) fn plain_file(path: &str, size: u64) -> Entry {
    plain(path, Kind::File, 0o644, 0, size)
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(length.to_string().bytes());
    records.push(b' ');
    records.extend(key);
    records.push(b'=');
    records.extend(value);
    records.push(b'\n');
}

/// The numbers of a header block that may be too large for it.
#[derive(Default)]
struct Numbers {
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
}

/// The numbers of an entry as its header block holds them; everything that does not fit there goes into records.
fn oversized(entry: &Entry, link: &[u8], records: &mut Vec<u8>) -> Numbers {
    if entry.path.len() > NAME_LIMIT {
        record(records, b"path", &entry.path);
    }
    if link.len() > NAME_LIMIT {
        record(records, b"linkpath", link);
    }
    let mut fit = |key: &str, value: i64, limit: i64| match u64::try_from(value) {
        Ok(fits) if value <= limit => fits,
        _ => {
            record(records, key.as_bytes(), value.to_string().as_bytes());
            0
        }
    };
    let numbers = Numbers {
        uid: fit("uid", entry.uid.into(), ID_LIMIT),
        gid: fit("gid", entry.gid.into(), ID_LIMIT),
        size: fit("size", entry.size.cast_signed(), FIELD_LIMIT),
        mtime: match entry.mtime.nanoseconds {
            0 => fit("mtime", entry.mtime.seconds, FIELD_LIMIT),
            // A record of its own says it all.
            _ => u64::try_from(entry.mtime.seconds)
                .unwrap_or(0)
                .min(FIELD_LIMIT.unsigned_abs()),
        },
    };
    if entry.mtime.nanoseconds != 0 {
        let TarTime {
            seconds,
            nanoseconds,
        } = entry.mtime;
        // The fraction counts forwards, also before 1970: pax(1) has a signed decimal number.
        let text = match seconds {
            0.. => format!("{seconds}.{nanoseconds:09}"),
            _ => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
        };
        record(records, b"mtime", text.as_bytes());
    }
    for (name, value) in &entry.xattrs {
        let key = [b"SCHILY.xattr.", name.as_slice()].concat();
        record(records, &key, value);
    }
    numbers
}

/// A header block with its checksum.
fn ustar(
    path: &[u8],
    kind: u8,
    mode: u32,
    numbers: &Numbers,
    link: &[u8],
    device: (u32, u32),
) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let octal = |field: &mut [u8], value: u64| {
        let digits = field.len() - 1;
        field[..digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
    };
    let text = |field: &mut [u8], value: &[u8]| {
        let length = value.len().min(field.len());
        field[..length].copy_from_slice(&value[..length]);
    };
    text(&mut block[..100], path);
    octal(&mut block[100..108], mode.into());
    octal(&mut block[108..116], numbers.uid);
    octal(&mut block[116..124], numbers.gid);
    octal(&mut block[124..136], numbers.size);
    octal(&mut block[136..148], numbers.mtime);
    block[156] = kind;
    text(&mut block[157..257], link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], device.0.into());
    octal(&mut block[337..345], device.1.into());
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
    block[154] = 0;
    block
}
