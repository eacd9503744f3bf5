//! Label selectors as objects carry them.

use std::collections::{BTreeMap, BTreeSet};

use jumpstarter_core::{
    Error,
    selector::{Requirement, Selector},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of many labelled things are meant. All parts must hold; without parts it means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LabelSelector {
    /// Keys with less simple requirements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<Expression>,
    /// Keys with the one value that will do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// What is asked of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Expression {
    /// The key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// The values of `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

impl LabelSelector {
    /// Whether it means everything.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// As it is matched. The error says what makes no sense.
    pub fn to_selector(&self) -> Result<Selector, Error> {
        let others = self.match_expressions.iter().map(|part| {
            let values = || part.values.iter().cloned().collect::<BTreeSet<_>>();
            let requirement = match (part.operator.as_str(), part.values.is_empty()) {
                ("In", false) => Requirement::In(values()),
                ("NotIn", false) => Requirement::NotIn(values()),
                ("Exists", true) => Requirement::Exists,
                ("DoesNotExist", true) => Requirement::Absent,
                ("In" | "NotIn", true) => {
                    return Err(wrong(&part.key, &format!("`{}` needs values", part.operator)));
                }
                ("Exists" | "DoesNotExist", false) => {
                    return Err(wrong(&part.key, &format!("`{}` takes no values", part.operator)));
                }
                (operator, _) => {
                    let known = "write In, NotIn, Exists or DoesNotExist";
                    return Err(wrong(&part.key, &format!("`{operator}` is not an operator: {known}")));
                }
            };
            Ok((part.key.clone(), requirement))
        });
        Selector::from_parts(self.match_labels.clone(), others.collect::<Result<Vec<_>, _>>()?)
    }
}

fn wrong(key: &str, what: &str) -> Error {
    Error::usage(format!("invalid selector: `{key}`: {what}"))
}

fn unsupported(operator: &str) -> Error {
    Error::usage(format!("unsupported label selector operator: {operator}"))
}

impl TryFrom<&Selector> for LabelSelector {
    type Error = Error;

    /// Objects do not compare by size: Kubernetes has no operators for it there.
    fn try_from(selector: &Selector) -> Result<Self, Error> {
        let expression = |(key, requirement): &(String, Requirement)| {
            let (operator, values) = match requirement {
                Requirement::In(values) => ("In", values.iter().cloned().collect()),
                Requirement::NotIn(values) => ("NotIn", values.iter().cloned().collect()),
                Requirement::Exists => ("Exists", Vec::new()),
                Requirement::Absent => ("DoesNotExist", Vec::new()),
                Requirement::Above(_) => return Err(unsupported(">")),
                Requirement::Below(_) => return Err(unsupported("<")),
            };
            Ok(Expression { key: key.clone(), operator: operator.to_owned(), values })
        };
        Ok(Self {
            match_labels: selector.equal().clone(),
            match_expressions: selector.others().iter().map(expression).collect::<Result<_, _>>()?,
        })
    }
}

/// The selector of a lease as somebody wrote it. `==`, which lists accept as well, is refused, as it always was.
pub fn of_lease(text: &str) -> Result<LabelSelector, Error> {
    if let Some(operator) = ["==", ">", "<"].into_iter().find(|operator| text.contains(operator)) {
        return Err(unsupported(operator));
    }
    LabelSelector::try_from(&text.parse::<Selector>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_what_objects_carry_and_text_again() {
        let stored = of_lease("b=2,a=1,c!=y,c!=x,d in (q,p),e notin (z),f,!g").expect("a selector");
        let json = serde_json::json!({
            "matchLabels": { "a": "1", "b": "2" },
            "matchExpressions": [
                { "key": "c", "operator": "NotIn", "values": ["x", "y"] },
                { "key": "d", "operator": "In", "values": ["p", "q"] },
                { "key": "e", "operator": "NotIn", "values": ["z"] },
                { "key": "f", "operator": "Exists" },
                { "key": "g", "operator": "DoesNotExist" },
            ],
        });
        assert_eq!(serde_json::to_value(&stored).unwrap(), json);
        let again = stored.to_selector().expect("a selector").to_string();
        assert_eq!(again, "a=1,b=2,c notin (x,y),d in (p,q),e notin (z),f,!g");
        assert_eq!(LabelSelector::default().to_selector().unwrap().to_string(), "<none>");
    }

    #[test]
    fn the_operators_of_lists_are_refused_in_leases() {
        for (text, operator) in [("a==b", "=="), ("a>1", ">"), ("a<1", "<")] {
            let error = of_lease(text).expect_err(text);
            assert_eq!(error.message(), format!("unsupported label selector operator: {operator}"));
        }
        for (text, operator) in [("a>1", ">"), ("a<1", "<")] {
            let selector: Selector = text.parse().expect("a selector of a list");
            let error = LabelSelector::try_from(&selector).expect_err(text);
            assert_eq!(error.message(), format!("unsupported label selector operator: {operator}"));
        }
    }

    #[test]
    fn nonsense_in_an_object_is_an_error_and_selects_nothing() {
        let one = |operator: &str, values: &[&str]| LabelSelector {
            match_expressions: vec![Expression {
                key: "k".to_owned(),
                operator: operator.to_owned(),
                values: values.iter().map(|value| (*value).to_owned()).collect(),
            }],
            ..LabelSelector::default()
        };
        for (selector, says) in [
            (one("In", &[]), "`k`: `In` needs values"),
            (one("Exists", &["v"]), "`k`: `Exists` takes no values"),
            (one("Is", &["v"]), "`k`: `Is` is not an operator: write In, NotIn, Exists or DoesNotExist"),
            (one("Gt", &["1"]), "`k`: `Gt` is not an operator: write In, NotIn, Exists or DoesNotExist"),
            (one("In", &["a),b"]), "`a),b` is not the value of a label"),
        ] {
            let error = selector.to_selector().expect_err(says);
            assert_eq!(error.message(), format!("invalid selector: {says}"));
        }
    }
}
