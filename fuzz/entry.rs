//! What every run of the fuzzer does with one input; the ordinary tests replay the corpus through it as well.

use jumpstarter_cli::{DRIVERS, Program};
use jumpstarter_exporter::check;

/// Reads, checks and reports as `jmp config exporter check` does. Whatever the bytes are, this returns.
#[allow(unreachable_pub, reason = "each user of this file includes it as a module of its own")]
pub fn exporter_file(bytes: &[u8]) {
    let read = jumpstarter_core::config::encoding::text("fuzz.yaml", bytes.to_vec());
    let mut problems = read.problems;
    if let Some(text) = read.text {
        let registry = Program::new(&[DRIVERS]).registry();
        match check("fuzz.yaml", &text, &registry, |_| None) {
            Ok(plan) => problems.append(plan.warnings),
            Err(found) => problems.append(found),
        }
        for problem in &problems {
            let Some(span) = problem.span() else { panic!("no place: {problem}") };
            assert!(span.start <= span.end && span.end <= text.len(), "{span:?} is not in the text");
            assert!(span.line >= 1 && span.column >= 1, "{span:?}");
        }
    }
    assert_eq!(problems.render().is_empty(), problems.is_empty());
    assert!(serde_json::to_string(&problems).is_ok());
}
