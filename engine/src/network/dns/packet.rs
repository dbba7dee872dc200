//! DNS messages (RFC 1035), as much as a stub resolver's server needs: one question in, address
//! and pointer records out. Everything else of a message is passed on without being read.

use std::net::IpAddr;

/// Length of a header.
const HEADER: usize = 12;
/// Longest name in wire form (RFC 1035 §2.3.4).
const MOST_NAME: usize = 255;
/// Smallest limit of a UDP answer, and the one without EDNS.
const PLAIN_UDP: usize = 512;
/// Largest UDP answer that we give, whatever the client offers.
const MOST_UDP: usize = 4096;

pub(super) const A: u16 = 1;
pub(super) const PTR: u16 = 12;
pub(super) const AAAA: u16 = 28;
const OPT: u16 = 41;
pub(super) const IN: u16 = 1;

/// Response codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Fine = 0,
    Malformed = 1,
    Failure = 2,
    NoSuchName = 3,
    NotImplemented = 4,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) id: u16,
    recursion_desired: bool,
    /// The name in lower case, without the last dot; labels that hold dots or bytes beyond
    /// ASCII make no name that we know, and are kept as `None`.
    pub(super) name: Option<String>,
    pub(super) kind: u16,
    pub(super) class: u16,
    /// The question section as it came, to be repeated in answers.
    pub(super) question: Vec<u8>,
    /// The size of answers that the client takes by UDP.
    pub(super) limit: usize,
    edns: bool,
}

/// A message that is no question for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Too short, or itself an answer: say nothing, else two servers could talk for ever.
    Ignore,
    /// Answer with a code and nothing else.
    Refuse { id: u16, code: Code },
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl Query {
    /// Reads a message.
    pub(super) fn parse(message: &[u8]) -> Result<Self, Unfit> {
        let (Some(id), Some(flags)) = (u16_at(message, 0), u16_at(message, 2)) else {
            return Err(Unfit::Ignore);
        };
        if message.len() < HEADER || flags & 0x8000 != 0 {
            return Err(Unfit::Ignore);
        }
        let refuse = |code| Unfit::Refuse { id, code };
        if flags & 0x7800 != 0 {
            return Err(refuse(Code::NotImplemented));
        }
        if u16_at(message, 4) != Some(1) {
            return Err(refuse(Code::Malformed));
        }
        let (name, end) = read_name(message, HEADER).ok_or(refuse(Code::Malformed))?;
        let kind = u16_at(message, end).ok_or(refuse(Code::Malformed))?;
        let class = u16_at(message, end + 2).ok_or(refuse(Code::Malformed))?;
        let after = end + 4;
        let edns = find_edns(message, after);
        Ok(Self {
            id,
            recursion_desired: flags & 0x0100 != 0,
            name,
            kind,
            class,
            question: message[HEADER..after].to_vec(),
            limit: edns.map_or(PLAIN_UDP, |size| {
                usize::from(size).clamp(PLAIN_UDP, MOST_UDP)
            }),
            edns: edns.is_some(),
        })
    }

    /// An answer with these records; what does not fit below `limit` is left out and the answer
    /// marked as truncated, so the client asks again by TCP.
    pub(super) fn answer(&self, code: Code, records: &[Record], ttl: u32, limit: usize) -> Vec<u8> {
        let mut out = header(self.id, code, self.recursion_desired);
        out[5] = 1;
        out.extend_from_slice(&self.question);
        let tail = if self.edns { 11 } else { 0 };
        let mut count: u16 = 0;
        for record in records {
            let data = record.data();
            // A pointer to the question's name, type, class, ttl, length.
            if out.len() + 12 + data.len() + tail > limit {
                out[2] |= 0x02;
                break;
            }
            out.extend_from_slice(&[0xc0, HEADER as u8]);
            out.extend_from_slice(&record.kind().to_be_bytes());
            out.extend_from_slice(&IN.to_be_bytes());
            out.extend_from_slice(&ttl.to_be_bytes());
            out.extend_from_slice(&(data.len() as u16).to_be_bytes());
            out.extend_from_slice(&data);
            count += 1;
        }
        out[6..8].copy_from_slice(&count.to_be_bytes());
        if self.edns {
            out[11] = 1;
            out.push(0);
            out.extend_from_slice(&OPT.to_be_bytes());
            out.extend_from_slice(&(MOST_UDP as u16).to_be_bytes());
            out.extend_from_slice(&[0; 6]);
        }
        out
    }
}

