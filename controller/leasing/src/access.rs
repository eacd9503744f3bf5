//! Who may lease which exporter, for how long, and before whom.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use jumpstarter_api::{ExporterAccessPolicy, GoDuration};
use jumpstarter_core::selector::{Labels, Selector};

use crate::object::Name;

/// How a client may have an exporter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Approval {
    /// Higher ones come first.
    pub priority: i64,
    /// Only as long as nobody with better access wants it.
    pub spot: bool,
}

impl Approval {
    /// The better of two comes first: not on the spot, then of higher priority.
    fn rank(self) -> (bool, Reverse<i64>) {
        (self.spot, Reverse(self.priority))
    }
}

/// All access policies of a namespace, made ready.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    /// By name, so that their order never matters.
    all: BTreeMap<Name, Policy>,
}

#[derive(Debug)]
struct Policy {
    /// A selector that makes no sense selects nothing.
    exporters: Option<Selector>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    description: String,
    approval: Approval,
    longest: Option<GoDuration>,
    from: Vec<Option<Selector>>,
}

impl Policies {
    /// Whether everybody may have everything.
    pub(crate) fn is_open(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether it matters for how long somebody asks.
    pub(crate) fn look_at_durations(&self) -> bool {
        self.all.values().flat_map(|policy| &policy.rules).any(|rule| rule.longest.is_some())
    }

    pub(crate) fn put(&mut self, name: Name, policy: &ExporterAccessPolicy) {
        let rule = |rule: &jumpstarter_api::Rule| Rule {
            description: rule.description.clone(),
            approval: Approval { priority: rule.priority, spot: rule.spot_access },
            longest: rule.maximum_duration,
            from: rule.from.iter().map(|from| from.client_selector.to_selector().ok()).collect(),
        };
        let exporters = policy.spec.exporter_selector.to_selector().ok();
        let rules = policy.spec.policies.iter().map(rule).collect();
        self.all.insert(name, Policy { exporters, rules });
    }

    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.all.remove(name).is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
    }

    fn rules<'a>(&'a self, exporter: &'a Labels) -> impl Iterator<Item = &'a Rule> {
        let about =
            |policy: &&Policy| policy.exporters.as_ref().is_some_and(|selector| selector.matches(exporter));
        self.all.values().filter(about).flat_map(|policy| &policy.rules)
    }

    /// The best way in which a client may have an exporter for this long, if there is any.
    pub(crate) fn approve(
        &self,
        exporter: &Labels,
        client: &Labels,
        duration: GoDuration,
    ) -> Option<Approval> {
        if self.is_open() {
            return Some(Approval::default());
        }
        self.rules(exporter)
            .filter(|rule| rule.longest.is_none_or(|longest| duration <= longest) && rule.is_for(client))
            .map(|rule| rule.approval)
            .min_by_key(|approval| approval.rank())
    }

    /// For how long at most a client may have one of these exporters, if the rules that are for it say so.
    pub(crate) fn longest<'a>(
        &self,
        exporters: impl Iterator<Item = &'a Labels>,
        client: &Labels,
    ) -> Option<GoDuration> {
        let longest = |labels: &'a Labels| {
            let rules = self.rules(labels).filter(|rule| !rule.approval.spot && rule.is_for(client));
            rules.filter_map(|rule| rule.longest).max()
        };
        exporters.filter_map(longest).max().filter(|longest| longest.is_positive())
    }

    /// What the rules about these exporters say to a client whom they leave out.
    pub(crate) fn advice<'a>(
        &self,
        exporters: impl Iterator<Item = &'a Labels>,
        client: &Labels,
    ) -> BTreeSet<String> {
        let mut advice = BTreeSet::new();
        for labels in exporters {
            let left_out =
                self.rules(labels).filter(|rule| !rule.is_for(client) && !rule.description.is_empty());
            advice.extend(left_out.map(|rule| rule.description.clone()));
        }
        advice
    }
}

