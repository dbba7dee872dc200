//! The model as the documents `config` prints.
//!
//! JSON leaves out the `x-` keys inside elements and `models`; YAML prints them and leaves out
//! the parts that JSON prints empty. Both double every `$`, so that the output loads again.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::{Map, Value};

use super::project::Project;
use super::record::{EXTENSIONS, SCALAR};

/// An element as a value, extensions still under their private key.
pub fn plain<T: Serialize>(element: &T) -> Value {
    serde_json::to_value(element).expect("the model has only string keys and finite numbers")
}

/// The document of `config --format json`, before `$` is doubled. Its top-level keys are in the
/// order of their bytes.
pub fn json(project: &Project) -> Value {
    let mut value = plain(project);
    let mut out = Map::new();
    if let Some(map) = value.as_object_mut() {
        let extensions = map.shift_remove(EXTENSIONS);
        for (key, mut part) in std::mem::take(map) {
            let empty = part.as_object().is_some_and(Map::is_empty);
            if (empty && key != "services") || key == "models" {
                continue;
            }
            drop_key(&mut part, EXTENSIONS);
            if key == "configs" {
                each(&mut part, drop_value);
            }
            out.insert(key, part);
        }
        if let Some(Value::Object(mut extensions)) = extensions {
            extensions.values_mut().for_each(Value::sort_all_objects);
            extensions.values_mut().for_each(null_empty_lists);
            out.extend(extensions);
        }
    }
    out.sort_keys();
    let mut document = Value::Object(out);
    dates_as_text(&mut document);
    document
}

/// Empty lists become null, which is how docker compose's JSON has them in what it does not know.
fn null_empty_lists(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(null_empty_lists),
        Value::Array(list) if list.is_empty() => *value = Value::Null,
        Value::Array(list) => list.iter_mut().for_each(null_empty_lists),
        _ => {}
    }
}

/// Dates become texts, which is how JSON has them. What it has not at all stays.
pub fn dates_as_text(value: &mut Value) {
    match value {
        Value::Object(map) => match map.get(SCALAR) {
            Some(text) if !text.as_str().is_some_and(is_infinite) => *value = text.clone(),
            Some(_) => {}
            None => map.values_mut().for_each(dates_as_text),
        },
        Value::Array(list) => list.iter_mut().for_each(dates_as_text),
        _ => {}
    }
}

/// The first number of a document that JSON has not.
pub fn not_in_json(value: &Value) -> Option<&str> {
    match value {
        Value::Object(map) => match map.get(SCALAR) {
            Some(text) => text.as_str(),
            None => map.values().find_map(not_in_json),
        },
        Value::Array(list) => list.iter().find_map(not_in_json),
        _ => None,
    }
}

fn is_infinite(text: &str) -> bool {
    matches!(text, ".inf" | "-.inf" | ".nan")
}

fn each(elements: &mut Value, change: fn(&mut Map<String, Value>)) {
    let elements = elements
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut);
    elements.filter_map(Value::as_object_mut).for_each(change);
}

/// What a config of the environment holds is nobody's to see.
fn drop_value(config: &mut Map<String, Value>) {
    if config.contains_key("environment") {
        config.shift_remove("content");
    }
}

/// The document of `config --format yaml`, before `$` is doubled.
pub fn yaml(project: &Project) -> Value {
    let mut value = plain(project);
    let mut out = Map::new();
    if let Some(map) = value.as_object_mut() {
        let extensions = map.shift_remove(EXTENSIONS);
        for (key, mut part) in std::mem::take(map) {
            if part.as_object().is_some_and(Map::is_empty) && key != "services" {
                continue;
            }
            match key.as_str() {
                "configs" => each(&mut part, drop_value),
                "networks" => each(&mut part, drop_extensions_of_pools),
                "services" => each(&mut part, |service| {
                    print_as_floats(service);
                    trim_hooks(service);
                    write_ssh_keys(service);
                }),
                _ => {}
            }
            if let Some(elements) = part.as_object_mut() {
                for element in elements.values_mut() {
                    trim_element(element);
                    splice(element);
                }
            }
            if key != "name" {
                order_maps(&mut part);
            }
            out.insert(key, part);
        }
        if let Some(Value::Object(extensions)) = extensions.map(natural) {
            out.extend(extensions);
        }
    }
    Value::Object(out)
}

/// Brings the maps of a model into natural order. Those are in the order of their bytes; records
/// have the order of their fields, and where that is the same, the natural order is too.
fn order_maps(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(order_maps);
            if map.keys().is_sorted() {
                sort(map);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(order_maps),
        _ => {}
    }
}

