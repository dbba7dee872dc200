//! Random numbers of the kernel.

use std::io;

/// `N` random bytes (getrandom(2)); up to 256 come at once.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    const { assert!(N <= 256) };
    let mut bytes = [0; N];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes)
}
