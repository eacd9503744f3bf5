//! One method of an interface, or one command of a client: the part both have in common.

use proc_macro2::{Ident, Span};
use syn::{
    Attribute, Block, Expr, FnArg, LitStr, Pat, ReceiverKind, ReturnType, Signature, Type, ext::IdentExt,
    visit::Visit,
};

use super::{Default, camel, plain};
use crate::{
    diagnostics::Errors,
    parse::{Attributes, Keys, doc_of},
};

/// Keys of `#[export(…)]`.
const EXPORT: &[&str] = &["name", "params", "framing", "replaces"];
/// Keys of `#[exclusive(…)]`.
const EXCLUSIVE: &[&str] = &["busy"];
/// Keys of `#[arg(…)]`.
const ARG: &[&str] = &["short", "long", "default_value", "value_name"];

/// A method that can be printed.
pub(crate) struct Method {
    /// Its name in Rust.
    pub(crate) ident: Ident,
    /// Attributes that stay: documentation, lints.
    pub(crate) attrs: Vec<Attribute>,
    /// Documentation as data.
    pub(crate) doc: String,
    /// Name of the gRPC method.
    pub(crate) rpc: String,
    /// Name in upstream's calls.
    pub(crate) export: String,
    /// Whether a command takes the place of a method of its interface.
    pub(crate) replaces: bool,
    /// Earlier names: of the gRPC method, and in upstream's calls.
    pub(crate) renamed_from: Vec<(String, String)>,
    /// Whether it is a `fn`, not an `async fn`.
    pub(crate) blocking: bool,
    /// Whether pieces of its byte stream are messages.
    pub(crate) messages: bool,
    /// Whether calls exclude each other.
    pub(crate) exclusive: Option<Exclusive>,
    /// Parameters, the injected ones too, without `self`.
    pub(crate) params: Vec<Param>,
    /// What it returns, as it was written.
    pub(crate) ret: Type,
    /// The body, where there is one.
    pub(crate) body: Option<Block>,
}

/// What a second call experiences.
#[derive(Clone, Copy)]
pub(crate) enum Exclusive {
    /// It waits.
    Wait,
    /// It fails.
    Fail,
}

/// One parameter.
pub(crate) struct Param {
    /// Its name in the trait, where a body may use it.
    pub(crate) written: Ident,
    /// Its name in generated code: without underscores in front.
    pub(crate) ident: Ident,
    /// Its name on the wire.
    pub(crate) name: String,
    /// Documentation as data.
    pub(crate) doc: String,
    /// Its type.
    pub(crate) ty: Type,
    /// Where it comes from.
    pub(crate) place: Place,
    /// What an absent one means.
    pub(crate) default: Option<Default>,
    /// Whether it stands behind a parameter with a default and has none.
    pub(crate) follows_default: bool,
    /// How a command line writes it.
    pub(crate) options: Options,
}

/// Where a parameter comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The wire: this position, this field number.
    Wire(usize, u32),
    /// Everything from this position on.
    Rest(usize, u32),
    /// The runtime.
    Injected,
}

/// `#[arg(…)]`.
#[derive(Default)]
pub(crate) struct Options {
    /// `--name`.
    pub(crate) long: Option<String>,
    /// `-n`.
    pub(crate) short: Option<char>,
    /// The placeholder.
    pub(crate) value_name: Option<String>,
}

/// A method that cannot cross the wire. It stays in the trait, so that nothing else complains.
pub(crate) struct Broken {
    /// As it was written, without our attributes.
    pub(crate) attrs: Vec<Attribute>,
    /// As it was written.
    pub(crate) sig: Signature,
    /// As it was written.
    pub(crate) body: Option<Block>,
}

/// Whether this is about an interface's method or a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// A method of the trait with this name.
    Interface(&'a Ident),
    /// A command.
    Commands,
}

/// Functions that every client has.
const GENERATED: &[&str] = &["local", "describe"];

