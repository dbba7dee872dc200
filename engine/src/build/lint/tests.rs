//! Small files and the warnings they get: `line rule: message`.

use super::*;
use crate::build::parse::parse;
use crate::build::platform;
use crate::build::recipe::{bases, globals};

/// What surrounds a file.
#[derive(Default)]
struct Around {
    ignore: &'static str,
    args: &'static [(&'static str, &'static str)],
    config: &'static str,
}

fn check_with(text: &str, around: &Around) -> Vec<String> {
    let found = look(text, around);
    assert_eq!(found.error.map(|error| error.render()), None, "{text}");
    shown(&found.warnings)
}

fn look(text: &str, around: &Around) -> Found {
    let file = parse("Dockerfile", text.as_bytes()).unwrap();
    let stages = Stages::new(&file).unwrap();
    let host = Platform {
        os: "linux".into(),
        arch: "amd64".into(),
        variant: String::new(),
    };
    let request = BuildRequest {
        args: around
            .args
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..BuildRequest::default()
    };
    let automatic = platform::platform_args(&host, &host, "");
    let ours = globals(&file, &stages, &request.args, automatic.clone()).unwrap();
    let defaults = globals(&file, &stages, &IndexMap::new(), automatic).ok();
    let (bases, _) = bases(&file, &stages, &request, &ours, (&host, &host)).unwrap();
    let walked: Vec<usize> = (0..stages.list.len()).collect();
    let subject = Subject {
        file: &file,
        stages: &stages,
        bases: &bases,
        walked: &walked,
        request: &request,
        globals: &ours,
        defaults: defaults.as_ref(),
        host: &host,
        platform: &host,
        ignore: &Patterns::parse(around.ignore.as_bytes()).unwrap(),
        image: &|name| {
            let mut config = ImageConfig {
                os: "linux".into(),
                architecture: if name == "arm" { "arm64" } else { "amd64" }.into(),
                ..ImageConfig::default()
            };
            config.config.env = vec!["PATH=/bin".into(), "LANG=C".into()];
            (name != "absent").then_some(config)
        },
    };
    let config = match around.config {
        "" => file.directives.check.clone().unwrap(),
        text => CheckConfig::parse(text).unwrap(),
    };
    check(&subject, &config)
}

fn shown(warnings: &[Diagnostic]) -> Vec<String> {
    warnings
        .iter()
        .map(|diagnostic| {
            let Severity::Warning(Some(rule)) = diagnostic.severity else {
                panic!("no rule")
            };
            format!(
                "{} {}: {}",
                diagnostic.span.line, rule.name, diagnostic.message
            )
        })
        .collect()
}

#[track_caller]
fn check_file(text: &str, expected: &[&str]) {
    assert_eq!(check_with(text, &Around::default()), expected, "{text}");
}

#[test]
fn casing_and_names() {
    check_file(
        "FROM scratch as Base\nCOPY a /\nFrom scratch AS base\nfrom scratch AS context\n",
        &[
            "1 StageNameCasing: Stage name 'Base' should be lowercase",
            "1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match",
            "3 DuplicateStageName: Duplicate stage name \"base\", stage names should be unique",
            "3 ConsistentInstructionCasing: Command 'From' should match the case of the command majority (uppercase)",
            "4 FromAsCasing: 'AS' and 'from' keywords' casing do not match",
            "4 ReservedStageName: Stage name should not use the same name as reserved stage \"context\"",
            "4 ConsistentInstructionCasing: Command 'from' should match the case of the command majority (uppercase)",
        ],
    );
    check_file("arg A=1\nFROM scratch\nCOPY a /\n", &[]);
}

#[test]
fn the_parser_s_own() {
    check_file(
        "FROM scratch\nMAINTAINER me\nCOPY a \\\n\n  /b\nCMD one\nCMD [\"two\"]\nENV A b\n",
        &[
            "2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label",
            "5 NoEmptyContinuation: Empty continuation line",
            "6 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
            "6 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used",
            "8 LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
        ],
    );
    check_file("FROM scratch\nSHELL [\"/bin/bash\"]\nCMD one\n", &[]);
}

