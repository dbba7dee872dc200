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
        (record("path", &long) + &record("mtime", "-1.5") + &record("SCHILY.xattr.user.a", "b=c"))
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
        (record("GNU.sparse.size", "2000") + &record("GNU.sparse.map", "0,3,1000,2")).as_bytes(),
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
