//! A plan as text: what it waits for, number, what, verb, reason.
//!
//! ```text
//! []    #1 network back     create   not found
//! [1]   #2 service db/1     create   no container
//! [2]   #3 service web/1    recreate image changed
//! ```

use std::fmt;

use super::graph::{Plan, StepId};
use super::operation::Operation;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 5]> = self
            .steps()
            .map(|(id, step)| {
                let after: Vec<_> = self.after(id).into_iter().map(number).collect();
                let (subject, verb) = describe(&step.operation);
                [
                    format!("[{}]", after.join(",")),
                    format!("#{}", number(id)),
                    subject,
                    verb.to_owned(),
                    step.reason.to_string(),
                ]
            })
            .collect();
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2), width(3)];
        for row in &rows {
            writeln!(
                f,
                "{:w0$} {:>w1$} {:w2$} {:w3$} {}",
                row[0],
                row[1],
                row[2],
                row[3],
                row[4],
                w0 = widths[0],
                w1 = widths[1],
                w2 = widths[2],
                w3 = widths[3],
            )?;
        }
        Ok(())
    }
}

fn number(id: StepId) -> String {
    (id.index() + 1).to_string()
}

fn describe(operation: &Operation) -> (String, &'static str) {
    match operation {
        Operation::CreateNetwork { key, .. } => (format!("network {key}"), "create"),
        Operation::RemoveNetwork { name, .. } => (format!("network {name}"), "remove"),
        Operation::CreateVolume { key, .. } => (format!("volume {key}"), "create"),
        Operation::RemoveVolume { name, .. } => (format!("volume {name}"), "remove"),
        Operation::RemoveImage { reference } => (format!("image {reference}"), "remove"),
        Operation::Create {
            service,
            number,
            replaces,
            ..
        } => (
            format!("service {service}/{number}"),
            if replaces.is_some() {
                "recreate"
            } else {
                "create"
            },
        ),
        Operation::Start {
            service, number, ..
        } => (format!("service {service}/{number}"), "start"),
        Operation::Stop { name, .. } => (format!("container {name}"), "stop"),
        Operation::Restart { name, .. } => (format!("container {name}"), "restart"),
        Operation::Kill { name, .. } => (format!("container {name}"), "kill"),
        Operation::Pause { name, .. } => (format!("container {name}"), "pause"),
        Operation::Unpause { name, .. } => (format!("container {name}"), "unpause"),
        Operation::Remove { name, .. } => (format!("container {name}"), "remove"),
    }
}
