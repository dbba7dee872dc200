//! The fields of a header block.

use super::{BLOCK, LayerError, damaged};

/// Whether the checksum is right. It is the sum of the block's bytes, those of the checksum as blanks; old writers
/// took the bytes as signed.
pub(super) fn checksum_fits(block: &[u8; BLOCK]) -> bool {
    let bytes = || {
        let fields = block[..148].iter().chain(&[b' '; 8]);
        fields.chain(&block[156..]).copied()
    };
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
    let claimed = number(&block[148..156]);
    claimed == Some(unsigned) || claimed == Some(signed)
}

/// An owner; `pax` is what an extended header says of it.
pub(super) fn owner(pax: Option<u64>, field: &[u8]) -> Result<u32, LayerError> {
    let value = pax.map_or_else(|| number(field), |value| i64::try_from(value).ok());
    match value {
        Some(value) => {
            u32::try_from(value).map_err(|_| damaged("an owner's number is out of range"))
        }
        // Fields that are empty mean nothing better than root.
        None if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(0),
        None => Err(damaged("an owner is no number")),
    }
}

/// Half of a device number.
pub(super) fn device(field: &[u8]) -> Result<u32, LayerError> {
    number(field)
        .and_then(|value| u32::try_from(value).ok())
        .ok_or_else(|| damaged("a device number is no number"))
}

/// A numeric field: octal digits among blanks, or base 256 when the first bit is set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        return binary(field, first & 0x40 != 0);
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

fn binary(field: &[u8], negative: bool) -> Option<i64> {
    let mut value: i128 = if negative { -1 } else { 0 };
    for (index, byte) in field.iter().enumerate() {
        let byte = if index == 0 && !negative {
            byte & 0x7f
        } else {
            *byte
        };
        value = value << 8 | i128::from(byte);
    }
    i64::try_from(value).ok()
}

/// Text that ends at the first NUL, or with the field.
pub(super) fn until_nul(field: &[u8]) -> Vec<u8> {
    field
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default()
        .to_vec()
}

/// The name in a header block.
pub(super) fn path(header: &[u8; BLOCK]) -> Vec<u8> {
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
