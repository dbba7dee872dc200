//! What of the machine's `/etc` the `host` image shows.
//!
//! Copied is what every user of the machine may read, except what tells about the machine, its
//! people or its accounts: keys, tokens, mounts, services, networks, schedules. Accounts are
//! reduced to the system's own, without passwords. Too little is repaired by a bind mount, too
//! much by nothing, so unknown files need the world's read permission on their whole path.

use std::path::Path;

/// Hidden directly below `/etc`, files and folders alike.
const HIDDEN: &[&str] = &[
    // Passwords and what belongs to them.
    "shadow",
    "gshadow",
    "security/opasswd",
    "subuid",
    "subgid",
    "sudoers",
    "sudoers.d",
    "sudo.conf",
    "doas.conf",
    "krb5.keytab",
    "passwd.lock",
    // This machine and its mounts.
    "machine-id",
    "hostname",
    "hosts",
    "resolv.conf",
    "mtab",
    "fstab",
    "crypttab",
    "exports",
    "exports.d",
    "motd",
    "issue",
    "issue.net",
    "hostid",
    "adjtime",
    // Remote access, networks, other engines.
    "ssh",
    "ssl/private",
    "pki/tls/private",
    "wireguard",
    "openvpn",
    "ipsec.d",
    "ipsec.conf",
    "ipsec.secrets",
    "strongswan.d",
    "swanctl",
    "NetworkManager",
    "netplan",
    "network",
    "systemd",
    "wpa_supplicant",
    "ppp",
    "chatscripts",
    "iwd",
    "docker",
    "containers",
    "containerd",
    "kubernetes",
    "rancher",
    "cni",
    "crio",
    "tailscale",
    "zerotier-one",
    "cloudflared",
    "nebula",
    // Tokens in tools' files.
    "gitconfig",
    "npmrc",
    "pip.conf",
    "netrc",
    "wgetrc",
    "curlrc",
    "environment",
    "environment.d",
    "apt/auth.conf",
    "apt/auth.conf.d",
    "yum.repos.d",
    "aws",
    "boto.cfg",
    "cloud",
    "letsencrypt",
    "ansible",
    "puppetlabs",
    "puppet",
    "chef",
    "salt",
    "vault.d",
    "consul.d",
    "nomad.d",
    "grafana",
    "prometheus",
    "rclone.conf",
    "davfs2",
    "samba",
    "cups",
    "exim4",
    "postfix",
    "dovecot",
    "msmtprc",
    "ssmtp",
    "ldap",
    "sssd",
    "nslcd.conf",
    "krb5.conf",
    "krb5.conf.d",
    "bind",
    "iscsi",
    "nut",
    "snmp",
    "fail2ban",
    "ufw",
    "nftables.conf",
    "iptables",
    "mysql/debian.cnf",
    "odbc.ini",
    "profile.d/proxy.sh",
    // Services, schedules and start-up of the machine: nothing in a container runs them.
    "init.d",
    "init",
    "rc.local",
    "rc0.d",
    "rc1.d",
    "rc2.d",
    "rc3.d",
    "rc4.d",
    "rc5.d",
    "rc6.d",
    "rcS.d",
    "cron.d",
    "cron.daily",
    "cron.hourly",
    "cron.monthly",
    "cron.weekly",
    "crontab",
    "anacrontab",
    "at.allow",
    "at.deny",
    "udev",
    "modprobe.d",
    "modules-load.d",
    "initramfs-tools",
    "kernel",
    "grub.d",
    "grub2.cfg",
    "dracut.conf.d",
    "lvm",
    "mdadm",
    "polkit-1",
    "dbus-1",
    "PackageKit",
    "apparmor",
    "apparmor.d",
    "selinux",
    "audit",
    "binfmt.d",
    "tmpfiles.d",
    "sysctl.d",
    "sysctl.conf",
    "logrotate.d",
    "X11",
    "gdm3",
    "lightdm",
    "NetworkManager.conf",
    "pcmcia",
    "default/grub",
    "default/cacerts",
    // Version control over `/etc`.
    ".git",
    ".etckeeper",
    ".hg",
    ".bzr",
    ".pwd.lock",
    ".updated",
];