impl Rule {
    fn is_for(&self, client: &Labels) -> bool {
        self.from.iter().flatten().any(|selector| selector.matches(client))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn policies(specs: &[serde_json::Value]) -> Policies {
        let mut all = Policies::default();
        for (index, spec) in specs.iter().enumerate() {
            let policy = json!({ "metadata": { "name": format!("p{index}") }, "spec": spec });
            let policy = jumpstarter_api::validation::read(policy).expect("a policy");
            all.put(format!("p{index}").into(), &policy);
        }
        all
    }

    const HOUR: GoDuration = GoDuration::from_secs(3600);

    #[test]
    fn without_policies_everybody_may_have_everything() {
        let none = policies(&[]);
        assert_eq!(none.approve(&labels(&[]), &labels(&[]), HOUR), Some(Approval::default()));
    }

    #[test]
    fn with_one_policy_what_none_allows_is_refused() {
        let all = policies(&[json!({
            "exporterSelector": { "matchLabels": { "board": "rpi4" } },
            "policies": [
                { "priority": 3, "from": [{ "clientSelector": { "matchLabels": { "team": "a" } } }] },
                { "priority": 1, "from": [{}] },
                { "priority": 9, "from": [] },
            ],
        })]);
        let (rig, other) = (labels(&[("board", "rpi4")]), labels(&[]));
        let (a, b) = (labels(&[("team", "a")]), labels(&[("team", "b")]));
        let plain = |priority| Some(Approval { priority, spot: false });
        assert_eq!(all.approve(&rig, &a, HOUR), plain(3));
        assert_eq!(all.approve(&rig, &b, HOUR), plain(1), "an empty `from` list is for nobody");
        assert_eq!(all.approve(&other, &a, HOUR), None);
    }

    #[test]
    fn a_rule_ends_at_its_maximum_duration_and_access_on_the_spot_is_the_last_choice() {
        let all = policies(&[
            json!({ "policies": [{ "priority": 9, "spotAccess": true, "from": [{}] }] }),
            json!({ "policies": [{ "priority": 2, "maximumDuration": "1h", "from": [{}] }] }),
        ]);
        let longer = GoDuration::from_secs(3601);
        let anybody = labels(&[]);
        assert_eq!(all.approve(&anybody, &anybody, HOUR), Some(Approval { priority: 2, spot: false }));
        assert_eq!(all.approve(&anybody, &anybody, longer), Some(Approval { priority: 9, spot: true }));
        assert!(all.look_at_durations());
    }

    #[test]
    fn advice_comes_from_rules_for_others_only() {
        let all = policies(&[json!({ "policies": [
            { "description": "ask carol", "from": [{ "clientSelector": { "matchLabels": { "team": "a" } } }] },
            { "description": "too long for you", "maximumDuration": "1m", "from": [{}] },
        ] })]);
        let anybody = labels(&[]);
        let advice = all.advice([&anybody].into_iter(), &anybody);
        assert_eq!(advice, BTreeSet::from(["ask carol".to_owned()]));
    }

    #[test]
    fn the_longest_duration_is_that_of_rules_for_this_client_that_can_be_had() {
        let all = policies(&[json!({ "policies": [
            { "maximumDuration": "1h", "from": [{}] },
            { "maximumDuration": "2h", "from": [{}] },
            { "maximumDuration": "3h", "from": [{ "clientSelector": { "matchLabels": { "team": "a" } } }] },
            { "maximumDuration": "4h", "spotAccess": true, "from": [{}] },
        ] })]);
        let (a, anybody) = (labels(&[("team", "a")]), labels(&[]));
        let longest = |client| all.longest([&anybody].into_iter(), client);
        assert_eq!(longest(&anybody), Some(GoDuration::from_secs(7200)));
        assert_eq!(longest(&a), Some(GoDuration::from_secs(10_800)));
        assert_eq!(all.longest([].into_iter(), &a), None);
    }

    #[test]
    fn a_selector_that_makes_no_sense_opens_nothing() {
        let bad = json!({ "matchExpressions": [{ "key": "a", "operator": "Is" }] });
        let all = policies(&[
            json!({ "exporterSelector": bad, "policies": [{ "from": [{}] }] }),
            json!({ "policies": [{ "from": [{ "clientSelector": bad }] }] }),
        ]);
        assert_eq!(all.approve(&labels(&[]), &labels(&[]), HOUR), None);
    }
}