impl Unfit {
    /// What to send back.
    pub(super) fn answer(self) -> Option<Vec<u8>> {
        match self {
            Self::Ignore => None,
            Self::Refuse { id, code } => Some(header(id, code, false)),
        }
    }
}

fn header(id: u16, code: Code, recursion_desired: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&id.to_be_bytes());
    // A response; recursion as desired, and available.
    out.push(0x80 | u8::from(recursion_desired));
    out.push(0x80 | code as u8);
    out.resize(HEADER, 0);
    out
}

/// A record of an answer, about the name that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Address(IpAddr),
    Pointer(String),
}

impl Record {
    fn kind(&self) -> u16 {
        match self {
            Self::Address(IpAddr::V4(_)) => A,
            Self::Address(IpAddr::V6(_)) => AAAA,
            Self::Pointer(_) => PTR,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(a)) => a.octets().to_vec(),
            Self::Address(IpAddr::V6(a)) => a.octets().to_vec(),
            Self::Pointer(name) => write_name(name),
        }
    }
}

fn write_name(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|l| !l.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        if out.len() + label.len() + 2 > MOST_NAME {
            break;
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label);
    }
    out.push(0);
    out
}

/// The name at `at` and where it ends. A question is the first name of its message, so a
/// compression pointer in it can only be an attack.
fn read_name(message: &[u8], at: usize) -> Option<(Option<String>, usize)> {
    let mut name = Some(String::new());
    let mut cursor = at;
    loop {
        let length = usize::from(*message.get(cursor)?);
        cursor += 1;
        if length == 0 {
            return (cursor - at <= MOST_NAME).then_some((name, cursor));
        }
        if length > 63 || cursor + length - at > MOST_NAME {
            return None;
        }
        let label = message.get(cursor..cursor + length)?;
        cursor += length;
        match &mut name {
            Some(text) if label.iter().all(|b| b.is_ascii_graphic() && *b != b'.') => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
            }
            _ => name = None,
        }
    }
}

/// The UDP size that the client offers by EDNS (RFC 6891), when its OPT record is where
/// resolvers put it: first after the question.
fn find_edns(message: &[u8], at: usize) -> Option<u16> {
    let no_records = u16_at(message, 6)? == 0 && u16_at(message, 8)? == 0;
    let opt = no_records && *message.get(at)? == 0 && u16_at(message, at + 1)? == OPT;
    if opt { u16_at(message, at + 3) } else { None }
}

/// Whether `reply` answers the question that was sent upstream as `id`.
pub(super) fn answers(reply: &[u8], id: u16, question: &[u8]) -> bool {
    u16_at(reply, 0) == Some(id)
        && u16_at(reply, 2).is_some_and(|flags| flags & 0x8000 != 0)
        && reply
            .get(HEADER..HEADER + question.len())
            .is_some_and(|q| q.eq_ignore_ascii_case(question))
}

/// Whether a reply says that its server could not find out, so that another may.
pub(super) fn is_failure(reply: &[u8]) -> bool {
    // SERVFAIL, NOTIMP, REFUSED.
    reply
        .get(3)
        .is_some_and(|byte| matches!(byte & 0x0f, 2 | 4 | 5))
}

/// The address that a reverse name stands for.
pub(super) fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut parts = labels.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| octets.into());
    }
    let mut parts = name.strip_suffix(".ip6.arpa")?.split('.');
    let mut octets = [0_u8; 16];
    for octet in octets.iter_mut().rev() {
        let mut nibble = || {
            let part = parts.next().filter(|p| p.len() == 1)?;
            u8::from_str_radix(part, 16).ok()
        };
        *octet = nibble()? | (nibble()? << 4);
    }
    parts.next().is_none().then(|| octets.into())
}

