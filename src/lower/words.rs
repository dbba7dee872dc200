//! Words that Compose files and command lines write alike, as the engine's specifications have them. An error says
//! what is wrong with the text.

use gantry_engine::spec::{ExtraHost, MountKind, MountSpec, Propagation, TmpfsOptions};

use crate::loader::short::bytes;

/// A mount's propagation.
pub fn propagation(word: &str) -> Result<Propagation, String> {
    Ok(match word {
        "" | "rprivate" => Propagation::RPrivate,
        "private" => Propagation::Private,
        "rshared" => Propagation::RShared,
        "shared" => Propagation::Shared,
        "rslave" => Propagation::RSlave,
        "slave" => Propagation::Slave,
        other => return Err(format!("`{other}` is no mount propagation")),
    })
}

/// `name=address`, `name:address`; `host-gateway` stands for this machine.
pub fn extra_host(text: &str) -> Result<ExtraHost, String> {
    let at = text
        .find(['=', ':'])
        .ok_or_else(|| format!("`{text}` has no address: expected host:ip"))?;
    let (name, address) = (&text[..at], text[at + 1..].trim_matches(['[', ']']));
    let address = match address {
        "host-gateway" => None,
        ip => Some(
            ip.parse()
                .map_err(|_| format!("`{ip}` is not an IP address"))?,
        ),
    };
    Ok(ExtraHost {
        name: name.to_owned(),
        address,
    })
}

/// `path[:option,…]`; the options are those of tmpfs(5) and mount(8).
pub fn tmpfs(text: &str) -> Result<MountSpec, String> {
    let (target, list) = text.split_once(':').unwrap_or((text, ""));
    let mut options = TmpfsOptions::default();
    let mut read_only = false;
    for option in list.split(',').filter(|option| !option.is_empty()) {
        let number = |value: &str| {
            let wrong = |_| format!("`{option}` is not a number");
            value.parse::<u32>().map_err(wrong)
        };
        match option.split_once('=').unwrap_or((option, "")) {
            ("size", value) if is_percentage(value) => options.more.push(option.to_owned()),
            ("size", value) => options.size = Some(size(value)?),
            ("mode", value) => options.mode = Some(octal(value)?),
            ("uid", value) => options.uid = Some(number(value)?),
            ("gid", value) => options.gid = Some(number(value)?),
            ("exec", "") => options.exec = true,
            ("ro", "") => read_only = true,
            // Docker's defaults, said aloud.
            ("rw" | "noexec" | "nosuid" | "nodev" | "defaults", "") => {}
            ("nr_inodes" | "nr_blocks" | "mpol" | "huge", value) if !value.is_empty() => {
                options.more.push(option.to_owned());
            }
            (
                "suid" | "dev" | "atime" | "noatime" | "diratime" | "nodiratime" | "relatime"
                | "norelatime" | "strictatime" | "nostrictatime",
                "",
            ) => options.more.push(option.to_owned()),
            _ => return Err(format!("the tmpfs option `{option}` is not supported")),
        }
    }
    Ok(MountSpec {
        target: target.to_owned(),
        kind: MountKind::Tmpfs(options),
        read_only,
    })
}

/// A part of the machine's memory: `50%`.
fn is_percentage(text: &str) -> bool {
    let number = text.strip_suffix('%').map(str::parse::<u8>);
    number.is_some_and(|number| number.is_ok_and(|number| number > 0))
}

/// `512m` in bytes.
pub fn size(text: &str) -> Result<u64, String> {
    bytes::parse(text)
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| format!("`{text}` is not a size like 512m or 2g"))
}

/// The bits of a file's mode.
pub fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8).map_err(|_| format!("`{text}` is not an octal mode"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options() {
        let mount = tmpfs("/run:size=64m,mode=1770,uid=5,exec,nr_inodes=9,noatime").expect("valid");
        assert_eq!(mount.target, "/run");
        assert_eq!(
            mount.kind,
            MountKind::Tmpfs(TmpfsOptions {
                size: Some(64 << 20),
                mode: Some(0o1770),
                uid: Some(5),
                gid: None,
                exec: true,
                more: vec!["nr_inodes=9".to_owned(), "noatime".to_owned()],
            })
        );
        let MountKind::Tmpfs(half) = tmpfs("/run:size=50%").expect("valid").kind else {
            panic!("a tmpfs");
        };
        assert_eq!(half.more, ["size=50%"]);
        for (text, part) in [
            ("/run:size=x", "`x` is not a size"),
            ("/run:size=x%", "`x%` is not a size"),
            ("/run:uid=ann", "`uid=ann`"),
            ("/run:colour=red", "`colour=red`"),
            ("/run:exec=1", "`exec=1`"),
        ] {
            assert!(tmpfs(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn hosts_have_addresses() {
        for (text, address) in [
            ("db:10.0.0.1", Some("10.0.0.1")),
            ("db=::1", Some("::1")),
            ("db:[::1]", Some("::1")),
            ("db=host-gateway", None),
        ] {
            let host = extra_host(text).expect("valid");
            let told = host.address.map(|address| address.to_string());
            assert_eq!((host.name.as_str(), told.as_deref()), ("db", address));
        }
        assert!(extra_host("db").is_err() && extra_host("db:x").is_err());
    }
}
