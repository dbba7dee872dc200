//! execve with argument vectors prepared before, so that nothing is allocated late.

use std::ffi::{CStr, CString};
use std::io;

/// Arguments or environment of a program in the form execve wants.
#[derive(Debug)]
pub struct Vector {
    strings: Vec<CString>,
}

impl Vector {
    /// From strings; a NUL byte in one is `EINVAL`.
    pub fn new<'a>(strings: impl IntoIterator<Item = &'a str>) -> io::Result<Self> {
        strings
            .into_iter()
            .map(|s| CString::new(s).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL)))
            .collect::<io::Result<_>>()
            .map(|strings| Self { strings })
    }

    fn pointers(&self) -> Vec<*const libc::c_char> {
        self.strings
            .iter()
            .map(|s| s.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    }
}

impl From<Vec<CString>> for Vector {
    fn from(strings: Vec<CString>) -> Self {
        Self { strings }
    }
}

/// A program ready to replace this process.
#[derive(Debug)]
pub struct Program<'a> {
    path: &'a CStr,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
}

impl<'a> Program<'a> {
    /// Of a path, arguments (the program's name first) and environment.
    pub fn new(path: &'a CStr, arguments: &'a Vector, environment: &'a Vector) -> Self {
        Self {
            path,
            arguments: arguments.pointers(),
            environment: environment.pointers(),
        }
    }

    /// Replaces this process; returns only the reason why not.
    pub fn execute(&self) -> io::Error {
        // SAFETY: both vectors end with a null pointer, and their strings are borrowed for as
        // long as `self` lives.
        unsafe {
            libc::execve(
                self.path.as_ptr(),
                self.arguments.as_ptr(),
                self.environment.as_ptr(),
            )
        };
        io::Error::last_os_error()
    }
}