impl Method {
    /// Reads a signature and takes our attributes off it.
    pub(super) fn read(
        owner: Owner<'_>,
        attrs: &mut Vec<Attribute>,
        sig: &mut Signature,
        body: Option<Block>,
        errors: &mut Errors,
    ) -> Result<Self, Box<Broken>> {
        let before = errors.len();
        let mut ours = Attributes::new(attrs);
        let renamed_from = ours.texts("renamed_from", errors);
        let blocking = ours.flag("blocking", errors);
        let exclusive = exclusive(&mut ours, errors);
        let export = ours.keys("export", "`#[export(…)]`", EXPORT, errors);
        forbid_cfg(attrs, errors);
        let doc = doc_of(attrs);
        let mut export = Export::read(export, owner, errors);

        let attributes_failed = errors.len() - before;
        receiver(sig, errors);
        modifiers(sig, errors);
        let ret = returned(sig, errors);
        let params = params(owner, sig, &mut export, errors);
        if let Owner::Interface(owner) = owner {
            free_name(owner, &sig.ident, errors);
        }
        let mut usable = errors.len() == before + attributes_failed;
        // A missing `async` is a mistake, but everything else can be printed as if the method were a blocking one.
        match (sig.asyncness, blocking, owner) {
            (None, None, Owner::Interface(_)) => {
                errors.at(
                    &sig.ident,
                    "driver methods are asynchronous: write `async fn`; for blocking code add `#[blocking]`",
                );
            }
            (None, _, Owner::Commands) => {
                errors.at(
                    &sig.ident,
                    "commands are asynchronous: write `pub async fn`, or leave out `pub` for a helper",
                );
                usable = false;
            }
            (Some(asyncness), Some(_), _) => {
                errors.at(asyncness, "`#[blocking]` is for `fn` without `async`: remove one of the two");
            }
            _ => {}
        }
        let (Some(ret), Some(params), true) = (ret, params, usable) else {
            return Err(Box::new(Broken { attrs: attrs.clone(), sig: sig.clone(), body }));
        };
        let name = export.name.unwrap_or_else(|| plain(&sig.ident));
        Ok(Self {
            ident: sig.ident.clone(),
            attrs: attrs.clone(),
            doc,
            rpc: camel(&name),
            export: name,
            replaces: export.replaces,
            renamed_from: renamed_from.iter().map(|old| (camel(&old.value()), old.value())).collect(),
            blocking: sig.asyncness.is_none(),
            messages: export.messages,
            exclusive,
            params,
            ret,
            body,
        })
    }

    /// Parameters that cross the wire.
    pub(crate) fn on_wire(&self) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(|param| param.place != Place::Injected)
    }
}

/// `#[export(…)]`.
struct Export {
    name: Option<String>,
    replaces: bool,
    params: Vec<LitStr>,
    params_given: bool,
    messages: bool,
}

impl Export {
    fn read(keys: Option<Keys>, owner: Owner<'_>, errors: &mut Errors) -> Self {
        let Some(mut keys) = keys else {
            return Self {
                name: None,
                replaces: false,
                params: Vec::new(),
                params_given: false,
                messages: false,
            };
        };
        let params = keys.texts("params", errors);
        let messages = match keys.text("framing", errors) {
            None => false,
            Some(framing) => match framing.value().as_str() {
                "messages" => true,
                "bytes" => false,
                _ => {
                    errors.at(framing, "`framing` is \"bytes\" or \"messages\"");
                    false
                }
            },
        };
        let mut name = keys.text("name", errors).map(|name| name.value());
        let replaces = keys.text("replaces", errors);
        if let Some(replaced) = &replaces {
            if owner != Owner::Commands {
                errors.at(replaced, "only a command can take the place of a method: write `name`");
            }
            name = Some(replaced.value());
        }
        Self { name, replaces: replaces.is_some(), params_given: !params.is_empty(), params, messages }
    }
}

pub(super) fn exclusive(ours: &mut Attributes<'_>, errors: &mut Errors) -> Option<Exclusive> {
    let mut keys = ours.keys("exclusive", "`#[exclusive]`", EXCLUSIVE, errors)?;
    let Some(busy) = keys.text("busy", errors) else { return Some(Exclusive::Wait) };
    match busy.value().as_str() {
        "wait" => Some(Exclusive::Wait),
        "fail" => Some(Exclusive::Fail),
        _ => {
            errors.at(busy, "`busy` is \"wait\" or \"fail\"");
            Some(Exclusive::Wait)
        }
    }
}

fn forbid_cfg(attrs: &[Attribute], errors: &mut Errors) {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("cfg")) {
        errors.at(attr, "an interface is the same in every build: remove `cfg`, and return `Error::unsupported()` where it does not apply");
    }
}

/// A method must not take the name of a generated item.
fn free_name(owner: &Ident, ident: &Ident, errors: &mut Errors) {
    let name = plain(ident);
    if GENERATED.contains(&name.as_str()) {
        errors.at(
            ident,
            format!(
                "`{name}` is the name of a generated function, `{owner}Client::{name}`: give the method another name in Rust and keep this one on the wire with `#[export(name = \"{name}\")]`"
            ),
        );
    }
    if name.starts_with("__") {
        errors.at(ident, "names that begin with two underscores belong to generated items");
    }
}

