//! What the claims of a token mean.

use std::{collections::HashMap, fmt, sync::Arc};

use cel::{Context, Program, Value as Cel};
use serde_json::{Map, Value, json};

use super::config::{ClaimRule, JwtAuthenticator, Mapping, UserRule};
use crate::{
    authenticate::PREFIX,
    quote::quoted,
    token::{Claims, TokenError},
};

/// A program and its text.
struct Expression {
    program: Program,
    text: String,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl Expression {
    fn read(what: &str, text: &str) -> Result<Self, String> {
        match Program::compile(text) {
            Ok(program) => Ok(Self { program, text: text.to_owned() }),
            Err(error) => Err(format!("`{what}`: `{text}` is no expression: {error}")),
        }
    }

    fn value(&self, name: &str, over: &Map<String, Value>) -> Result<Cel, TokenError> {
        let failed = |why: &dyn fmt::Display| TokenError::Claim(format!("`{}`: {why}", self.text));
        let mut context = Context::default();
        context.add_variable_from_value(name, map(over));
        self.program.execute(&context).map_err(|error| failed(&error))
    }

    /// Whether it is true. What is neither is an error.
    fn holds(&self, name: &str, over: &Map<String, Value>) -> Result<bool, TokenError> {
        match self.value(name, over)? {
            Cel::Bool(holds) => Ok(holds),
            _ => Err(TokenError::Claim(format!("`{}` is neither true nor false", self.text))),
        }
    }
}

/// Whole numbers are `int`, as people write them in expressions: not `uint`, which cannot be mixed with it.
fn cel_of(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(bool) => Cel::Bool(*bool),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Cel::Int(number),
            (None, Some(number)) => Cel::UInt(number),
            _ => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(values) => Cel::List(Arc::new(values.iter().map(cel_of).collect())),
        Value::Object(entries) => map(entries),
    }
}

fn map(entries: &Map<String, Value>) -> Cel {
    let entries = entries.iter().map(|(key, value)| (key.clone(), cel_of(value)));
    Cel::Map(entries.collect::<HashMap<_, _>>().into())
}

#[derive(Debug)]
enum Username {
    Claim { claim: String, prefix: String },
    Expression(Expression),
}

#[derive(Debug)]
enum Rule {
    Value { claim: String, value: String },
    Expression { expression: Expression, message: String },
}

/// The meaning of the claims of one issuer.
#[derive(Debug)]
pub(super) struct Rules {
    username: Username,
    claims: Vec<Rule>,
    users: Vec<(Expression, String)>,
}

impl Rules {
    pub(super) fn read(settings: &JwtAuthenticator) -> Result<Self, String> {
        let texts = || {
            let rules = settings.claim_validation_rules.iter().filter_map(|rule| rule.expression.as_deref());
            rules.chain(settings.claim_mappings.username.expression.as_deref())
        };
        let username = match &settings.claim_mappings.username {
            Mapping { claim: Some(claim), prefix: Some(prefix), expression: None } if !claim.is_empty() => {
                if prefix.starts_with(PREFIX) {
                    return Err(format!(
                        "`claimMappings.username.prefix`: `{PREFIX}` is for the lab's own tokens"
                    ));
                }
                Username::Claim { claim: claim.clone(), prefix: prefix.clone() }
            }
            Mapping { claim: Some(_), prefix: None, expression: None } => {
                return Err("`claimMappings.username.prefix` is missing: write \"\" for none".to_owned());
            }
            Mapping { claim: None, prefix: None, expression: Some(text) } => {
                // An address that nobody has checked is anybody's (Kubernetes has the same rule).
                if text.contains("claims.email")
                    && !texts().any(|text| text.contains("claims.email_verified"))
                {
                    return Err("`claimMappings.username.expression`: who uses claims.email must use \
                                claims.email_verified as well"
                        .to_owned());
                }
                Username::Expression(Expression::read("claimMappings.username.expression", text)?)
            }
            _ => {
                return Err("`claimMappings.username` needs `claim` and `prefix`, or `expression`".to_owned());
            }
        };
        let rule = |rule: &ClaimRule| match rule {
            ClaimRule { claim: Some(claim), required_value, expression: None, message: None } => {
                Ok(Rule::Value { claim: claim.clone(), value: required_value.clone().unwrap_or_default() })
            }
            ClaimRule { claim: None, required_value: None, expression: Some(text), message } => {
                let expression = Expression::read("claimValidationRules.expression", text)?;
                Ok(Rule::Expression { message: said(message.as_ref(), text), expression })
            }
            _ => {
                Err("`claimValidationRules` need `claim` and `requiredValue`, or `expression` and `message`"
                    .to_owned())
            }
        };
        let claims = settings.claim_validation_rules.iter().map(rule).collect::<Result<_, _>>()?;
        let user = |UserRule { expression: text, message }: &UserRule| {
            let expression = Expression::read("userValidationRules.expression", text)?;
            Ok::<_, String>((expression, said(message.as_ref(), text)))
        };
        let users = settings.user_validation_rules.iter().map(user).collect::<Result<_, _>>()?;
        Ok(Self { username, claims, users })
    }

    /// What somebody with these claims is called.
    pub(super) fn username(&self, claims: &Claims) -> Result<String, TokenError> {
        let refused = |text: String| Err(TokenError::Claim(text));
        let username = match &self.username {
            Username::Claim { claim, prefix } => {
                let Some(value) = claims.text(claim).filter(|value| !value.is_empty()) else {
                    let why = if claims.get(claim).is_some() { "is no text" } else { "is not present" };
                    return refused(format!("the claim {} for the username {why}", quoted(claim)));
                };
                // An address that nobody has checked is anybody's.
                let unchecked = claims.get("email_verified").is_some_and(|checked| *checked != json!(true));
                if claim == "email" && unchecked {
                    return refused("email not verified".to_owned());
                }
                format!("{prefix}{value}")
            }
            Username::Expression(expression) => match expression.value("claims", claims.all())? {
                Cel::String(text) if !text.is_empty() => text.to_string(),
                _ => return refused(format!("`{}` gives no username", expression.text)),
            },
        };
        if username.starts_with(PREFIX) {
            return refused(format!("the username {} is one of the lab's own", quoted(&username)));
        }
        for rule in &self.claims {
            match rule {
                Rule::Value { claim, value } => {
                    if claims.text(claim) != Some(value) {
                        return refused(format!("the claim {} is not {}", quoted(claim), quoted(value)));
                    }
                }
                Rule::Expression { expression, message } => {
                    if !expression.holds("claims", claims.all())? {
                        return refused(message.clone());
                    }
                }
            }
        }
        let mut user = Map::new();
        user.insert("username".to_owned(), json!(username));
        user.insert("uid".to_owned(), json!(""));
        user.insert("groups".to_owned(), json!([]));
        user.insert("extra".to_owned(), json!({}));
        for (expression, message) in &self.users {
            if !expression.holds("user", &user)? {
                return refused(message.clone());
            }
        }
        Ok(username)
    }
}

fn said(message: Option<&String>, text: &str) -> String {
    message.filter(|message| !message.is_empty()).cloned().unwrap_or_else(|| format!("`{text}` is false"))
}
