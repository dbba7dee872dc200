use super::*;
use proptest::prelude::*;

fn env(name: &str) -> Option<String> {
    let value = match name {
        "A" => "1",
        "EMPTY" => "",
        "S" => "foobarbaz",
        "P" => "/usr/local/lib/x.tar.gz",
        "BLANK" => "a b",
        "G" => "a*b*c?d",
        _ => return None,
    };
    Some(value.to_owned())
}

fn word(text: &str) -> Result<String, String> {
    Expander {
        escape: '\\',
        lookup: &env,
        keep_quotes: false,
    }
    .word(text)
}

#[test]
fn values() {
    for (text, expected) in [
        ("$A", "1"),
        ("${A}x", "1x"),
        ("$", "$"),
        ("a$", "a$"),
        ("$9$#$@", ""),
        ("\\$A", "$A"),
        ("'$A'", "$A"),
        ("\"$A\"", "1"),
        ("\"\\$A \\n\"", "$A \\n"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${NO:+x}${A:+<$A>}", "<1>"),
        ("${S#f*b}", "arbaz"),
        ("${S##f*b}", "az"),
        ("${S%b*}", "foobar"),
        ("${S%%b*}", "foo"),
        ("${P##*/}", "x.tar.gz"),
        ("${P%.*}", "/usr/local/lib/x.tar"),
        ("${G#a\\*}", "b*c?d"),
        ("${S/ba/fo}", "fooforbaz"),
        ("${S//b?/X}", "fooXrXz"),
        ("${P//\\//-}", "-usr-local-lib-x.tar.gz"),
        ("${S/none/x}", "foobarbaz"),
        ("${NO:-${NO2:-deep}}", "deep"),
    ] {
        assert_eq!(word(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn errors() {
    for text in [
        "${}",
        "${:x}",
        "${A",
        "${A^^}",
        "'x",
        "\"x",
        "${NO?}",
        "${EMPTY:?must}",
        "${A:=x}",
        "${S:#f}",
    ] {
        assert!(word(text).is_err(), "{text}");
    }
}

#[test]
fn blanks_of_variables_separate_words() {
    let expander = Expander {
        escape: '\\',
        lookup: &env,
        keep_quotes: false,
    };
    assert_eq!(
        expander.words("x $BLANK 'c d'").unwrap(),
        ["x", "a", "b", "c d"]
    );
}

#[test]
fn a_modifier_drops_the_word_before_it() {
    let expander = Expander {
        escape: '\\',
        lookup: &env,
        keep_quotes: false,
    };
    for (text, expected) in [
        ("70-7${NO:-2}", "2"),
        ("7${A}-8", "71-8"),
        ("7\"${NO:-2}\"1", "21"),
        ("7${S##f*b}1", "az1"),
    ] {
        assert_eq!(expander.words(text).unwrap(), [expected], "{text}");
        assert!(expander.word(text).unwrap().starts_with('7'), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_expanded_or_refused(text in "[$a-zA-Z{}:+?#%/*'\"\\\\ -]{0,60}") {
        let _ = word(&text);
    }

    #[test]
    fn arbitrary_unicode_never_panics(text in ".{0,60}") {
        let _ = word(&text);
    }
}