/// A mapping with its own keys in natural order.
pub fn natural_keys(mut value: Value) -> Value {
    if let Value::Object(map) = &mut value {
        sort(map);
    }
    value
}

/// A value with all its keys in natural order.
pub fn natural(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            sort(map);
            map.values_mut().for_each(|v| *v = natural(v.take()));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| *v = natural(v.take())),
        _ => {}
    }
    value
}

fn sort(map: &mut Map<String, Value>) {
    if !map.keys().is_sorted_by(|a, b| natural_order(a, b).is_le()) {
        let mut entries: Vec<_> = std::mem::take(map).into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| natural_order(a, b));
        map.extend(entries);
    }
}

/// The order of keys in docker compose's YAML: numbers by value, letters after everything else.
fn natural_order(left: &str, right: &str) -> Ordering {
    let mut pairs = left.char_indices().zip(right.chars());
    let Some(((at, l), r)) = pairs.find(|((_, l), r)| l != r) else {
        return left.len().cmp(&right.len());
    };
    let before = || left[..at].chars().rev();
    let in_number = before().next().is_some_and(is_digit);
    match (is_letter(l), is_letter(r)) {
        (true, true) => return l.cmp(&r),
        // What follows the same number: a letter comes first.
        (first, second) if first || second => {
            return if first == in_number {
                Ordering::Less
            } else {
                Ordering::Greater
            };
        }
        _ => {}
    }
    // A zero within a number counts: `10` and `1` are not `1` and `1`.
    let significant =
        (l == '0' || r == '0') && before().take_while(|c| is_digit(*c)).any(|c| c != '0');
    let number = |text: &str| {
        let digits = text[at..].chars().take_while(|c| is_digit(*c));
        digits.fold((i64::from(significant), 0), |(value, count), c| {
            // Go lets it overflow.
            let digit = i64::from(u32::from(c)) - i64::from(u32::from('0'));
            (value.wrapping_mul(10).wrapping_add(digit), count + 1)
        })
    };
    number(left).cmp(&number(right)).then(l.cmp(&r))
}

/// The zeros of all scripts; the other nine digits follow each. Go tells digits from other numbers.
#[rustfmt::skip]
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

fn is_digit(c: char) -> bool {
    let code = u32::from(c);
    let zero = ZEROS[..ZEROS.partition_point(|zero| *zero <= code)].last();
    zero.is_some_and(|zero| code < zero + 10)
}

/// A letter as Go has it, but for the marks of some scripts, which are taken for letters here:
/// neither a number nor a letter in a circle.
fn is_letter(c: char) -> bool {
    let circled = matches!(c, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f189}');
    c.is_alphabetic() && !c.is_numeric() && !circled
}

/// Drops what only JSON prints: null commands and empty sub-objects.
fn trim_element(element: &mut Value) {
    let Some(map) = element.as_object_mut() else {
        return;
    };
    for key in ["command", "entrypoint"] {
        if map.get(key).is_some_and(Value::is_null) {
            map.shift_remove(key);
        }
    }
    if let Some(blkio) = map.get_mut("blkio_config").and_then(Value::as_object_mut) {
        for device in blkio.values_mut().filter_map(Value::as_array_mut).flatten() {
            if let Some(fields) = device.as_object_mut() {
                // Only JSON has docker compose's odd capitals.
                let fields_now = std::mem::take(fields);
                fields.extend(fields_now.into_iter().map(|(k, v)| (k.to_lowercase(), v)));
            }
        }
    }
    fill_limits(map);
    if let Some(build) = map.get_mut("build").and_then(Value::as_object_mut) {
        fill_limits(build);
    }
    drop_empty(map, "ipam");
    if let Some(deploy) = map.get_mut("deploy").and_then(Value::as_object_mut) {
        drop_empty(deploy, "resources");
        drop_empty(deploy, "placement");
    }
    let rules = map
        .get_mut("develop")
        .and_then(|d| d.get_mut("watch"))
        .and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(exec) = rule.get_mut("exec").and_then(Value::as_object_mut) {
            if exec.get("command").is_some_and(Value::is_null) {
                exec.shift_remove("command");
            }
            drop_empty(rule, "exec");
        }
    }
}

/// Docker compose prints no extensions of a pool of addresses.
fn drop_extensions_of_pools(network: &mut Map<String, Value>) {
    let ipam = network.get_mut("ipam").and_then(Value::as_object_mut);
    if let Some(pools) = ipam.and_then(|ipam| ipam.get_mut("config")) {
        drop_key(pools, EXTENSIONS);
    }
}

