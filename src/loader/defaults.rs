//! Values that the specification gives to what is left out.

use super::source::Span;
use super::tree::{Node, Value};

/// Fills defaults in.
pub fn apply(root: &mut Node) {
    for service in root
        .get_mut("services")
        .and_then(Node::as_map_mut)
        .into_iter()
        .flat_map(|m| m.values_mut())
    {
        if let Some(build) = service.get_mut("build") {
            set(build, "context", ".");
        }
        for secret in list(service, &["secrets"]) {
            let source = secret
                .get("source")
                .and_then(Node::as_str)
                .map(|s| format!("/run/secrets/{s}"));
            if let Some(target) = source {
                set(secret, "target", &target);
            }
        }
        for port in list(service, &["ports"]) {
            set(port, "protocol", "tcp");
            set(port, "mode", "ingress");
        }
        for path in [
            &["gpus"][..],
            &["deploy", "resources", "reservations", "devices"],
        ] {
            for request in list(service, path) {
                if request.get("device_ids").is_none() {
                    set(request, "count", "all");
                }
            }
        }
    }
}

fn set(node: &mut Node, key: &str, value: &str) {
    let place = node.place();
    if let Some(map) = node.as_map_mut() {
        map.entry(key.to_owned()).or_insert_with(|| {
            let mut default = Node::new(Value::Str(value.to_owned()), Span::NONE);
            default.key = place;
            default
        });
    }
}

fn list<'a>(node: &'a mut Node, path: &[&str]) -> impl Iterator<Item = &'a mut Node> {
    let mut found = Some(node);
    for key in path {
        found = found.and_then(|n| n.get_mut(key));
    }
    found.and_then(Node::as_seq_mut).into_iter().flatten()
}
