//! Where archives are written to.

use std::io::{self, Write};

use crate::layer::checkpoints::Fingerprint;

/// Where an archive goes that may know parts of it already.
pub(in crate::layer) trait Sink: Write {
    /// Whether fingerprints are of use to it.
    fn compares(&self) -> bool;
    /// A member begins; says whether its bytes are wanted.
    fn member(&mut self, fingerprint: &Fingerprint) -> io::Result<bool>;
    /// There are no more members.
    fn end(&mut self) -> io::Result<()>;
}

/// Any writer, which knows nothing.
pub(super) struct Plain<W>(pub(super) W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Sink for Plain<W> {
    fn compares(&self) -> bool {
        false
    }

    fn member(&mut self, _: &Fingerprint) -> io::Result<bool> {
        Ok(true)
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}
