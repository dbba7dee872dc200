//! The heap of the C library.

/// Has the heap begin with this much memory that is there already, in place of a page fault for every page of it and
/// a call for every 128 KB. For a process that is about to need it and then ends. Where the C library or the kernel
/// (before 5.14) cannot, memory comes as it does otherwise.
pub fn begin_with(bytes: usize) {
    #[cfg(target_env = "gnu")]
    {
        let Ok(pad) = libc::c_int::try_from(bytes) else {
            return;
        };
        // SAFETY: mallopt changes what malloc asks of the kernel next time, and nothing else.
        unsafe { libc::mallopt(libc::M_TOP_PAD, pad) };
        // More than is left of what the heap has now: it grows, by so much more than this.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(100 << 10)));
        // SAFETY: sbrk(0) only tells where the heap ends.
        let end = unsafe { libc::sbrk(0) };
        let start = end.wrapping_byte_sub(bytes);
        // SAFETY: the range is the heap's own, or the call fails; populating it changes no byte.
        unsafe { libc::madvise(start, bytes, libc::MADV_POPULATE_WRITE) };
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}
