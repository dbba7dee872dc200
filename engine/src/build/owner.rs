//! `--chown` and the owner of `WORKDIR`: names looked up in the files of the root they are for.

use super::tree::Tree;

/// Reads `user[:group]`. A user without a group takes the group of passwd, a number is its own group, but `number:`
/// has group 0.
pub(super) fn resolve(tree: &Tree, text: &str) -> Result<(u32, u32), String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let read = |path: &str| -> Result<String, String> {
        let bytes = tree
            .read(path)
            .map_err(|error| format!("cannot read `{path}`: {error}"))?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    let (uid, default_gid) = match (user, user.parse::<u32>()) {
        ("", _) => (0, 0),
        // A lone number is user and group, whatever passwd says.
        (_, Ok(number)) => (number, number),
        (name, Err(_)) => {
            let passwd = read("etc/passwd")?;
            let entry = entry(&passwd, name, 7).ok_or_else(|| {
                format!("unknown user `{name}`: no entry in the image's /etc/passwd")
            })?;
            match (entry[2].parse(), entry[3].parse()) {
                (Ok(uid), Ok(gid)) => (uid, gid),
                _ => {
                    return Err(format!(
                        "the entry of user `{name}` in /etc/passwd is damaged"
                    ));
                }
            }
        }
    };
    let gid = match group {
        Some("") if user.parse::<u32>().is_ok() => 0,
        None | Some("") => default_gid,
        Some(group) => match group.parse() {
            Ok(number) => number,
            Err(_) => {
                let groups = read("etc/group")?;
                let entry = entry(&groups, group, 3).ok_or_else(|| {
                    format!("unknown group `{group}`: no entry in the image's /etc/group")
                })?;
                entry[2]
                    .parse()
                    .map_err(|_| format!("the entry of group `{group}` in /etc/group is damaged"))?
            }
        },
    };
    Ok((uid, gid))
}

fn entry<'a>(file: &'a str, name: &str, fields: usize) -> Option<Vec<&'a str>> {
    file.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|entry| entry.len() >= fields.clamp(3, 4) && entry[0] == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::tree::View;

    #[test]
    fn forms() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(
            dir.path().join("etc/passwd"),
            "app:x:1000:1001:a:/:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("etc/group"), "staff:x:50:\n").unwrap();
        let tree = Tree::open(dir.path(), View::Image).unwrap();
        for (text, expected) in [
            ("app", (1000, 1001)),
            ("app:staff", (1000, 50)),
            ("55", (55, 55)),
            ("55:66", (55, 66)),
            ("55:staff", (55, 50)),
            (":staff", (0, 50)),
        ] {
            assert_eq!(resolve(&tree, text), Ok(expected), "{text}");
        }
        assert!(resolve(&tree, "nobody").is_err());
        assert!(resolve(&tree, "app:none").is_err());
    }
}