#[test]
fn variables_are_declared_before_they_are_used() {
    check_file(
        "FROM scratch\nARG foo\nCOPY Dockerfile${foo} $LANG /\nENV PATH=$PAHT:/x A=${B:-c}\nEXPOSE $C\nRUN echo $D\n",
        &[
            "3 UndefinedVar: Usage of undefined variable '$LANG'",
            "4 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)",
            "4 UndefinedVar: Usage of undefined variable '$B'",
        ],
    );
    // Those of the base image count, those of an absent one may.
    check_file("FROM image AS a\nCOPY $LANG /\nFROM a\nCOPY $LANG /\n", &[]);
    check_file("FROM absent\nCOPY $ANY /\n", &[]);
    check_file(
        "FROM scratch\nCOPY <<A <<'B' /\n$X \"$X\nA\n$Y\nB\n",
        &["2 UndefinedVar: Usage of undefined variable '$X'"],
    );
    check_file(
        "FROM scratch\nRUN --mount=type=cache,target=/t$T true\n",
        &["2 UndefinedVar: Usage of undefined variable '$T'"],
    );
}

#[test]
fn from_lines() {
    check_wrong(
        "ARG base\nFROM image:${TAG:-x}\nFROM ${base:-image}\nFROM $bse$base:1\n",
        &Around::default(),
        &[
            "2 UndefinedArgInFrom: FROM argument 'TAG' is not declared",
            "4 InvalidDefaultArgInFrom: Default value for ARG $bse$base:1 results in empty or invalid base image name",
            "4 UndefinedArgInFrom: FROM argument 'bse' is not declared (did you mean base?)",
        ],
        Some((4, "invalid image name `:1`")),
    );
    check_file(
        "FROM --platform=$TARGETPLATFORM image\nFROM --platform=linux/amd64 image\nFROM --platform=linux/amd64 image AS amd64\nFROM --platform=${BUILDPLATFORM} image\nFROM arm\n",
        &[
            "1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
            "2 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/amd64\"",
            "5 InvalidBaseImagePlatform: Base image arm was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build",
        ],
    );
    let around = Around {
        args: &[("v", "1")],
        ..Around::default()
    };
    assert_eq!(
        check_with("ARG v\nFROM image:$v\n", &around),
        [
            "2 InvalidDefaultArgInFrom: Default value for ARG image:$v results in empty or invalid base image name"
        ]
    );
}

#[test]
fn secrets_paths_and_ports() {
    check_file(
        "FROM scratch\nARG api_key AUTH_FILE\nENV PUBLIC_KEY=1 git_token=2 TOKENS=3\nWORKDIR a\nWORKDIR b\n",
        &[
            "2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"api_key\")",
            "3 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"git_token\")",
            "4 WorkdirRelativePath: Relative workdir \"a\" can have unexpected results if the base image changes",
        ],
    );
    check_file(
        "FROM scratch\nENV P=90/UDP\nEXPOSE $P 80/tcp 127.0.0.1:81:81 82:82 :83\n",
        &[
            "3 ExposeProtoCasing: Defined protocol '90/UDP' in EXPOSE instruction should be lowercase",
            "3 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:81:81'",
            "3 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '82:82'",
        ],
    );
}

#[test]
fn ignored_sources() {
    let text = "FROM scratch AS a\nCOPY ./Dockerfile .\nADD Dockerfile https://h/Dockerfile /x/\nCOPY --from=a Dockerfile /\nCOPY . .\n";
    let with = |ignore| {
        let around = Around {
            ignore,
            ..Around::default()
        };
        check_with(text, &around)
    };
    let both = [
        "2 CopyIgnoredFile: Attempting to Copy file \"Dockerfile\" that is excluded by .dockerignore",
        "3 CopyIgnoredFile: Attempting to Add file \"Dockerfile\" that is excluded by .dockerignore",
    ];
    assert_eq!(with("Dockerfile\n"), both);
    assert_eq!(with("**\n!Dockerfile\n"), [""; 0]);
    assert_eq!(with(".*\n"), [""; 0]);
    let all = with("*\n");
    assert_eq!(all[..2], both);
    assert_eq!(
        all[2..],
        ["5 CopyIgnoredFile: Attempting to Copy file \".\" that is excluded by .dockerignore"]
    );
}

