//! A small HTTP server that answers as it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What a client asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// One answer; the connection closes after it.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Announce this many bytes, whatever the body has.
    pub announced: Option<usize>,
    /// Repeat the body until the client goes away.
    pub endless: bool,
}

pub(super) fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: body.into(),
        announced: None,
        endless: false,
    }
}

impl Answer {
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

/// The server; ends when dropped.
pub(super) struct Liar {
    pub address: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Liar {
    pub fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, stop) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (log, end, script) = (Arc::clone(&asked), Arc::clone(&stop), Arc::new(script));
        let thread = std::thread::spawn(move || {
            let mut clients = Vec::new();
            for stream in listener.incoming().filter_map(Result::ok) {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                clients.push(std::thread::spawn(move || {
                    let _ = serve(stream, &log, &*script);
                }));
            }
            for client in clients {
                let _ = client.join();
            }
        });
        Self {
            address,
            asked,
            stop,
            thread: Some(thread),
        }
    }

    /// The paths asked for, in order.
    pub fn paths(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|asked| asked.path.clone())
            .collect()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, script: &Script) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut asked = Asked {
        path: first.split(' ').nth(1).unwrap_or_default().to_owned(),
        headers: Vec::new(),
    };
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) => asked.headers.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let answer = script(&asked);
    log.lock().unwrap().push(asked);
    let length = if answer.endless {
        1 << 40
    } else {
        answer.announced.unwrap_or(answer.body.len())
    };
    let mut head = format!(
        "HTTP/1.1 {} Said\r\nconnection: close\r\ncontent-length: {length}\r\n",
        answer.status
    );
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(&answer.body)?;
    if answer.endless {
        // Ends when the client has gone away.
        loop {
            stream.write_all(&answer.body)?;
        }
    }
    stream.flush()
}
