//! Bytes to tar archives that are well formed enough to be read.

const BLOCK: usize = 512;

/// Every block gets the checksum of a header.
pub fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut archive = bytes.to_vec();
    for block in archive.chunks_exact_mut(BLOCK) {
        seal(block);
    }
    archive
}

/// An archive of entries that are described in a few bytes each: kind, mode, lengths, then name, target and content.
/// Names are made of few letters, so that entries meet.
pub fn of(mut bytes: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    while let [kind, mode, name, link, size, rest @ ..] = bytes {
        bytes = rest;
        let name = path(&mut bytes, *name);
        let link = path(&mut bytes, *link);
        let content = take(&mut bytes, usize::from(*size % 40));
        let kind = b"0125346xgL"[usize::from(*kind) % 10];
        entry(&mut archive, kind, *mode, (&name, &link), content);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn entry(archive: &mut Vec<u8>, kind: u8, mode: u8, (name, link): (&[u8], &[u8]), content: &[u8]) {
    let content = match kind {
        b'0' | b'L' => content.to_vec(),
        b'x' | b'g' => record(content, name),
        _ => Vec::new(),
    };
    let mut header = [0; BLOCK];
    header[..name.len()].copy_from_slice(name);
    header[100..107].copy_from_slice(format!("{:07o}", u32::from(mode) << 4).as_bytes());
    for (at, width, number) in [(108, 7, 0), (116, 7, 0), (124, 11, content.len()), (136, 11, 1)] {
        header[at..at + width].copy_from_slice(format!("{number:0width$o}").as_bytes());
    }
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link);
    header[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut header);
    archive.extend_from_slice(&header);
    archive.extend_from_slice(&content);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
}

/// One record of an extended header, its key chosen by the first byte.
fn record(content: &[u8], name: &[u8]) -> Vec<u8> {
    const KEYS: [&str; 8] = [
        "path",
        "linkpath",
        "size",
        "mtime",
        "SCHILY.xattr.user.a",
        "SCHILY.xattr.trusted.overlay.opaque",
        "GNU.sparse.map",
        "GNU.sparse.realsize",
    ];
    let (choice, value) = content.split_first().unwrap_or((&0, name));
    let key = KEYS[usize::from(*choice) % KEYS.len()];
    let without = key.len() + value.len() + 3;
    let length = (without + 1..).find(|length| length.to_string().len() + without == *length);
    let mut record = format!("{} {key}=", length.unwrap_or_default()).into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

/// A path of up to seven letters.
fn path(bytes: &mut &[u8], length: u8) -> Vec<u8> {
    const LETTERS: [&[u8]; 8] = [b"a", b"b", b"/", b"..", b"/", b".wh.", b".wh..wh..opq", b"."];
    let letters = take(bytes, usize::from(length % 8));
    letters
        .iter()
        .flat_map(|letter| LETTERS[usize::from(*letter) % LETTERS.len()])
        .copied()
        .collect()
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    taken
}

/// Writes the checksum of a header.
fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}
