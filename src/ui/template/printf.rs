//! Go's `printf`: verbs with flags, width and precision.

use serde_json::Value;

use super::eval::Operand;

/// Wider than any column; keeps what is written small.
const WIDEST: usize = 1000;

/// What stands between `%` and the verb.
#[derive(Default)]
struct Options {
    left: bool,
    sign: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The verbs are `%s`, `%q`, `%v`, `%d`, `%x`, `%X`, `%t` and `%f`; a value that a verb is not for is told in its place, as
/// Go does.
pub fn printf(format: &str, arguments: &[Operand]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let options = options(&mut chars);
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&padded(&options, value, verb)),
            },
        }
    }
    out
}

fn options(chars: &mut Chars<'_>) -> Options {
    let mut options = Options::default();
    while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '0' | ' ' | '#')) {
        match flag {
            '-' => options.left = true,
            '+' => options.sign = true,
            '0' => options.zeros = true,
            // They change nothing in the verbs that are known.
            _ => {}
        }
    }
    options.width = number(chars).unwrap_or(0);
    if chars.next_if_eq(&'.').is_some() {
        options.precision = Some(number(chars).unwrap_or(0));
    }
    options
}

fn number(chars: &mut Chars<'_>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let sum = number.unwrap_or(0) * 10 + digit as usize;
        number = Some(sum.min(WIDEST));
    }
    number
}

fn padded(options: &Options, of: &Operand, verb: char) -> String {
    let value = &of.value;
    let Some(text) = converted(options, of, verb) else {
        return format!("%!{verb}({}={})", type_of(value), of.text());
    };
    let blanks = options.width.saturating_sub(text.chars().count());
    if options.left {
        return text + &" ".repeat(blanks);
    }
    if !(options.zeros && value.is_number()) {
        return " ".repeat(blanks) + &text;
    }
    // Zeros stand between sign and digits.
    let digits = text.trim_start_matches(['-', '+']);
    let sign = &text[..text.len() - digits.len()];
    format!("{sign}{}{digits}", "0".repeat(blanks))
}

fn converted(options: &Options, of: &Operand, verb: char) -> Option<String> {
    let cut = |text: String| match options.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text,
    };
    let signed = |text: String| match options.sign && !text.starts_with('-') {
        true => format!("+{text}"),
        false => text,
    };
    Some(match (verb, &of.value) {
        ('v', Value::Number(_)) => signed(of.text()),
        ('v', _) => of.text(),
        ('s', Value::Number(_) | Value::Bool(_)) => return None,
        ('s', _) => cut(of.text()),
        ('q', Value::String(text)) => format!("{:?}", cut(text.clone())),
        ('d', Value::Number(number)) if !number.is_f64() => signed(number.to_string()),
        ('x' | 'X', Value::Number(number)) if !number.is_f64() => {
            let number = number.as_i128()?;
            let digits = based(number.unsigned_abs(), verb);
            signed(if number < 0 {
                format!("-{digits}")
            } else {
                digits
            })
        }
        ('x' | 'X', Value::String(text)) => text
            .bytes()
            .map(|byte| {
                if verb == 'x' {
                    format!("{byte:02x}")
                } else {
                    format!("{byte:02X}")
                }
            })
            .collect(),
        ('t', Value::Bool(value)) => value.to_string(),
        ('f', Value::Number(number)) if number.is_f64() => {
            let precision = options.precision.unwrap_or(6);
            signed(format!("{:.precision$}", number.as_f64()?))
        }
        _ => return None,
    })
}

fn based(number: u128, verb: char) -> String {
    match verb {
        'x' => format!("{number:x}"),
        _ => format!("{number:X}"),
    }
}

/// Go's name of a value's type.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn verbs_flags_width_and_precision_are_those_of_go() {
        for (format, value, expected) in [
            ("%-10s|", json!("web"), "web       |"),
            ("%10s|", json!("web"), "       web|"),
            ("%.2s|", json!("web"), "we|"),
            ("%-5.2s|", json!("web"), "we   |"),
            ("%q", json!("a\"b"), r#""a\"b""#),
            ("%v", json!([1, "a"]), "[1 a]"),
            ("%5d|", json!(42), "   42|"),
            ("%-5d|", json!(42), "42   |"),
            ("%05d", json!(-42), "-0042"),
            ("%+d", json!(42), "+42"),
            ("%x", json!(255), "ff"),
            ("%x", json!(-255), "-ff"),
            ("%x", json!("hi"), "6869"),
            ("%t", json!(true), "true"),
            ("%.2f", json!(1.005), "1.00"),
            ("%f", json!(1.5), "1.500000"),
            ("%07.2f", json!(-1.5), "-001.50"),
            ("100%%", json!(1), "100%"),
            ("%d", json!("a"), "%!d(string=a)"),
            ("%", json!(1), "%!(NOVERB)"),
        ] {
            assert_eq!(printf(format, &[value.into()]), expected, "{format}");
        }
        assert_eq!(printf("%s", &[]), "%!s(MISSING)");
        assert_eq!(printf("%99999s", &[json!("").into()]).len(), WIDEST);
    }
}
