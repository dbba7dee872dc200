//! Compression of archives, told from their first bytes and never from their names. Archives of images, and
//! those to extract, come in all four; layers of images in the two that OCI has.

use std::io::{self, BufReader, Chain, Cursor, Read};

use super::LayerError;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// bzip2.
    Bzip2,
    /// The .xz format.
    Xz,
}

impl Compression {
    /// Tells it from an archive's first bytes.
    pub fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // Skippable frames may come first (zstd:chunked, estargz' sibling).
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }

    /// The OCI media type of a layer compressed this way; an error names what OCI has none for.
    pub fn media_type(self) -> Result<&'static str, LayerError> {
        match self {
            Self::None => Ok("application/vnd.oci.image.layer.v1.tar"),
            Self::Gzip => Ok("application/vnd.oci.image.layer.v1.tar+gzip"),
            Self::Zstd => Ok("application/vnd.oci.image.layer.v1.tar+zstd"),
            Self::Bzip2 => Err(LayerError::Compression("bzip2")),
            Self::Xz => Err(LayerError::Compression("xz")),
        }
    }
}

/// The bytes read to detect, then the rest.
type Source<R> = Chain<Cursor<Vec<u8>>, R>;

/// The uncompressed bytes of an archive.
pub struct Decoder<R: Read> {
    compression: Compression,
    inner: Inner<R>,
}

enum Inner<R: Read> {
    None(Source<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<BufReader<Source<R>>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Source<R>>>>),
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<BufReader<Source<R>>>>),
    Xz(Box<lzma_rust2::XzReader<BufReader<Source<R>>>>),
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes and decodes accordingly.
    pub fn new(mut source: R) -> Result<Self, LayerError> {
        let mut head = [0; 6];
        let mut filled = 0;
        while filled < head.len() {
            match source.read(&mut head[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::Read(error)),
            }
        }
        let compression = Compression::detect(&head[..filled]);
        let source = Cursor::new(head[..filled].to_vec()).chain(source);
        let inner = match compression {
            Compression::None => Inner::None(source),
            Compression::Gzip => Inner::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(
                BufReader::with_capacity(64 << 10, source),
            ))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(
                    BufReader::with_capacity(64 << 10, source),
                )
                .map_err(LayerError::Read)?;
                // 128 MiB: the most that decoders must support (RFC 8878 asks for 8 MiB).
                decoder.window_log_max(27).map_err(LayerError::Read)?;
                Inner::Zstd(Box::new(decoder))
            }
            Compression::Bzip2 => Inner::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(
                BufReader::with_capacity(64 << 10, source),
            ))),
            Compression::Xz => Inner::Xz(Box::new(lzma_rust2::XzReader::new(
                BufReader::with_capacity(64 << 10, source),
                true,
            ))),
        };
        Ok(Self { compression, inner })
    }

    /// What was found.
    pub fn compression(&self) -> Compression {
        self.compression
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::None(source) => source.read(buffer),
            Inner::Gzip(decoder) => decoder.read(buffer),
            Inner::Zstd(decoder) => decoder.read(buffer),
            Inner::Bzip2(decoder) => decoder.read(buffer),
            Inner::Xz(decoder) => decoder.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn decodes_what_it_detects() {
        let text = b"some bytes ".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&text).unwrap();
        for (packed, compression) in [
            (bzip2.finish().unwrap(), Compression::Bzip2),
            (text.clone(), Compression::None),
            (gzip.finish().unwrap(), Compression::Gzip),
            (
                zstd::encode_all(text.as_slice(), 1).unwrap(),
                Compression::Zstd,
            ),
        ] {
            let mut decoder = Decoder::new(packed.as_slice()).unwrap();
            let mut unpacked = Vec::new();
            decoder.read_to_end(&mut unpacked).unwrap();
            assert_eq!(decoder.compression(), compression);
            assert_eq!(unpacked, text);
        }
    }

    #[test]
    fn names_what_no_layer_may_be() {
        assert_eq!(Compression::detect(b"\xfd7zXZ\0.."), Compression::Xz);
        for (compression, name) in [(Compression::Bzip2, "bzip2"), (Compression::Xz, "xz")] {
            let refused = compression.media_type();
            assert!(matches!(refused, Err(LayerError::Compression(named)) if named == name));
        }
    }
}