/// Numbers of processors are floats: large ones have an exponent.
fn print_as_floats(service: &mut Map<String, Value>) {
    let float = |map: &mut Map<String, Value>| {
        if let Some(cpus) = map.get_mut("cpus")
            && let Some(number) = cpus.as_f64()
        {
            *cpus = number.into();
        }
    };
    float(service);
    let deploy = service.get_mut("deploy").and_then(Value::as_object_mut);
    if let Some(resources) = deploy.and_then(|deploy| deploy.get_mut("resources")) {
        each(resources, float);
    }
}

/// A hook without a command has none here.
fn trim_hooks(service: &mut Map<String, Value>) {
    for key in ["pre_start", "post_start", "pre_stop"] {
        let hooks = service.get_mut(key).and_then(Value::as_array_mut);
        for hook in hooks.into_iter().flatten().filter_map(Value::as_object_mut) {
            if hook.get("command").is_some_and(Value::is_null) {
                hook.shift_remove("command");
            }
        }
    }
}

/// Keys with a path are written as docker compose writes them.
fn write_ssh_keys(service: &mut Map<String, Value>) {
    let build = service.get_mut("build").and_then(Value::as_object_mut);
    let keys = build.and_then(|build| build.get_mut("ssh"));
    for key in keys.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::String(text) = key
            && let Some((id, path)) = text.split_once('=')
        {
            *text = format!("{id}: {path}");
        }
    }
}

/// A limit of zero, which JSON prints as an empty mapping, in a form that loads again.
fn fill_limits(map: &mut Map<String, Value>) {
    let all = map.get_mut("ulimits").and_then(Value::as_object_mut);
    for limit in all.into_iter().flat_map(Map::values_mut) {
        if let Some(fields) = limit.as_object_mut() {
            for key in ["soft", "hard"] {
                fields.entry(key).or_insert_with(|| 0.into());
            }
        }
    }
}

fn drop_empty(map: &mut Map<String, Value>, key: &str) {
    if map
        .get(key)
        .and_then(Value::as_object)
        .is_some_and(Map::is_empty)
    {
        map.shift_remove(key);
    }
}

/// Moves extensions from their private key to the element itself.
fn splice(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let extensions = map.shift_remove(EXTENSIONS);
            map.values_mut().for_each(splice);
            if let Some(Value::Object(extensions)) = extensions.map(natural) {
                map.extend(extensions);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(splice),
        _ => {}
    }
}

/// Removes a key at every depth.
pub fn drop_key(value: &mut Value, key: &str) {
    match value {
        Value::Object(map) => {
            map.shift_remove(key);
            map.values_mut().for_each(|v| drop_key(v, key));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| drop_key(v, key)),
        _ => {}
    }
}

/// JSON in which `<`, `>` and `&` are escaped, and what YAML, which JSON is read as here, has no
/// place for or takes for a line break. U+FEFF is text there too, but where it begins a text it is a
/// mark.
pub fn escape_html(json: &str) -> String {
    let odd = |c: char| {
        matches!(
            c,
            '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
    };
    escape(json, |c| escaped_by_go(c) || odd(c))
}

/// JSON as Go's encoder writes it, which is what hashes are taken of.
pub fn escape_as_go(json: &str) -> String {
    escape(json, escaped_by_go)
}

fn escaped_by_go(c: char) -> bool {
    matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

fn escape(json: &str, escaped: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if escaped(c) {
            out += &format!("\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_go_yaml_orders_them() {
        for keys in [
            &["k1", "k18446744073709551617", "k9"][..],
            &["a", "a1", "a2", "a10", "aa"],
            &["a\u{b2}", "a\u{2167}", "a1", "a\u{661}", "a\u{663}"],
            &["\u{24d0}", "1", "10", "b"],
            &["1b", "1-", "2"],
        ] {
            let mut sorted = keys.to_vec();
            sorted.reverse();
            sorted.sort_by(|a, b| natural_order(a, b));
            assert_eq!(sorted, keys);
        }
    }

    #[test]
    fn digits_of_all_scripts_are_known() {
        assert!(ZEROS.is_sorted());
        for (c, digit) in [
            ('0', true),
            ('9', true),
            (':', false),
            ('\u{663}', true),
            ('\u{b2}', false),
        ] {
            assert_eq!(is_digit(c), digit, "{c}");
        }
    }

    #[test]
    fn empty_lists_are_null_at_every_depth() {
        let mut value = serde_json::json!({"a": [], "b": {"c": [[], 1]}, "d": {}});
        null_empty_lists(&mut value);
        assert_eq!(
            value,
            serde_json::json!({"a": null, "b": {"c": [null, 1]}, "d": {}})
        );
    }
}
