//! JSON-RPC messages on a pair of streams, framed as the protocol says: headers, blank line, body.
//!
//! Nothing a peer sends ends the process: bodies are limited in size before memory is taken for
//! them, and a body that is no message is handed on as such, so that it can be answered. Only
//! broken framing ends the stream, because nobody knows where the next message begins.

use std::io::{self, BufRead, Read as _, Write};

use serde_json::{Value, json};

/// Largest body: a file of the loader's largest size, every byte of it escaped.
const MAX_BODY: u64 = 4 * crate::loader::yaml::MAX_BYTES as u64;
/// Longest header line.
const MAX_HEADER: u64 = 4096;

/// What can go wrong with the streams.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not a header of the protocol.
    #[error("the input is not the language server protocol: header `{0}`")]
    Header(String),
    /// No length before a body.
    #[error("a message without a `Content-Length` header")]
    NoLength,
    /// A body beyond the limit.
    #[error("a message of {0} bytes; the limit is {MAX_BODY}")]
    TooBig(u64),
    /// The stream itself.
    #[error("the connection to the editor is broken")]
    Io(#[from] io::Error),
}

/// The identity of a request: a number or a text, given back as it came.
pub type Id = Value;

/// What a client can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// Wants an answer.
    Request {
        /// Its identity.
        id: Id,
        /// What is asked.
        method: String,
        /// About what.
        params: Value,
    },
    /// Wants none.
    Notification {
        /// What happened.
        method: String,
        /// To what.
        params: Value,
    },
    /// Answers a request of ours.
    Response,
    /// A body that is no message: why, and the error code that says so.
    Invalid(i32, String),
}

/// Error codes of JSON-RPC and the protocol.
pub mod code {
    /// The body is not JSON.
    pub const PARSE: i32 = -32700;
    /// JSON, but no request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// Nobody answers this.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// Parameters of another kind.
    pub const INVALID_PARAMS: i32 = -32602;
    /// A mistake of ours.
    pub const INTERNAL: i32 = -32603;
    /// Before `initialize`.
    pub const NOT_INITIALIZED: i32 = -32002;
    /// Asked for rightly, and cannot be done.
    pub const REQUEST_FAILED: i32 = -32803;
    /// The client took it back.
    pub const CANCELLED: i32 = -32800;
}

/// Reads the next message; `None` at the end of the stream.
///
/// # Errors
/// Broken framing, a body beyond the limit, a broken stream.
pub fn read(input: &mut impl BufRead) -> Result<Option<Incoming>, WireError> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        if input.take(MAX_HEADER).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let shown = || {
            String::from_utf8_lossy(&line)
                .trim()
                .chars()
                .take(80)
                .collect()
        };
        let text = match std::str::from_utf8(&line) {
            Ok(text) if text.ends_with('\n') => text.trim_end(),
            _ => return Err(WireError::Header(shown())),
        };
        if text.is_empty() {
            break;
        }
        let Some((name, value)) = text.split_once(':') else {
            return Err(WireError::Header(shown()));
        };
        if name.eq_ignore_ascii_case("content-length") {
            let value = value
                .trim()
                .parse()
                .map_err(|_| WireError::Header(shown()))?;
            length = Some(value);
        }
    }
    let length: u64 = length.ok_or(WireError::NoLength)?;
    if length > MAX_BODY {
        return Err(WireError::TooBig(length));
    }
    let mut body = Vec::new();
    if input.take(length).read_to_end(&mut body)? as u64 != length {
        return Ok(None);
    }
    Ok(Some(message(&body)))
}

fn message(body: &[u8]) -> Incoming {
    let value = match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => map,
        Ok(_) => {
            return Incoming::Invalid(code::INVALID_REQUEST, "a message is an object".to_owned());
        }
        Err(error) => return Incoming::Invalid(code::PARSE, format!("not JSON: {error}")),
    };
    let mut value = value;
    let params = value.remove("params").unwrap_or(Value::Null);
    match (value.remove("method"), value.remove("id")) {
        (Some(Value::String(method)), Some(id @ (Value::Number(_) | Value::String(_)))) => {
            Incoming::Request { id, method, params }
        }
        (Some(Value::String(method)), None) => Incoming::Notification { method, params },
        (None, Some(_)) => Incoming::Response,
        _ => Incoming::Invalid(
            code::INVALID_REQUEST,
            "a message has a `method`, and an `id` that is a number or a text".to_owned(),
        ),
    }
}

/// Writes a message.
///
/// # Errors
/// A broken stream.
pub fn write(output: &mut impl Write, message: &Value) -> Result<(), WireError> {
    let body = message.to_string();
    write!(output, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    output.flush()?;
    Ok(())
}

/// The answer to a request.
pub fn answer(id: Id, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// The answer to a request that cannot be answered.
pub fn refusal(id: Id, code: i32, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

/// A notification of ours.
pub fn notification(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

/// A request of ours.
pub fn request(id: &str, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(mut input: &[u8]) -> Vec<Result<Incoming, String>> {
        let mut all = Vec::new();
        loop {
            match read(&mut input) {
                Ok(Some(message)) => all.push(Ok(message)),
                Ok(None) => return all,
                Err(error) => {
                    all.push(Err(error.to_string()));
                    return all;
                }
            }
        }
    }

    fn framed(body: &str) -> Vec<u8> {
        format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut bytes = Vec::new();
        write(&mut bytes, &request("1", "a/b", json!({ "x": "ü" }))).expect("memory");
        write(&mut bytes, &notification("n", Value::Null)).expect("memory");
        write(&mut bytes, &answer(json!(7), json!([]))).expect("memory");
        let expected = vec![
            Ok(Incoming::Request {
                id: json!("1"),
                method: "a/b".to_owned(),
                params: json!({ "x": "ü" }),
            }),
            Ok(Incoming::Notification {
                method: "n".to_owned(),
                params: Value::Null,
            }),
            Ok(Incoming::Response),
        ];
        assert_eq!(read_all(&bytes), expected);
    }

    #[test]
    fn a_bad_body_is_handed_on_and_the_next_message_read() {
        let mut bytes = framed("{not json");
        bytes.extend(framed("[1]"));
        bytes.extend(framed(r#"{"id": null, "method": "x"}"#));
        bytes.extend(framed("\u{fffd}"));
        bytes.extend(framed(r#"{"method": "exit"}"#));
        let kinds: Vec<i32> = read_all(&bytes)
            .into_iter()
            .map(|message| match message {
                Ok(Incoming::Invalid(code, _)) => code,
                Ok(Incoming::Notification { .. }) => 1,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(kinds, [-32700, -32600, -32600, -32700, 1]);
    }

    #[test]
    fn broken_framing_is_an_error_and_takes_no_memory() {
        for bytes in [
            "hello\r\n".to_owned(),
            "Content-Length: many\r\n\r\n".to_owned(),
            "Content-Type: x\r\n\r\n{}".to_owned(),
            format!("Content-Length: {}\r\n\r\n{{", u64::MAX),
            format!("Content-Length: {}\r\n\r\n{{", MAX_BODY + 1),
            "x".repeat(10_000),
        ] {
            let read = read_all(bytes.as_bytes());
            assert!(matches!(read[..], [Err(_)]), "{bytes:.40}: {read:?}");
        }
        let cut = b"Content-Length: 100\r\n\r\n{}";
        assert_eq!(read_all(cut), []);
    }
}
