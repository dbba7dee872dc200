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
        "FROM a\nRUN --mount=type=tmpfs true",
        "FROM a\nRUN --mount=type=bind,target=/x,foo true",
        "# escape=x\nFROM a",
        "# escape=`\n# escape=`\nFROM a",
        "FROM a\nONBUILD ONBUILD RUN x",
        "FROM a\nCOPY --from=$x a b",
    ] {
        assert!(parse("Dockerfile", text.as_bytes()).is_err(), "{text}");
    }
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
