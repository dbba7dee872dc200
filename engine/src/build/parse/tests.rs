use proptest::prelude::*;

use super::*;

fn kinds(text: &str) -> Vec<Kind> {
    parse("Dockerfile", text.as_bytes())
        .unwrap()
        .instructions
        .into_iter()
        .map(|i| i.kind)
        .collect()
}

fn message(text: &str) -> String {
    parse("Dockerfile", text.as_bytes()).unwrap_err().render()
}

#[test]
fn continuations_join_without_a_separator() {
    let found = kinds("FROM a\nRUN one \\  \n # gone\n\n two \\\n");
    let Kind::Run(_, command) = &found[1] else {
        panic!("not RUN")
    };
    assert_eq!(command.words, ["one  two"]);
}

#[test]
fn the_escape_directive_changes_the_character() {
    let found = kinds("# escape=`\nFROM a\nRUN a \\`\n b \\\n");
    let Kind::Run(_, command) = &found[1] else {
        panic!("not RUN")
    };
    assert_eq!(command.words, ["a \\ b \\"]);
}

#[test]
fn heredocs_are_read() {
    let found = kinds("FROM a\nCOPY x <<-\"EF\" <<G /d/\n\tone\n\tEF\ntwo\nG\nRUN true\n");
    let Kind::Copy(_, words) = &found[1] else {
        panic!("not COPY")
    };
    assert_eq!(words.sources, ["x"]);
    assert!(
        words
            .files
            .iter()
            .any(|file| file.name == "G" && file.content == "two\n" && file.expand)
    );
    assert_eq!(found.len(), 3);
}

#[test]
fn json_forms() {
    let found = kinds("FROM a\nCMD [\"a\", \"\\u0041\"]\nCMD ['a']\nCMD [\"a\"] x\n");
    let words: Vec<_> = found[1..]
        .iter()
        .map(|kind| match kind {
            Kind::Cmd(command) => (command.words.clone(), command.shell),
            _ => panic!("not CMD"),
        })
        .collect();
    assert_eq!(words[0], (vec!["a".to_owned(), "A".to_owned()], false));
    assert_eq!(words[1], (vec!["['a']".to_owned()], true));
    assert_eq!(words[2], (vec!["[\"a\"] x".to_owned()], true));
}

#[test]
fn messages_have_place_and_remedy() {
    assert_eq!(
        message("FROM a\n  RUNN x\n"),
        "error: unknown instruction `RUNN`\n --> Dockerfile:2:3\n2 |   RUNN x\n  |   ^^^^\n  = help: did you mean `RUN`?\n"
    );
    assert!(message("FROM a\nCOPY --chmd=1 a b").contains("did you mean `--chmod`?"));
}