#[cfg(test)]
pub(in crate::network) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A question in wire form.
    pub(in crate::network) fn question(
        id: u16,
        name: &str,
        kind: u16,
        edns: Option<u16>,
    ) -> Vec<u8> {
        let mut out = id.to_be_bytes().to_vec();
        out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())]);
        out.extend(write_name(name));
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&IN.to_be_bytes());
        if let Some(size) = edns {
            out.extend_from_slice(&[0, 0, 41]);
            out.extend_from_slice(&size.to_be_bytes());
            out.extend_from_slice(&[0; 6]);
        }
        out
    }

    #[test]
    fn reads_questions() {
        let query = Query::parse(&question(7, "Web.Example", A, Some(1232))).unwrap();
        assert_eq!(
            (query.id, query.name.as_deref(), query.kind, query.limit),
            (7, Some("web.example"), A, 1232)
        );
        assert_eq!(Query::parse(&question(7, "a", A, None)).unwrap().limit, 512);
        assert_eq!(
            Query::parse(&question(7, "a", A, Some(65535)))
                .unwrap()
                .limit,
            4096
        );
        let root = Query::parse(&question(7, "", 2, None)).unwrap();
        assert_eq!(root.name.as_deref(), Some(""));
    }

    #[test]
    fn refuses_what_is_no_question() {
        let good = question(7, "a", A, None);
        let mut answer = good.clone();
        answer[2] |= 0x80;
        assert_eq!(Query::parse(&answer), Err(Unfit::Ignore));
        assert_eq!(Query::parse(&good[..11]), Err(Unfit::Ignore));
        let refused = |code| Err(Unfit::Refuse { id: 7, code });
        let mut update = good.clone();
        update[2] |= 0x28;
        assert_eq!(Query::parse(&update), refused(Code::NotImplemented));
        let mut two = good.clone();
        two[5] = 2;
        assert_eq!(Query::parse(&two), refused(Code::Malformed));
        let mut pointer = good.clone();
        pointer[12] = 0xc0;
        assert_eq!(Query::parse(&pointer), refused(Code::Malformed));
        assert_eq!(
            Query::parse(&good[..good.len() - 1]),
            refused(Code::Malformed)
        );
    }

    #[test]
    fn answers_repeat_the_question_and_mark_truncation() {
        let query = Query::parse(&question(9, "db", A, None)).unwrap();
        let records: Vec<_> = (0..100_u8)
            .map(|i| Record::Address(IpAddr::from([10, 0, 0, i])))
            .collect();
        let whole = query.answer(Code::Fine, &records, 5, 65535);
        assert_eq!(u16_at(&whole, 6), Some(100));
        assert_eq!(whole[2] & 2, 0);
        assert!(answers(&whole, 9, &query.question));
        let cut = query.answer(Code::Fine, &records, 5, 512);
        assert!(cut.len() <= 512 && cut[2] & 2 == 2, "{}", cut.len());
        assert_eq!(u16_at(&cut, 6), Some(30));
        let edns = Query::parse(&question(9, "db", A, Some(4096)))
            .unwrap()
            .answer(Code::Fine, &records[..1], 5, 4096);
        assert_eq!(edns[11], 1);
        assert!(is_failure(&query.answer(Code::Failure, &[], 0, 512)));
    }

    #[test]
    fn reverse_names() {
        assert_eq!(
            reverse_address("2.0.17.172.in-addr.arpa"),
            Some("172.17.0.2".parse().unwrap())
        );
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(reverse_address(six), Some("fd00::1".parse().unwrap()));
        for bad in [
            "",
            "in-addr.arpa",
            "1.2.3.in-addr.arpa",
            "1.2.3.4.5.in-addr.arpa",
            "x.ip6.arpa",
            "256.1.1.1.in-addr.arpa",
        ] {
            assert_eq!(reverse_address(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), limit in 0_usize..600) {
            match Query::parse(&bytes) {
                Ok(query) => {
                    let out = query.answer(Code::Fine, &[Record::Pointer("x.y".into())], 1, limit.max(512));
                    prop_assert!(out.len() <= 512 + query.question.len());
                }
                Err(unfit) => { unfit.answer(); }
            }
            let _ = (answers(&bytes, 1, &[1, 2]), is_failure(&bytes));
        }

        #[test]
        fn damaged_questions_never_panic(name in "[a-z.]{0,80}", at in 0_usize..120, byte: u8) {
            let mut message = question(1, &name, A, Some(1232));
            if let Some(slot) = message.get_mut(at) { *slot = byte; }
            let _ = Query::parse(&message);
        }

        #[test]
        fn names_survive_the_wire(name in "[a-z0-9-]{1,63}(\\.[a-z0-9-]{1,50}){0,3}") {
            let query = Query::parse(&question(1, &name, A, None)).unwrap();
            prop_assert_eq!(query.name.as_deref(), Some(name.as_str()));
        }

        #[test]
        fn reverse_never_panics(name in "\\PC{0,80}") {
            reverse_address(&name);
        }
    }
}