/// Hidden anywhere, by the end of the name: keys, and what editors and packages leave.
const HIDDEN_ENDINGS: &[&str] = &[
    "~",
    "-",
    ".key",
    ".keytab",
    ".p12",
    ".pfx",
    ".jks",
    ".kdbx",
    ".pgpass",
    "_key",
    "_rsa",
    "_ed25519",
    "_ecdsa",
    "_dsa",
    ".secret",
    ".secrets",
    ".password",
    ".passwd",
    ".token",
    ".bak",
    ".old",
    ".orig",
    ".swp",
    ".dpkg-old",
    ".dpkg-dist",
    ".dpkg-new",
    ".dpkg-tmp",
    ".ucf-old",
    ".ucf-dist",
    ".rpmnew",
    ".rpmsave",
];

/// Whether a path, relative to `/etc`, is hidden whatever its permissions.
pub(super) fn is_hidden(relative: &Path) -> bool {
    if HIDDEN.iter().any(|hidden| relative == Path::new(hidden)) {
        return true;
    }
    let Some(name) = relative.file_name().and_then(|name| name.to_str()) else {
        // Names that are no text are nobody's configuration.
        return true;
    };
    name.contains('\n')
        || HIDDEN_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || [
            "shadow",
            "gshadow",
            "sudoers",
            "ssh_host_",
            "id_rsa",
            ".htpasswd",
            ".netrc",
        ]
        .iter()
        .any(|start| name.starts_with(start))
}

/// Accounts below this are the system's own.
const FIRST_PERSON: u32 = 1000;
/// `nobody`, and the group of the same number.
const NOBODY: u32 = 65534;

fn is_system(id: &str) -> bool {
    id.parse::<u32>()
        .is_ok_and(|id| id < FIRST_PERSON || id == NOBODY)
}

/// `/etc/passwd` with the system's accounts, without passwords.
pub(super) fn passwd(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, gecos, home, shell] = fields[..] else {
            continue;
        };
        if is_system(uid) && !name.is_empty() {
            lines.push_str(&format!("{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}\n"));
        }
    }
    if !lines.lines().any(|line| line.starts_with("root:")) {
        lines.insert_str(0, "root:x:0:0:root:/root:/bin/sh\n");
    }
    lines
}

/// `/etc/group` with the system's groups and, as their members, the system's accounts.
pub(super) fn group(text: &str, passwd: &str) -> String {
    let known: Vec<&str> = passwd
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    let mut lines = String::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = fields[..] else {
            continue;
        };
        if is_system(gid) && !name.is_empty() {
            let members: Vec<&str> = members
                .split(',')
                .filter(|member| known.contains(member))
                .collect();
            lines.push_str(&format!("{name}:x:{gid}:{}\n", members.join(",")));
        }
    }
    if !lines.lines().any(|line| line.starts_with("root:")) {
        lines.insert_str(0, "root:x:0:\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_passwords_are_left_out() {
        let text = "root:$6$hash:0:0:root:/root:/bin/bash\nann:x:1000:1000:Ann:/home/ann:/bin/sh\npostgres:x:105:109::/var/lib/postgresql:/bin/bash\n\
            nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n+::::::\nbroken\n";
        let users = passwd(text);
        assert_eq!(
            users,
            "root:x:0:0:root:/root:/bin/bash\npostgres:x:105:109::/var/lib/postgresql:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        );
        let groups = group(
            "root:x:0:\nsudo:x:27:ann\nssl-cert:x:108:postgres,ann\nann:x:1000:\n",
            &users,
        );
        assert_eq!(groups, "root:x:0:\nsudo:x:27:\nssl-cert:x:108:postgres\n");
    }

    #[test]
    fn a_machine_without_accounts_still_has_root() {
        assert_eq!(passwd(""), "root:x:0:0:root:/root:/bin/sh\n");
        assert_eq!(group("", ""), "root:x:0:\n");
    }

    #[test]
    fn keys_and_the_machines_own_files_are_hidden() {
        for hidden in [
            "shadow",
            "shadow-",
            "gshadow",
            "ssh",
            "ssl/private",
            "sudoers",
            "sudoers.d",
            "machine-id",
            "nginx/tls/site.key",
            "x/ssh_host_rsa_key",
            "passwd-",
            "a/.htpasswd",
            "fstab",
        ] {
            assert!(is_hidden(Path::new(hidden)), "{hidden}");
        }
        for shown in [
            "nginx/nginx.conf",
            "ssl/certs/ca-certificates.crt",
            "ld.so.cache",
            "nsswitch.conf",
            "alternatives/awk",
            "mime.types",
            "apt/sources.list",
        ] {
            assert!(!is_hidden(Path::new(shown)), "{shown}");
        }
    }
}