#[test]
fn directives() {
    check_file("# check=skip=all\nFROM scratch as a\n", &[]);
    check_file(
        "# check=skip=FromAsCasing,JSONArgsRecommended\nFROM scratch as a\nCMD a\n",
        &[],
    );
    // Only the first word is read.
    check_file(
        "# check=skip=FromAsCasing, JSONArgsRecommended\nFROM scratch as a\nCMD a\n",
        &[
            "3 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
        ],
    );
    // Names are exact, as the reference's.
    check_file(
        "# check=skip=fromascasing\nFROM scratch as a\n",
        &["2 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"],
    );
    // Above an instruction, for that instruction.
    check_file(
        "FROM scratch\n# check=skip=UndefinedVar because\nCOPY $x /\nCOPY $x /\n",
        &["4 UndefinedVar: Usage of undefined variable '$x'"],
    );
    let around = Around {
        config: "skip=StageNameCasing;error=true",
        ..Around::default()
    };
    assert_eq!(
        check_with("# check=skip=all\nFROM scratch as A\n", &around),
        ["2 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"]
    );
    assert!(CheckConfig::parse("error=true").unwrap().error);
    for bad in ["skip", "what=1", "error=maybe"] {
        assert!(CheckConfig::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn descriptions_are_checked_when_asked_for() {
    let text = "# bar this is the bar\nARG foo=bar\n# base is the base\nFROM scratch AS base\n# some comment\nARG a b\n# other\n#\nARG c\n";
    check_file(text, &[]);
    check_file(
        &format!("# check=experimental=InvalidDefinitionDescription\n{text}"),
        &[
            "3 InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo <description>`",
            "7 InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`",
        ],
    );
}

/// The warnings, and the line and message of the error.
#[track_caller]
fn check_wrong(text: &str, around: &Around, warnings: &[&str], expected: Option<(usize, &str)>) {
    let found = look(text, around);
    assert_eq!(shown(&found.warnings), warnings, "{text}");
    let error = found.error.map(|error| (error.span.line, error.message));
    let error = error.as_ref().map(|(line, text)| (*line, text.as_str()));
    match (error, expected) {
        (None, None) => {}
        (Some((line, message)), Some((wanted, part)))
            if line == wanted && message.contains(part) => {}
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn what_no_build_can_do_is_an_error() {
    let around = Around::default();
    for (instruction, part) in [
        ("ENV A=${B:?gone}", "B: gone"),
        ("ENV A=${a", "missing `}`"),
        ("ENV A=${p/b}", "missing"),
        ("ENV A=${a^}", "unsupported modifier"),
        ("ENV A=\"b", "double-quote"),
        ("ENV A='b", "single-quote"),
        ("ENV A=${LANG#\\.}", "invalid escape"),
        ("ENV ${a=1", "missing `}`"),
        ("LABEL a=${b", "missing `}`"),
        ("ARG \"A=a b\"", "double-quote"),
        ("ARG A=${b", "missing `}`"),
        ("USER ${b", "missing `}`"),
        ("WORKDIR ${b", "missing `}`"),
        ("VOLUME ${b", "missing `}`"),
        ("VOLUME \"\"", "empty string"),
        ("VOLUME $NONE", "empty string"),
        ("STOPSIGNAL SIGFOO", "invalid signal"),
        ("STOPSIGNAL $NONE", "invalid signal"),
        ("EXPOSE abc", "invalid container port"),
        ("EXPOSE 8003-8000", "backwards"),
        ("EXPOSE 80/foo", "invalid protocol"),
        ("EXPOSE ${b", "missing `}`"),
        ("COPY ${b /", "missing `}`"),
        ("COPY a ${b", "missing `}`"),
        ("COPY --chown=${b a /", "missing `}`"),
        ("COPY --chmod=rwx a /", "--chmod"),
        ("COPY http://h/a /", "COPY cannot take a URL"),
        ("COPY <<E /\n${:}\nE", "bad substitution"),
        ("ADD --checksum=sha256:x a /", "--checksum"),
        ("ADD --checksum=${b http://h/a /", "missing `}`"),
        ("RUN --mount=type=nothing true", "unsupported mount type"),
        ("RUN --mount=target=${b true", "missing `}`"),
        ("RUN --mount=type=cache,target=/ true", "cannot be `/`"),
        ("RUN --mount=type=cache true", "cannot be `/`"),
        ("RUN --mount=target=/x,foo true", "foo"),
    ] {
        let text = format!("FROM image\n{instruction}\nCMD x\n");
        let found = look(&text, &around);
        let error = found.error.unwrap_or_else(|| panic!("{text}"));
        assert_eq!(error.span.line, 2, "{text}");
        assert!(error.message.contains(part), "{text}: {}", error.message);
        // The look ends there.
        let after = |warning: &&Diagnostic| warning.span.line > 2;
        assert_eq!(found.warnings.iter().find(after), None, "{text}");
    }
    for right in [
        "ENV $NONE=1",
        "USER $NONE",
        "EXPOSE $NONE +80",
        "WORKDIR $NONE",
        "WORKDIR /x\nRUN --mount=type=cache true",
        "COPY --chmod= a /",
    ] {
        let found = look(&format!("FROM image\n{right}\n"), &around);
        assert_eq!(found.error, None, "{right}");
    }
}

#[test]
fn warnings_before_an_error_are_kept() {
    check_wrong(
        "FROM image\nWORKDIR a\nENV A=$NONE B=${C:?}\nCMD a\n",
        &Around::default(),
        &[
            "2 WorkdirRelativePath: Relative workdir \"a\" can have unexpected results if the base image changes",
            "3 UndefinedVar: Usage of undefined variable '$NONE'",
            "3 UndefinedVar: Usage of undefined variable '$C'",
        ],
        Some((3, "C: is not allowed to be unset")),
    );
    check_wrong(
        "FROM image as a\nFROM B\nFROM image\nEXPOSE x\n",
        &Around::default(),
        &[
            "1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match",
            "2 InvalidDefaultArgInFrom: Default value for ARG B results in empty or invalid base image name",
        ],
        Some((2, "invalid image name `B`")),
    );
}

#[test]
fn an_error_that_depends_on_an_absent_image_is_none() {
    for text in [
        "FROM absent\nVOLUME $A\n",
        "FROM absent\nENV A=${B:?}\n",
        "FROM absent\nENV A=$B\nVOLUME $A\n",
        "FROM absent\nARG A=$B\nSTOPSIGNAL $A\n",
        "FROM absent AS a\nFROM a\nARG X\nSTOPSIGNAL $X\n",
        "FROM absent\nRUN --mount=type=cache true\n",
    ] {
        check_wrong(text, &Around::default(), &[], None);
    }
    check_wrong(
        "FROM absent\nVOLUME $A\nENV P=x\nEXPOSE $P\n",
        &Around::default(),
        &[],
        Some((4, "invalid container port `x`")),
    );
}

#[test]
fn an_argument_that_is_given_needs_no_right_default() {
    let text = "FROM image\nARG A=${B:?}\nEXPOSE $A\n";
    let given = Around {
        args: &[("A", "80")],
        ..Around::default()
    };
    assert_eq!(check_with(text, &given), [""; 0]);
    assert!(look(text, &Around::default()).error.is_some());
}

#[test]
fn triggers_are_looked_at_where_they_are_done() {
    check_wrong(
        "FROM image AS a\nONBUILD ENV PORT=80\nONBUILD WORKDIR a\nFROM a\nEXPOSE $PORT\nENV A=$PORT B=$NONE\n",
        &Around::default(),
        &[
            "4 WorkdirRelativePath: Relative workdir \"a\" can have unexpected results if the base image changes",
            "6 UndefinedVar: Usage of undefined variable '$NONE'",
        ],
        None,
    );
    check_wrong(
        "FROM image AS a\nONBUILD EXPOSE x\nFROM a AS b\nFROM b\n",
        &Around::default(),
        &[],
        Some((1, "invalid container port `x`")),
    );
}