fn receiver(sig: &Signature, errors: &mut Errors) {
    const MESSAGE: &str = "driver methods take `&self`; use a lock or an atomic for state";
    match sig.inputs.first() {
        Some(FnArg::Receiver(receiver)) => match &receiver.kind {
            ReceiverKind::Reference(_, None, None) => {}
            _ => errors.at(receiver, MESSAGE),
        },
        Some(other) => errors.at(other, MESSAGE),
        None => errors.at(&sig.ident, MESSAGE),
    }
}

fn modifiers(sig: &Signature, errors: &mut Errors) {
    if !sig.generics.params.is_empty() || sig.generics.where_clause.is_some() {
        errors.at(
            &sig.generics.params,
            "a driver method cannot be generic: callers in other processes have no type parameters; write the type",
        );
    }
    if let Some(constness) = &sig.constness {
        errors.at(constness, "driver methods are not `const`");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "driver methods have no ABI of their own");
    }
    if !matches!(sig.safety, syn::Safety::Default) {
        errors.at(&sig.ident, "driver methods are not `unsafe`: anybody with a connection can call them");
    }
}

fn returned(sig: &Signature, errors: &mut Errors) -> Option<Type> {
    match &sig.output {
        ReturnType::Default => {
            errors.at(&sig.ident, "driver methods return `jumpstarter::Result<…>`: write `-> Result<()>`");
            None
        }
        ReturnType::Type(_, ty) => owned(ty, "a result is owned", errors).then(|| (**ty).clone()),
    }
}

/// References and `impl Trait` have no meaning in another process.
fn owned(ty: &Type, what: &str, errors: &mut Errors) -> bool {
    struct Finder<'e>(&'e mut Errors, String, bool);
    impl<'ast> Visit<'ast> for Finder<'_> {
        fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
            self.2 = false;
            let instead = match &*reference.elem {
                Type::Path(path) if path.path.is_ident("str") => "write `String`".to_owned(),
                Type::Slice(_) => "write `Vec<…>`, or `Bytes` for bytes".to_owned(),
                _ => "write the type without `&`".to_owned(),
            };
            self.0.at(reference, format!("{}: {instead}", self.1));
        }

        fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
            self.2 = false;
            self.0.at(ty, format!("{}: write a type instead of `impl …`", self.1));
        }

        fn visit_type_tuple(&mut self, tuple: &'ast syn::TypeTuple) {
            if tuple.elems.is_empty() {
                return;
            }
            self.2 = false;
            self.0.at(
                tuple,
                "give the parts names: a `#[message]` struct (`#[message(list)]` where upstream sends a list)",
            );
        }
    }
    let mut finder = Finder(errors, what.to_owned(), true);
    finder.visit_type(ty);
    finder.2
}

