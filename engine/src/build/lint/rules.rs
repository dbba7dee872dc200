//! The rules, as Docker documents them: a table.

/// A lint rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in `# check=skip=…` and in messages.
    pub name: &'static str,
    /// Reported only when asked for by `# check=experimental=…`.
    pub experimental: bool,
    /// The last part of its page's address; one rule has no page.
    page: &'static str,
}

impl Rule {
    const fn new(name: &'static str, page: &'static str) -> Self {
        Self {
            name,
            experimental: false,
            page,
        }
    }

    /// Where Docker explains it.
    pub fn url(&self) -> Option<String> {
        (!self.page.is_empty())
            .then(|| format!("https://docs.docker.com/go/dockerfile/rule/{}/", self.page))
    }
}

pub(super) const STAGE_NAME_CASING: Rule = Rule::new("StageNameCasing", "stage-name-casing");
pub(super) const FROM_AS_CASING: Rule = Rule::new("FromAsCasing", "from-as-casing");
pub(super) const NO_EMPTY_CONTINUATION: Rule =
    Rule::new("NoEmptyContinuation", "no-empty-continuation");
pub(super) const CONSISTENT_INSTRUCTION_CASING: Rule = Rule::new(
    "ConsistentInstructionCasing",
    "consistent-instruction-casing",
);
pub(super) const DUPLICATE_STAGE_NAME: Rule =
    Rule::new("DuplicateStageName", "duplicate-stage-name");
pub(super) const RESERVED_STAGE_NAME: Rule = Rule::new("ReservedStageName", "reserved-stage-name");
pub(super) const JSON_ARGS_RECOMMENDED: Rule =
    Rule::new("JSONArgsRecommended", "json-args-recommended");
pub(super) const MAINTAINER_DEPRECATED: Rule =
    Rule::new("MaintainerDeprecated", "maintainer-deprecated");
pub(super) const UNDEFINED_ARG_IN_FROM: Rule =
    Rule::new("UndefinedArgInFrom", "undefined-arg-in-from");
pub(super) const WORKDIR_RELATIVE_PATH: Rule =
    Rule::new("WorkdirRelativePath", "workdir-relative-path");
pub(super) const UNDEFINED_VAR: Rule = Rule::new("UndefinedVar", "undefined-var");
pub(super) const MULTIPLE_INSTRUCTIONS_DISALLOWED: Rule = Rule::new(
    "MultipleInstructionsDisallowed",
    "multiple-instructions-disallowed",
);
pub(super) const LEGACY_KEY_VALUE_FORMAT: Rule =
    Rule::new("LegacyKeyValueFormat", "legacy-key-value-format");
pub(super) const INVALID_BASE_IMAGE_PLATFORM: Rule = Rule::new("InvalidBaseImagePlatform", "");
pub(super) const REDUNDANT_TARGET_PLATFORM: Rule =
    Rule::new("RedundantTargetPlatform", "redundant-target-platform");
pub(super) const SECRETS_USED_IN_ARG_OR_ENV: Rule =
    Rule::new("SecretsUsedInArgOrEnv", "secrets-used-in-arg-or-env");
pub(super) const INVALID_DEFAULT_ARG_IN_FROM: Rule =
    Rule::new("InvalidDefaultArgInFrom", "invalid-default-arg-in-from");
pub(super) const FROM_PLATFORM_FLAG_CONST_DISALLOWED: Rule = Rule::new(
    "FromPlatformFlagConstDisallowed",
    "from-platform-flag-const-disallowed",
);
pub(super) const COPY_IGNORED_FILE: Rule = Rule::new("CopyIgnoredFile", "copy-ignored-file");
pub(super) const INVALID_DEFINITION_DESCRIPTION: Rule = Rule {
    name: "InvalidDefinitionDescription",
    experimental: true,
    page: "invalid-definition-description",
};
pub(super) const EXPOSE_PROTO_CASING: Rule = Rule::new("ExposeProtoCasing", "expose-proto-casing");
pub(super) const EXPOSE_INVALID_FORMAT: Rule =
    Rule::new("ExposeInvalidFormat", "expose-invalid-format");
