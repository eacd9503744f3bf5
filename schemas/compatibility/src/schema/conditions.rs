//! Rules that hold for some values only: `if`, `then`, `else`, at a schema itself and in its `allOf`. Rules with the same
//! condition are compared with each other, and what is found says where it holds.

use serde_json::{Map, Value};

use super::{Comparison, REMEDY, Verdict, key, words::choices};

/// One rule.
struct Rule<'a> {
    condition: &'a Value,
    then: &'a Value,
    otherwise: &'a Value,
}

const ANYTHING: &Value = &Value::Bool(true);

fn rules(schema: &Map<String, Value>) -> Vec<Rule<'_>> {
    let parts = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    let parts = parts.filter_map(Value::as_object);
    std::iter::once(schema).chain(parts).filter_map(rule).collect()
}

fn rule(schema: &Map<String, Value>) -> Option<Rule<'_>> {
    Some(Rule {
        condition: schema.get("if")?,
        then: schema.get("then").unwrap_or(ANYTHING),
        otherwise: schema.get("else").unwrap_or(ANYTHING),
    })
}

/// Parts of `allOf` that are neither such rules nor what is compared elsewhere: keys of which one must be there, and
/// keys that exclude each other.
fn further(schema: &Map<String, Value>) -> Vec<&Value> {
    let parts = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    let known = |part: &&Value| {
        let words: Vec<_> = part.as_object().into_iter().flatten().map(|(word, _)| word.as_str()).collect();
        let required = |part: &Value| {
            part.as_object().is_some_and(|part| part.len() == 1 && part.contains_key("required"))
        };
        match words.as_slice() {
            ["anyOf"] => part["anyOf"].as_array().is_some_and(|forms| forms.iter().all(required)),
            ["not"] => required(&part["not"]),
            words => words.contains(&"if"),
        }
    };
    parts.filter(|part| !known(part)).collect()
}

impl Comparison<'_> {
    /// Each rule of today must let pass what passed.
    pub(super) fn conditions(
        &mut self,
        path: &mut Vec<String>,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) {
        let (before, after) = (rules(old), rules(new));
        for rule in &after {
            let words = said(rule.condition);
            match before.iter().find(|then| then.condition == rule.condition) {
                Some(then) => {
                    self.branch(format!("where {words}"), path, then.then, rule.then);
                    self.branch(format!("where not {words}"), path, then.otherwise, rule.otherwise);
                }
                None if rule.then == ANYTHING && rule.otherwise == ANYTHING => {}
                None if rule.otherwise == ANYTHING && never_held(rule.condition, old) => {
                    let what = format!("{} has a rule for what is new: where {words}", key(path));
                    self.push(Verdict::Compatible, "rule-added", path, what, "");
                }
                None => {
                    let what = format!(
                        "{} has a rule that it had not: where {words}, it must be {}{}",
                        key(path),
                        shown(rule.then),
                        if rule.otherwise == ANYTHING {
                            String::new()
                        } else {
                            format!(", else {}", shown(rule.otherwise))
                        }
                    );
                    self.breaking("rule-added", path, what, REMEDY);
                }
            }
        }
        for rule in before.iter().filter(|then| after.iter().all(|rule| rule.condition != then.condition)) {
            let what =
                format!("{} has no rule of its own any more where {}", key(path), said(rule.condition));
            self.push(Verdict::Compatible, "rule-removed", path, what, "");
        }
        let known = further(old);
        for part in further(new).into_iter().filter(|part| !known.contains(part)) {
            let what = format!("{} must also be {} now", key(path), shown(part));
            self.breaking("rule-added", path, what, REMEDY);
        }
    }

    /// What one branch of a rule says, then and now.
    fn branch(&mut self, place: String, path: &mut Vec<String>, old: &Value, new: &Value) {
        // Also where both are the same: what they refer to may have changed.
        let known = self.found.len();
        self.places.push(place);
        self.schema(path, old, new);
        self.opened(path, old, new);
        if self.found.len() == known && old != new {
            let what = format!("{} takes more than it took", key(path));
            self.push(Verdict::Compatible, "schema-widened", path, what, "");
        }
        self.places.pop();
    }

    /// A key that a branch did not mention could have any value there.
    fn opened(&mut self, path: &[String], old: &Value, new: &Value) {
        if old.get("additionalProperties") == Some(&Value::Bool(false)) {
            return;
        }
        let fresh = new["properties"].as_object().into_iter().flatten();
        let fresh =
            fresh.filter(|(name, schema)| old["properties"].get(name).is_none() && *schema != ANYTHING);
        for (name, schema) in fresh {
            let mut path = path.to_vec();
            path.push(name.clone());
            // To say that it is new as well would say the opposite.
            self.found.retain(|found| found.rule != "key-added" || found.path != path);
            let what = format!("{} must be {} now", key(&path), shown(schema));
            self.breaking("type-narrowed", &path, what, REMEDY);
        }
    }
}

/// Whether no file that was right can meet this condition: it asks for a value that a key could not have.
fn never_held(condition: &Value, old: &Map<String, Value>) -> bool {
    let wanted = condition["properties"].as_object().into_iter().flatten();
    let required = |name: &String| {
        condition["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name))
    };
    wanted.filter(|(name, _)| required(name)).any(|(name, schema)| {
        let wanted = schema.as_object().and_then(choices);
        let possible = old.get("properties").and_then(|keys| keys.get(name)?.as_object()).and_then(choices);
        wanted.zip(possible).is_some_and(|(wanted, possible)| wanted.is_disjoint(&possible))
    })
}

/// A condition in words; as it is written, where there are none for it.
fn said(condition: &Value) -> String {
    let quoted = |name: &str| format!("`{name}`");
    let keys = condition["properties"].as_object().into_iter().flatten();
    let values: Option<Vec<_>> = keys
        .map(|(name, schema)| {
            let values = choices(schema.as_object()?)?;
            Some(format!("{} is {}", quoted(name), values.into_iter().collect::<Vec<_>>().join(" or ")))
        })
        .collect();
    let required = condition["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let known = condition.as_object().is_some_and(|condition| {
        condition.keys().all(|word| ["properties", "required"].contains(&word.as_str()))
    });
    match values.filter(|_| known) {
        Some(values) if !values.is_empty() => values.join(" and "),
        Some(_) => format!("there is {}", required.map(quoted).collect::<Vec<_>>().join(" and ")),
        None => format!("{} holds", shown(condition)),
    }
}

/// A schema as it is written, cut where nobody reads on.
fn shown(schema: &Value) -> String {
    const LONGEST: usize = 200;
    let text = schema.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
