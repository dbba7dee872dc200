//! Sparse files: where their pieces are, in the three forms that GNU tar has written.

use std::io::Read;

use super::field::number;
use super::pax::Pax;
use super::reader::Reader;
use super::{BLOCK, LayerError, damaged};

/// Offset and length of each piece.
type Map = Vec<(u64, u64)>;

impl<R: Read> Reader<R> {
    /// The map of a regular file that has one, and its size once unpacked; `stored` is its size in the archive.
    pub(super) fn sparse(
        &mut self,
        header: &[u8; BLOCK],
        pax: &mut Pax,
        stored: u64,
    ) -> Result<(Option<Map>, u64), LayerError> {
        let size = |pax: &Pax| {
            pax.sparse_size
                .ok_or_else(|| damaged("a sparse file without its size"))
        };
        let (map, size) = if header[156] == b'S' {
            self.old_sparse(header)?
        } else if pax.sparse_major == Some(1) {
            let size = size(pax)?;
            (self.sparse_in_data()?, size)
        } else if let Some(map) = pax.sparse_map.take() {
            (map, size(pax)?)
        } else {
            return Ok((None, stored));
        };
        check(&map, size, self.remaining)?;
        Ok((Some(map), size))
    }

    /// GNU's old sparse header: four pieces in the header, 21 in each block after it.
    fn old_sparse(&mut self, header: &[u8; BLOCK]) -> Result<(Map, u64), LayerError> {
        let size = number(&header[483..495])
            .and_then(|size| u64::try_from(size).ok())
            .ok_or_else(|| damaged("a sparse file's size is no number"))?;
        let mut map = Vec::new();
        old_pieces(&header[386..482], &mut map)?;
        let mut more = header[482] != 0;
        while more {
            let mut block = [0; BLOCK];
            self.exact(&mut block)?;
            old_pieces(&block[..504], &mut map)?;
            if map.len() > self.limits.pieces {
                return Err(damaged("a sparse file of too many pieces"));
            }
            more = block[504] != 0;
        }
        Ok((map, size))
    }

    /// PAX sparse form 1.0: the map precedes the data, as decimal lines padded to a block. The first line tells
    /// how many pieces there are.
    fn sparse_in_data(&mut self) -> Result<Map, LayerError> {
        let mut lines = Lines::default();
        let mut numbers = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            let mut block = [0; BLOCK];
            if self.remaining < BLOCK as u64 {
                return Err(damaged("a sparse file's map is cut"));
            }
            self.exact(&mut block)?;
            self.remaining -= BLOCK as u64;
            for byte in block {
                let Some(number) = lines.push(byte)? else {
                    continue;
                };
                match wanted {
                    None => wanted = Some(2 * self.pieces(number)?),
                    Some(_) => numbers.push(number),
                }
                if wanted.is_some_and(|wanted| numbers.len() >= wanted) {
                    break;
                }
            }
        }
        let (pairs, _) = numbers.as_chunks::<2>();
        Ok(pairs
            .iter()
            .map(|[offset, length]| (*offset, *length))
            .collect())
    }

    /// A claimed number of pieces.
    fn pieces(&self, claimed: u64) -> Result<usize, LayerError> {
        usize::try_from(claimed)
            .ok()
            .filter(|pieces| *pieces <= self.limits.pieces)
            .ok_or_else(|| damaged("a sparse file of too many pieces"))
    }
}

/// Decimal numbers, one a line.
#[derive(Default)]
struct Lines {
    current: Option<u64>,
}

impl Lines {
    /// Takes one more byte; gives the number that ends with it.
    fn push(&mut self, byte: u8) -> Result<Option<u64>, LayerError> {
        let not_a_number = || damaged("a sparse file's map is no list of numbers");
        match byte {
            b'0'..=b'9' => {
                let value = self
                    .current
                    .unwrap_or(0)
                    .checked_mul(10)
                    .and_then(|value| value.checked_add(u64::from(byte - b'0')))
                    .ok_or_else(|| damaged("a sparse file's map is out of range"))?;
                self.current = Some(value);
                Ok(None)
            }
            b'\n' => self.current.take().map(Some).ok_or_else(not_a_number),
            _ => Err(not_a_number()),
        }
    }
}

/// The pieces of one field of the old form.
fn old_pieces(field: &[u8], map: &mut Map) -> Result<(), LayerError> {
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
fn check(map: &[(u64, u64)], real: u64, stored: u64) -> Result<(), LayerError> {
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