fn params(
    owner: Owner<'_>,
    sig: &mut Signature,
    export: &mut Export,
    errors: &mut Errors,
) -> Option<Vec<Param>> {
    let before = errors.len();
    let mut params: Vec<Param> = Vec::new();
    let mut tags: Vec<(u32, Span)> = Vec::new();
    let mut position = 0;
    let mut defaults = false;
    let mut rest: Option<Span> = None;
    for input in &mut sig.inputs {
        let FnArg::Typed(typed) = input else { continue };
        let mut ours = Attributes::new(&mut typed.attrs);
        let injected = ours.flag("inject", errors).is_some();
        let is_rest = ours.flag("rest", errors);
        let tag = ours.tag(errors);
        let default = ours.value("default", "…", errors).map(Default::new);
        let doc = ours.doc();
        let arg =
            if owner == Owner::Commands { ours.keys("arg", "`#[arg(…)]`", ARG, errors) } else { None };
        // Documentation of a parameter is data; the language allows no doc comment on one.
        typed.attrs.retain(|attr| !attr.path().is_ident("doc"));
        let Pat::Ident(pat) = &*typed.pat else {
            errors.at(&typed.pat, "give the parameter a name: command lines and descriptors show it");
            continue;
        };
        if !owned(&typed.ty, "parameters are owned", errors) {
            continue;
        }
        if let Some(earlier) = rest {
            errors.here(earlier, "`#[rest]` collects what is left: make it the last parameter, a `Vec<…>`");
            rest = None;
        }
        let (options, default) = options(arg, &pat.ident, default, errors);
        let place = if injected {
            if let Some(first) = tag.map(|(_, place)| place).or(is_rest) {
                errors.here(
                    first,
                    "the runtime fills this parameter, so nothing on the wire can be said about it",
                );
            }
            Place::Injected
        } else {
            let number = tag.map_or_else(
                || tags.iter().map(|(tag, _)| *tag).max().unwrap_or(0) + 1,
                |(number, _)| number,
            );
            let span = tag.map_or(pat.ident.span(), |(_, span)| span);
            unique_tag(&mut tags, number, span, errors);
            position += 1;
            match is_rest {
                Some(span) => {
                    if owner != Owner::Commands && (defaults || default.is_some()) {
                        errors.here(span, "`#[rest]` cannot follow parameters with a default: nobody could send it without them; remove the defaults");
                    }
                    rest = Some(span);
                    Place::Rest(position - 1, number)
                }
                None => Place::Wire(position - 1, number),
            }
        };
        let name = plain(&pat.ident).trim_start_matches('_').to_owned();
        params.push(Param {
            written: pat.ident.clone(),
            ident: without_underscore(&pat.ident),
            name,
            doc,
            ty: (*typed.ty).clone(),
            place,
            // The order in which a command line writes options is free.
            follows_default: owner != Owner::Commands
                && defaults
                && default.is_none()
                && place != Place::Injected,
            default,
            options,
        });
        defaults |= params.last().is_some_and(|param| param.default.is_some());
    }
    rename(&mut params, export, errors);
    (errors.len() == before).then_some(params)
}

/// A name that generated code can use without a lint's complaint.
fn without_underscore(ident: &Ident) -> Ident {
    let name = ident.to_string();
    let Some(short) = name.strip_prefix('_') else { return ident.clone() };
    let short = short.trim_start_matches('_');
    if syn::parse_str::<Ident>(short).is_ok() { Ident::new(short, ident.span()) } else { ident.clone() }
}

/// Field numbers are used once.
pub(super) fn unique_tag(tags: &mut Vec<(u32, Span)>, number: u32, place: Span, errors: &mut Errors) {
    if let Some((_, earlier)) = tags.iter().find(|(used, _)| *used == number) {
        errors.here(place, format!("tag {number} is used twice: give one of the two another number"));
        errors.here(*earlier, format!("tag {number} is used here first"));
    }
    tags.push((number, place));
}

/// `params = […]` gives the parameters upstream's names.
fn rename(params: &mut [Param], export: &mut Export, errors: &mut Errors) {
    if !export.params_given {
        return;
    }
    let names = std::mem::take(&mut export.params);
    let wire: Vec<_> = params.iter_mut().filter(|param| param.place != Place::Injected).collect();
    if wire.len() != names.len() {
        if let Some(first) = names.first() {
            errors.at(
                first,
                format!("`params` names {} parameters, but {} cross the wire", names.len(), wire.len()),
            );
        }
        return;
    }
    for (param, name) in wire.into_iter().zip(names) {
        param.name = name.value();
    }
}

fn options(
    arg: Option<Keys>,
    ident: &Ident,
    default: Option<Default>,
    errors: &mut Errors,
) -> (Options, Option<Default>) {
    let Some(mut keys) = arg else { return (Options::default(), default) };
    let plain_name = ident.unraw().to_string();
    let long = match keys.take("long") {
        None => None,
        Some((_, crate::parse::Given::Value(value))) => {
            crate::parse::text(&value, "long", errors).map(|text| text.value())
        }
        Some(_) => Some(super::kebab(&plain_name)),
    };
    let short = match keys.take("short") {
        None => None,
        Some((key, crate::parse::Given::Value(value))) => {
            let letter = match *value {
                Expr::Lit(syn::ExprLit { lit: syn::Lit::Char(letter), .. }) => Some(letter.value()),
                _ => None,
            };
            if letter.is_none() {
                errors.at(key, "write `short = 'n'`");
            }
            letter
        }
        Some(_) => plain_name.chars().next(),
    };
    let value_name = keys.text("value_name", errors).map(|text| text.value());
    let text = keys.text("default_value", errors).map(Default::Text);
    if let (Some(Default::Text(text)), Some(_)) = (&text, &default) {
        errors.at(text, "a default is stated once: remove `default_value` or `#[default = …]`");
    }
    (Options { long, short, value_name }, default.or(text))
}
