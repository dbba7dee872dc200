//! `config --schema`: a valid JSON Schema that accepts the project's own cases, refuses what is
//! misspelt, and knows every attribute.

mod support;

use std::fs;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use gantry::loader::tree::{Node, Value};
use gantry::loader::{FileId, yaml};
use serde_json::{Map, Number, Value as Json};
use support::Sandbox;

const PLACE: &str = "memory:/compose.json";

struct Compiled {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Compiled {
    /// What the executable prints. Compiling it checks it against the metaschema.
    fn new() -> Self {
        let printed = Sandbox::new().ok(&["config", "--schema"]).stdout();
        let schema: Json = serde_json::from_str(&printed).expect("JSON");
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler
            .add_resource(PLACE, schema)
            .expect("a schema can be added");
        let mut schemas = Schemas::new();
        let index = compiler
            .compile(PLACE, &mut schemas)
            .unwrap_or_else(|error| panic!("not a valid JSON Schema: {error:#}"));
        Self { schemas, index }
    }

    fn refusal(&self, document: &Json) -> Option<String> {
        let result = self.schemas.validate(document, self.index);
        result.err().map(|error| format!("{error:#}"))
    }
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(i) => i64::try_from(*i).map_or(Json::Null, |i| Json::Number(i.into())),
        Value::Float(v) => Number::from_f64(*v).map_or(Json::Null, Json::Number),
        Value::Str(text) | Value::Time(text) => Json::String(text.clone()),
        Value::Seq(items) => items.iter().map(json).collect(),
        Value::Map(map) => {
            let map: Map<_, _> = map.iter().map(|(k, v)| (k.clone(), json(v))).collect();
            Json::Object(map)
        }
    }
}

fn documents(text: &str) -> Vec<Json> {
    let mut problems = Vec::new();
    let documents = yaml::parse(text, FileId(0), &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    documents.iter().map(|d| json(&d.root)).collect()
}

#[test]
fn the_cases_of_the_specification_are_accepted() {
    let schema = Compiled::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-spec-tests");
    let mut seen = 0;
    let areas = fs::read_dir(root).expect("the cases").flatten();
    for area in areas.filter(|a| a.path().is_dir() && a.file_name() != "errors") {
        for case in fs::read_dir(area.path()).expect("an area").flatten() {
            for file in fs::read_dir(case.path()).expect("a case").flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                if !name.ends_with(".yaml") {
                    continue;
                }
                let text = fs::read_to_string(file.path()).expect("readable");
                for document in documents(&text) {
                    seen += 1;
                    if let Some(why) = schema.refusal(&document) {
                        panic!("{}: {why}", file.path().display());
                    }
                }
            }
        }
    }
    assert!(seen > 15, "only {seen} documents");
}

#[test]
fn the_examples_are_accepted() {
    let schema = Compiled::new();
    for example in ["quickstart", "postgres-redis-nginx"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples")
            .join(example)
            .join("compose.yaml");
        for document in documents(&fs::read_to_string(file).expect("readable")) {
            assert_eq!(schema.refusal(&document), None, "{example}");
        }
    }
}

#[test]
fn what_is_misspelt_is_refused() {
    let schema = Compiled::new();
    for text in [
        "services: {web: {imge: nginx}}",
        "services: {web: {ports: {a: b}}}",
        "services: {web: {depends_on: {db: {condition: sometimes}}}}",
        "services: {web: {oom_score_adj: 5000}}",
        "services: {\"a b\": {image: x}}",
        "services: [web]",
        "servces: {}",
        "volumes: {data: {drivr: local}}",
    ] {
        for document in documents(text) {
            assert!(schema.refusal(&document).is_some(), "accepted: {text}");
        }
    }
}
