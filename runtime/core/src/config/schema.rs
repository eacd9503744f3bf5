//! A JSON Schema walk over a node: every objection of the schema, each with its place.

use std::collections::HashMap;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{JsonType, ValidationError};
use serde_json::Value as Json;

use super::document::{Entry, Map, Node, Value};
use super::problem::{Problem, Problems};
use super::scalar;
use super::source::{Span, is_secret_key};
use super::subject::{Step, Subject};
use super::suggest::{folded, nearest};
use super::wording;

/// Checks a value against a JSON Schema.
///
/// Everything that a type would accept from this YAML dialect is accepted here as well: unquoted
/// `yes`, `no`, `on`, `off` where a boolean is wanted. The problems carry no source;
/// [`Problems::attach`] adds it. A schema that is none is reported as a problem of the program.
pub fn check_schema(schema: &Json, node: &Node, subject: &Subject) -> Problems {
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => {
            let message = format!("the schema of {} is not usable: {error}", subject.what());
            return Problem::error(message)
                .at(node)
                .help("this is a mistake of the program, not of the file")
                .into();
        }
    };
    let instance = node.to_json();
    let mut walk =
        Walk { schema, node, subject, problems: Problems::new(), missing: Vec::new(), meant: HashMap::new() };
    for error in validator.iter_errors(&instance) {
        walk.report(&error);
    }
    walk.report_missing();
    walk.problems
}

struct Walk<'a> {
    schema: &'a Json,
    node: &'a Node,
    subject: &'a Subject,
    problems: Problems,
    /// Missing keys wait until all unknown ones are known: a misspelt key is not missing as well.
    missing: Vec<(Vec<Step>, String)>,
    meant: HashMap<Vec<Step>, Vec<String>>,
}