#[test]
fn wrong_files_are_refused() {
    for text in [
        "",
        "# only\n",
        "FROM a b",
        "FROM a AS 1x",
        "FROM a\nENV A",
        "FROM a\nENV =x",
        "FROM a\nENV a=1 b",
        "FROM a\nCMD [1]",
        "FROM a\nRUN <<E\nx\n",
        "FROM a\nCOPY a <<E\nx\nE\n",
        "FROM a\nCOPY --link=maybe a b",
        "FROM a\nCOPY --chown=1 --chown=2 a b",
        "FROM a\nHEALTHCHECK --retries=-1 CMD x",
        "FROM a\nHEALTHCHECK CMD",
        "FROM a\nRUN --mount='type=bind,\"target=/x' true",
        "FROM a\nRUN --mount=from=$x,target=/x true",
        "FROM a\n\\\n",
        "FROM a\nUſER x",
        "FROM a\nONBUILD ENV A",
        "FROM a\nONBUILD LABEL a=1 b",
        "FROM a\nONBUILD --foo RUN x",
        "FROM a\nONBUILD CMD [1]",
        "FROM a\nONBUILD HEALTHCHECK CMD [1]",
        "FROM a\nCOPY [\"a\", \"<<E\"]",
        "FROM a\nEXPOSE --foo 80",
        "FROM a\nHEALTHCHECK --intervall=1s CMD x",
        "# escape=x\nFROM a",
        "# escape=`\n# escape=`\nFROM a",
        "FROM a\nONBUILD ONBUILD RUN x",
        "FROM a\nCOPY --from=$x a b",
        "FROM a\nCOPY --from='${a:-b}' a b",
    ] {
        assert!(parse("Dockerfile", text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn what_nobody_looks_at_is_right() {
    for text in [
        // Flags of these are never read.
        "FROM a\nHEALTHCHECK --interval=1s NONE",
        "FROM a\nHEALTHCHECK --foo NONE",
        "FROM a\nARG --foo A=1",
        "FROM a\nSTOPSIGNAL --foo SIGTERM",
        "FROM --platform= a",
        "FROM a\nUSER \"\"",
        "FROM a\nCOPY --from=a$ a b",
        "FROM a\nRUN --mount=from=a$,target=/x true",
        // Mounts are read where they are reached.
        "FROM a\nRUN --mount=type=nothing true",
        "FROM a\nRUN --mount=type=bind,target=/x,foo true",
        // So are triggers, but for how they split into words.
        "FROM a\nONBUILD COPY a",
        "FROM a\nONBUILD FOO x",
        "FROM a\nONBUILD ENV",
    ] {
        assert!(parse("Dockerfile", text.as_bytes()).is_ok(), "{text}");
    }
    let Kind::From(from) = &kinds("FROM --platform= a")[0] else {
        panic!("not FROM")
    };
    assert_eq!(from.platform, None);
}

#[test]
fn triggers_are_stored_as_they_are_written() {
    let stored = |text: &str| match &kinds(text)[1] {
        Kind::Onbuild(text) => text.clone(),
        _ => panic!("not ONBUILD"),
    };
    assert_eq!(
        stored("FROM a\n onbuild  RUN --network=none  x \\\n  y  \n"),
        "RUN --network=none  x   y  "
    );
    assert_eq!(stored("FROM a\nONBUILD RUN <<E\nx\nE\n"), "RUN <<E\nx\nE");
}

#[test]
fn a_trigger_is_one_instruction() {
    let count = |text: &str| parse_trigger(text, "t").map(|found| found.len());
    assert_eq!(count("RUN <<E\nx\nE").ok(), Some(1));
    for wrong in ["", "# x", "RUN a\nRUN b"] {
        assert!(count(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn exposed_ports_are_sorted_as_they_are_written() {
    let Kind::Expose(words) = &kinds("FROM a\nEXPOSE 80 443/tcp $B 9 $A")[1] else {
        panic!("not EXPOSE")
    };
    assert_eq!(words, &["$A", "$B", "443/tcp", "80", "9"]);
}

#[test]
fn a_heredoc_word_in_json_is_an_empty_file() {
    let Kind::Copy(_, words) = &kinds("FROM a\nCOPY [\"<<E\", \"x\", \"/d/\"]")[1] else {
        panic!("not COPY")
    };
    assert_eq!((words.sources.len(), words.files.len()), (1, 1));
    assert_eq!(
        (
            words.files[0].name.as_str(),
            words.files[0].content.as_str()
        ),
        ("E", "")
    );
}

#[test]
fn directives() {
    let escape = |text: &str| {
        let file = parse("Dockerfile", text.as_bytes()).unwrap();
        file.directives.escape
    };
    for text in [
        "# escape=`\nFROM a",
        "  #Escape = `  \nFROM a",
        "#syntax=x y\n# check=skip=all\n#escape=`\nFROM a",
    ] {
        assert_eq!(escape(text), '`', "{text}");
    }
    for text in [
        "#!/x\n# escape=`\nFROM a",
        "# what=1\n# escape=`\nFROM a",
        "\n# escape=`\nFROM a",
    ] {
        assert_eq!(escape(text), '\\', "{text}");
    }
    // Whether the file's `check` skips everything; `None` when it is wrong.
    let skips = |text: &str| {
        let file = parse("Dockerfile", format!("{text}\nFROM a").as_bytes()).unwrap();
        let config = file.directives.check.ok()?;
        Some(!config.reports("FromAsCasing", false))
    };
    for (text, expected) in [
        ("# check=skip=all", Some(true)),
        ("#!/x\n# check=skip=all", Some(true)),
        ("# syntax=a\n#check = skip=all # why", Some(true)),
        ("# check=skip=A,FromAsCasing;error=true", Some(true)),
        // A second semicolon ends nothing.
        ("# check=error=true;experimental=A;skip=all;x", Some(false)),
        // Only the first word is read.
        ("# check=skip=all; error=true", None),
        ("# check=skip= FromAsCasing , B", Some(false)),
        // Blanks before `#` make it a comment, for this one.
        (" # check=skip=all", Some(false)),
        ("# nothing\n# check=skip=all", Some(false)),
        ("# check=skip", None),
    ] {
        assert_eq!(skips(text), expected, "{text}");
    }
}

#[test]
fn comments_lose_their_first_character() {
    let file = parse(
        "Dockerfile",
        b"#!/x\n# check=a\n  # b\nFROM a\n#\n #\nRUN x\n",
    )
    .unwrap();
    let comments = |index: usize| file.instructions[index].comments.clone();
    assert_eq!(comments(0), ["!/x", "check=a", "# b"]);
    assert_eq!(comments(1), ["#"]);
}

#[test]
fn mounts() {
    let read = |text: &str| mount::Mount::parse(text, &mut |value| Ok(value.to_owned()));
    for text in [
        "type=secret,id=s,ro",
        "type=secret,id=s,readonly=false",
        "type=ssh,rw",
        "type=tmpfs,target=/x,ro",
        "type=tmpfs,target=/x,from=a,size=1p",
        "type=cache,target=/x,env=X",
        "type=cache,target=/x,source=/",
        "type=cache,target=/x,source=d,from=a",
        "type=cache",
        "target=",
        "type=secret,id=s,required",
        "type=ssh,from=a",
        "type=cache,target=/x,mode=10755",
    ] {
        assert!(read(text).is_ok(), "{text}: {:?}", read(text));
    }
    for text in [
        "type=secret,id=s,source=s",
        "type=secret,env=S",
        "type=secret,id=s,env=",
        "type=secret,id=s,from=a",
        "type=secret",
        "type=ssh,source=s",
        "type=cache,target=/x,source=d",
        "type=tmpfs,target=/x,source=d,from=a",
        "type=tmpfs,target=/x,uid=1",
        "target=/x,mode=755",
        "target=/x,sharing=locked",
        "target=/x,required",
        // The type that stands before it counts.
        "required,type=secret,id=s",
        "size=1m,type=tmpfs,target=/x",
        "type=cache,target=/x,uid=+1",
        "type=cache,target=/x,mode=8",
        "type=cache,target=/x,ro=TrUe",
        "target=/",
        "target=/x,foo",
        "target=/x,foo=1",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    let id = |text: &str| read(text).unwrap().id.unwrap_or_default();
    assert_eq!(id("type=secret,target=/a/b/"), "b");
    assert_eq!(id("type=secret,source=a/b"), "a/b");
    assert_eq!(id("type=ssh,id="), "");
    assert!(!read("type=secret,id=s,ro").unwrap().read_only);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse("Dockerfile", &bytes);
    }

    #[test]
    fn almost_dockerfiles_never_panic(
        text in "(#( |escape=`|check=)\n)?((FROM|RUN|COPY|ENV|ARG|HEALTHCHECK|ONBUILD|LABEL|VOLUME) [-a-z=\"'\\[\\]<,$ {}\\\\\n]{0,30}\n){0,6}"
    ) {
        let _ = parse("Dockerfile", text.as_bytes());
    }
}
