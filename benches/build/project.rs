//! The project that is built: files of text in folders of folders.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::random::Random;

/// Folders, folders in each, files in each of those: 5,000.
const SHAPE: (usize, usize, usize) = (20, 10, 25);
const FILE_SIZE: usize = 20 * 1024;

const DOCKERFILE: &str = "FROM gantry-bench-base
ENV MODE=production
WORKDIR /app
COPY package.lock .
RUN mkdir -p deps && i=0; while [ $i -lt 200 ]; do echo \"dep $i\" > deps/$i; i=$((i+1)); done
COPY . .
RUN find . -type f | sort | sha256sum > /manifest
LABEL org.example.kind=bench
CMD [\"sh\"]
";

/// A context and the base image's.
pub struct Project {
    context: String,
    base: String,
    edits: Cell<usize>,
}

impl Project {
    /// Writes both below a folder.
    pub fn make(folder: &Path) -> Self {
        let context = folder.join("context");
        let mut random = Random::default();
        for (a, b, c) in (0..SHAPE.0)
            .flat_map(|a| (0..SHAPE.1).flat_map(move |b| (0..SHAPE.2).map(move |c| (a, b, c))))
        {
            let path = context.join(format!("src/m{a:02}/p{b}/f{c}.txt"));
            let parent = path.parent().expect("a file has a folder");
            fs::create_dir_all(parent).expect("context");
            fs::write(path, random.text(FILE_SIZE)).expect("context");
        }
        fs::write(context.join("package.lock"), "lock\n").expect("context");
        fs::write(context.join("Dockerfile"), DOCKERFILE).expect("context");
        fs::write(context.join(".dockerignore"), ".git\n").expect("context");
        Self {
            context: context.display().to_string(),
            base: base(&folder.join("base")),
            edits: Cell::new(0),
        }
    }

    /// The folder that is built.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The folder of the base image.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Adds a line to one file, another one every time.
    pub fn edit(&self) {
        let number = self.edits.replace(self.edits.get() + 1);
        let (a, b) = (number * 7 % SHAPE.0, number * 3 % SHAPE.1);
        let path = PathBuf::from(&self.context).join(format!("src/m{a:02}/p{b}/f0.txt"));
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(path)
            .expect("a file of the context");
        writeln!(file, "edit {number}").expect("a file of the context");
    }
}

/// An image of the machine's busybox and links to it.
fn base(folder: &Path) -> String {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).expect("base");
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("busybox-static is installed");
    fs::copy(busybox, bin.join("busybox")).expect("base");
    for name in ["sh", "mkdir", "find", "sort", "sha256sum"] {
        symlink("busybox", bin.join(name)).expect("base");
    }
    fs::write(
        folder.join("Dockerfile"),
        "FROM scratch\nCOPY bin /bin\nCMD [\"/bin/sh\"]\n",
    )
    .expect("base");
    folder.display().to_string()
}