impl<'a> Walk<'a> {
    fn report(&mut self, error: &ValidationError<'_>) {
        if self.is_accepted(error) {
            return;
        }
        let steps = steps(error);
        let Some(found) = find(self.node, &steps) else { return };
        let (node, key) = (found.node, found.entry.map(|entry| entry.key_span));
        let place = if node.span.is_empty() { key.or(self.place()).unwrap_or(node.span) } else { node.span };
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = self.known_keys(error);
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                for name in unexpected {
                    let Some(entry) = node.as_map().and_then(|map| map.entry(name)) else { continue };
                    if let Some(near) = nearest(name, known.iter().copied()) {
                        self.meant.entry(steps.clone()).or_default().push(folded(near));
                    }
                    self.problems.push(self.subject.unknown_key(entry, &known, &steps, key));
                }
            }
            // What a schema without any properties says about the first key of a mapping: it knows none of them.
            ValidationErrorKind::FalseSchema if node.as_map().is_some() => {
                for entry in node.as_map().into_iter().flat_map(Map::iter) {
                    self.problems.push(self.subject.unknown_key(entry, &[], &steps, key));
                }
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default().to_owned();
                self.missing.push((steps, name));
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.report_choice(context, node, &steps, place);
            }
            _ => {
                let problem = self.simple(error, node, &steps, place);
                self.problems.push(problem);
            }
        }
    }

    /// An objection that concerns one value only.
    fn simple(&self, error: &ValidationError<'_>, node: &Node, steps: &[Step], place: Span) -> Problem {
        use ValidationErrorKind as K;
        let expected = match error.kind() {
            K::Type { kind } => expected_type(kind),
            K::Enum { options } => {
                let options: Vec<String> = options.as_array().into_iter().flatten().map(shown).collect();
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                return self.subject.not_listed(node, &options, place, steps);
            }
            K::Constant { expected_value } => shown(expected_value),
            K::Minimum { limit } => format!("{} or more", shown(limit)),
            K::Maximum { limit } => format!("at most {}", shown(limit)),
            K::ExclusiveMinimum { limit } => format!("more than {}", shown(limit)),
            K::ExclusiveMaximum { limit } => format!("less than {}", shown(limit)),
            K::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
            K::MinLength { limit: 1 } => "text that is not empty".to_owned(),
            K::MinLength { limit } => format!("at least {limit} characters long"),
            K::MaxLength { limit } => format!("at most {limit} characters long"),
            K::MinItems { limit } => format!("a list of at least {limit}"),
            K::MaxItems { limit } => format!("a list of at most {limit}"),
            K::MinProperties { limit } => format!("a mapping with at least {limit} keys"),
            K::MaxProperties { limit } => format!("a mapping with at most {limit} keys"),
            K::UniqueItems => "a list without repetitions".to_owned(),
            K::Pattern { pattern } => {
                self.described(error).unwrap_or_else(|| format!("text like `{pattern}`"))
            }
            K::Format { format } => format!("text in the format {format}"),
            _ => {
                let secret = steps.iter().rev().find_map(Step::key).is_some_and(is_secret_key);
                let reason =
                    if secret { "this value is not accepted".to_owned() } else { error.masked().to_string() };
                return Problem::error(format!("{}: {reason}", self.subject.name_of(steps)))
                    .at(place)
                    .path(self.subject.path_of(steps));
            }
        };
        self.subject.wrong_value(node, &expected, place, steps)
    }

    /// None of several shapes fits: the one that came closest says what is wrong.
    fn report_choice(
        &mut self,
        context: &[Vec<ValidationError<'static>>],
        node: &Node,
        steps: &[Step],
        place: Span,
    ) {
        // A shape that objects to the type of the value itself was not meant. Of the others, the one
        // with the fewest objections was.
        let own = |error: &ValidationError<'_>| {
            error.instance_path().segments().count() == steps.len()
                && matches!(error.kind(), ValidationErrorKind::Type { .. })
        };
        let meant = context
            .iter()
            .filter(|errors| !errors.is_empty() && !errors.iter().any(own))
            .min_by_key(|errors| errors.len());
        if let Some(errors) = meant {
            for error in errors {
                self.report(error);
            }
            return;
        }
        let mut shapes: Vec<String> = Vec::new();
        for error in context.iter().flatten() {
            if let ValidationErrorKind::Type { kind } = error.kind() {
                let shape = expected_type(kind);
                if shape != "empty" && !shapes.contains(&shape) {
                    shapes.push(shape);
                }
            }
        }
        let expected = if shapes.is_empty() { "of another kind".to_owned() } else { shapes.join(" or ") };
        self.problems.push(self.subject.wrong_value(node, &expected, place, steps));
    }

    fn report_missing(&mut self) {
        for (steps, name) in std::mem::take(&mut self.missing) {
            if self.meant.get(&steps).is_some_and(|meant| meant.contains(&folded(&name))) {
                continue;
            }
            let Some(found) = find(self.node, &steps).filter(|found| {
                !found.node.is_incomplete() && found.node.get(&name).is_none_or(|value| !value.is_unknown())
            }) else {
                continue;
            };
            let place = found.entry.map(|entry| entry.key_span).or(self.place()).unwrap_or(found.node.span);
            self.problems.push(self.subject.missing_key(&name, place, &steps));
        }
    }

    fn place(&self) -> Option<Span> {
        self.subject.place_of_whole()
    }

    /// Whether the type behind the schema takes what the schema, which knows JSON only, refuses.
    fn is_accepted(&self, error: &ValidationError<'_>) -> bool {
        match error.kind() {
            ValidationErrorKind::Type { kind } => {
                let boolean = match kind {
                    TypeKind::Single(kind) => *kind == JsonType::Boolean,
                    TypeKind::Multiple(kinds) => kinds.iter().any(|kind| kind == JsonType::Boolean),
                };
                boolean
                    && find(self.node, &steps(error))
                        .and_then(|found| found.node.plain_text())
                        .is_some_and(|text| scalar::yes_or_no(text).is_some())
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                context
                    .iter()
                    .any(|errors| !errors.is_empty() && errors.iter().all(|error| self.is_accepted(error)))
            }
            _ => false,
        }
    }

    /// The schema object whose keyword objected.
    fn objecting(&self, error: &ValidationError<'_>) -> Option<&'a Json> {
        let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
        self.schema.pointer(parent)
    }

    fn known_keys(&self, error: &ValidationError<'_>) -> Vec<String> {
        let properties =
            self.objecting(error).and_then(|schema| schema.get("properties")).and_then(Json::as_object);
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
    }

    /// A pattern is for machines; a schema that describes it in words is quoted instead.
    fn described(&self, error: &ValidationError<'_>) -> Option<String> {
        let title = self.objecting(error)?.get("title")?.as_str()?;
        Some(title.to_owned())
    }
}

struct Found<'a> {
    node: &'a Node,
    entry: Option<&'a Entry>,
}

/// Follows a path; it ends at the nearest thing that is there.
fn find<'a>(root: &'a Node, steps: &[Step]) -> Option<Found<'a>> {
    let mut found = Found { node: root, entry: None };
    for step in steps {
        found = match (step, &found.node.value) {
            (Step::Key(key), Value::Map(map)) => {
                let entry = map.entry(key)?;
                Found { node: &entry.value, entry: Some(entry) }
            }
            (Step::Index(index), Value::Seq(items)) => Found { node: items.get(*index)?, entry: found.entry },
            _ => return None,
        };
    }
    Some(found)
}

fn steps(error: &ValidationError<'_>) -> Vec<Step> {
    error
        .instance_path()
        .segments()
        .map(|segment| match segment {
            LocationSegment::Property(key) => Step::Key(key.into_owned()),
            LocationSegment::Index(index) => Step::Index(index),
        })
        .collect()
}

fn expected_type(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => wording::json_type(&kind.to_string()).to_owned(),
        TypeKind::Multiple(kinds) => {
            let names: Vec<String> = kinds.iter().map(|kind| kind.to_string()).collect();
            let names: Vec<&str> = names.iter().map(|name| wording::json_type(name)).collect();
            // An optional value may be left empty; nobody who wrote something needs to hear that.
            let names: Vec<&str> = names.iter().copied().filter(|name| *name != "empty").collect();
            names.join(" or ")
        }
    }
}

fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
