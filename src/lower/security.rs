//! Privileges and their limits.

use gantry_engine::spec::{ContainerSpec, SeccompSpec, SecuritySpec};

use super::{Context, Findings};

pub(super) fn apply(context: &Context<'_>, spec: &mut ContainerSpec, findings: &mut Findings) {
    let service = context.service;
    spec.security = SecuritySpec {
        privileged: service.privileged,
        cap_add: service.cap_add.clone(),
        cap_drop: service.cap_drop.clone(),
        read_only_rootfs: service.read_only,
        ..SecuritySpec::default()
    };
    for (index, option) in service.security_opt.iter().enumerate() {
        if !security_option(option, &mut spec.security, &context.project.working_dir) {
            findings.refuse(
                context.path(&format!("security_opt[{index}]")),
                format!("`{option}` is not a known security option"),
                "`no-new-privileges`, `seccomp=`, `apparmor=`, `label=` and `systempaths=unconfined` are",
            );
        }
    }
}

/// Applies one option in Docker's syntax (`no-new-privileges`, `seccomp=FILE`, …); false when there is
/// no such option. Relative profile paths lie below `directory`.
pub fn security_option(
    option: &str,
    security: &mut SecuritySpec,
    directory: &std::path::Path,
) -> bool {
    let separator = option.find(['=', ':']);
    let (key, value) = match separator {
        Some(at) => (&option[..at], &option[at + 1..]),
        None => (option, ""),
    };
    match (key, value) {
        ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
        ("no-new-privileges", "false") => security.no_new_privileges = false,
        ("seccomp", "unconfined") => security.seccomp = SeccompSpec::Unconfined,
        ("seccomp", "builtin") => security.seccomp = SeccompSpec::Default,
        ("seccomp", path) if !path.is_empty() => {
            security.seccomp = SeccompSpec::File(directory.join(path));
        }
        ("apparmor", profile) if !profile.is_empty() => {
            security.apparmor = Some(profile.to_owned());
        }
        ("label", label) if !label.is_empty() => security.labels.push(label.to_owned()),
        ("systempaths", "unconfined") => security.unmasked = true,
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_separators_and_no_other_words() {
        let mut security = SecuritySpec::default();
        let here = std::path::Path::new("/p");
        for option in [
            "no-new-privileges:true",
            "seccomp=unconfined",
            "apparmor:unconfined",
            "label=disable",
            "systempaths=unconfined",
        ] {
            assert!(security_option(option, &mut security, here), "{option}");
        }
        assert!(security.no_new_privileges && security.unmasked);
        assert!(security_option("seccomp:deny.json", &mut security, here));
        assert_eq!(security.seccomp, SeccompSpec::File("/p/deny.json".into()));
        assert!(!security_option("everything=off", &mut security, here));
    }
}
